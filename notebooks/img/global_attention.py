"""Draws global_attention.svg: a step of Bahdanau's and of Luong's decoder, chapter 07."""

import style

ax = style.canvas(11.4, 6.3)
QUERY, VALUE = style.RED, style.BLUE


# Bahdanau: attention, then the GRU
style.text(ax, 2.6, 6.0, "Bahdanau: before the GRU", style.TITLE)
style.box(ax, 1.1, 0.5, r"state $\mathbf{h}_{t-1}$", 1.7, fill=style.PALE_RED)
style.box(ax, 3.9, 0.5, r"word $y_{t-1}$", 1.7, fill=style.PALE_ORANGE)
style.box(ax, 1.1, 1.8, "attention", 1.7, fill=style.PALE_GREEN)
style.box(ax, 2.6, 3.1, "GRU", 1.7, fill=style.PALE_ORANGE)
style.box(ax, 2.6, 4.2, "dense", 1.7, fill=style.PALE_ORANGE)
style.arrow(ax, (1.1, 0.8), (1.1, 1.5), QUERY)
style.text(ax, 0.95, 1.15, "query", style.LABEL, QUERY, ha="right")
style.arrow(ax, (1.1, 2.1), (2.1, 2.8), VALUE)
style.text(ax, 1.35, 2.55, r"$\mathbf{c}_t$", style.TEXT, VALUE)
style.arrow(ax, (3.9, 0.8), (3.1, 2.8))
style.arrow(ax, (1.6, 0.8), (2.6, 2.8))
style.arrow(ax, (2.6, 3.4), (2.6, 3.9))
style.text(ax, 2.75, 3.65, r"$\mathbf{h}_t$", ha="left")
style.arrow(ax, (2.6, 4.5), (2.6, 5.1))
style.text(ax, 2.6, 5.4, "next word")

# Luong: the GRU, then attention
style.text(ax, 8.3, 6.0, "Luong: behind the GRU", style.TITLE)
style.box(ax, 6.4, 0.5, r"state $\mathbf{h}_{t-1}$", 1.7, fill=style.PALE_RED)
style.box(ax, 8.3, 0.5, r"word $y_{t-1}$", 1.7, fill=style.PALE_ORANGE)
style.box(ax, 7.6, 1.8, "GRU", 1.7, fill=style.PALE_ORANGE)
style.box(ax, 9.8, 2.6, "attention", 1.7, fill=style.PALE_GREEN)
style.box(ax, 7.6, 3.7, r"tanh $\mathbf{W}_c[\mathbf{c}_t; \mathbf{h}_t]$", 2.5)
style.box(ax, 7.6, 4.8, "dense", 1.7, fill=style.PALE_ORANGE)
style.arrow(ax, (6.4, 0.8), (7.2, 1.5))
style.arrow(ax, (8.3, 0.8), (7.9, 1.5))
style.arrow(ax, (7.6, 2.1), (7.6, 3.4))
style.text(ax, 7.45, 2.75, r"$\mathbf{h}_t$", ha="right")
style.arrow(ax, (8.45, 1.9), (9.3, 2.3), QUERY)
style.text(ax, 9.0, 1.8, "query", style.LABEL, QUERY, ha="left")
style.arrow(ax, (9.4, 2.9), (8.5, 3.4), VALUE)
style.text(ax, 9.15, 3.3, r"$\mathbf{c}_t$", style.TEXT, VALUE, ha="left")
style.arrow(ax, (7.6, 4.0), (7.6, 4.5))
style.text(ax, 7.75, 4.25, r"$\tilde{\mathbf{h}}_t$", ha="left")
style.arrow(ax, (7.6, 5.1), (7.6, 5.4))
style.text(ax, 7.6, 5.6, "next word")
ax.plot([8.85, 11.0, 11.0], [3.7, 3.7, 1.3], color=style.GRAY, ls="--")
style.arrow(ax, (11.0, 1.3), (11.0, 0.95), style.GRAY)
style.text(ax, 10.35, 0.5, "input feeding:\ninto the GRU\nof step t + 1", style.LABEL, style.GRAY)

style.save(ax, "global_attention")
