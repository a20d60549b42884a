"""Draws local_attention.svg: local attention's window and its Gaussian, for chapter 07."""

import numpy as np
import style

SOURCE = ("we", "do", "not", "see", "the", "old", "cats", "?", "<eos>")
D, CENTER, WIDTH, LEFT = 2, 4.6, 1.15, 0.5

ax = style.canvas(11.3, 3.6)


def x(position):
    return LEFT + (position + 0.5) * WIDTH


seen = [abs(s - CENTER) <= D for s in range(len(SOURCE))]
fills = [[style.PALE_BLUE if inside else style.PALE_GRAY for inside in seen]]
style.cells(ax, LEFT, 1.5, [SOURCE], fills, WIDTH, 0.6)
for s in range(len(SOURCE)):
    style.text(ax, x(s), 0.7, str(s), style.LABEL, style.BLACK if seen[s] else style.GRAY)

# The Gaussian over the window
s = np.linspace(CENTER - D, CENTER + D, 200)
ax.plot(x(s), 1.7 + 1.3 * np.exp(-((s - CENTER) ** 2) / (2 * (D / 2) ** 2)), color=style.RED)
for s in range(len(SOURCE)):
    if seen[s]:
        top = 1.7 + 1.3 * np.exp(-((s - CENTER) ** 2) / (2 * (D / 2) ** 2))
        ax.plot([x(s), x(s)], [1.7, top], color=style.RED, lw=4, alpha=0.4, solid_capstyle="butt")
ax.plot([x(CENTER)] * 2, [0.45, 3.15], color=style.BLACK, ls="--", lw=1.2)
style.text(ax, x(CENTER), 3.35, r"center $p_t = 4.6$")
for end, words in ((CENTER - D, "$p_t - D$"), (CENTER + D, "$p_t + D$")):
    ax.plot([x(end)] * 2, [0.45, 2.0], color=style.BLUE, lw=1.2)
    style.text(ax, x(end), 0.22, words, style.LABEL, style.BLUE)
style.text(ax, x(0.4), 2.5, r"Gaussian, $\sigma = D/2$", style.LABEL, style.RED)
style.text(ax, x(7.9), 2.5, "outside: not looked at", style.LABEL, style.GRAY)
style.save(ax, "local_attention")
