"""Draws parameter_server.svg and all_reduce.svg: who sends what to whom, for chapter 10."""

import style

WORKERS = ["worker 0", "worker 1", "worker 2"]
FILLS = [style.PALE_BLUE, style.PALE_ORANGE, style.PALE_GREEN]

# Everybody sends all to the server, and gets all from it
ax = style.canvas(10.0, 3.9)
style.box(ax, 5.0, 3.2, "server: adds up", 2.6, fill=style.PALE_GRAY)
for i, (name, fill) in enumerate(zip(WORKERS, FILLS)):
    x = 1.7 + 3.3 * i
    style.box(ax, x, 0.75, name, 1.8, fill=fill)
    top = 5.0 + 0.8 * (i - 1)
    style.arrow(ax, (x - 0.18, 1.08), (top - 0.18, 2.87), color=style.BLUE)
    style.arrow(ax, (top + 0.18, 2.87), (x + 0.18, 1.08), color=style.RED)
style.text(ax, 1.55, 2.2, "push: all gradients", style.LABEL, style.BLUE)
style.text(ax, 8.35, 2.2, "pull: all sums", style.LABEL, style.RED)
style.save(ax, "parameter_server")

# A ring: two rounds, in which each sends a third at a time
ax = style.canvas(13.0, 4.6)
ROUNDS = [
    ("1. add up on the way", [["a0", "b0", "c0"], ["a1", "b1", "c1"], ["a2", "b2", "c2"]]),
    ("2. hand the sums on", [["A", "b", "c"], ["a", "B", "c"], ["a", "b", "C"]]),
    ("3. everybody has all", [["A", "B", "C"], ["A", "B", "C"], ["A", "B", "C"]]),
]
for part, (title, rows) in enumerate(ROUNDS):
    left = 0.55 + 4.3 * part
    style.text(ax, left + 1.5, 4.25, title, style.TITLE)
    for i, row in enumerate(rows):
        top = 3.65 - 1.15 * i
        fills = [FILLS[i] if word.islower() else style.PALE_GRAY for word in row]
        style.cells(ax, left + 0.4, top, [row], [fills], width=0.75)
        style.text(ax, left + 0.1, top - 0.25, str(i), style.LABEL, style.GRAY)
        if part < 2:
            bottom = top - 0.5
            if i < 2:
                style.arrow(ax, (left + 1.5, bottom), (left + 1.5, bottom - 0.62), style.BLUE)
    if part < 2:  # from the last back to the first
        right = left + 2.65
        ax.plot([right, right + 0.55, right + 0.55], [1.1, 1.1, 3.4], color=style.BLUE)
        style.arrow(ax, (right + 0.55, 3.4), (right, 3.4), style.BLUE)
style.text(
    ax, 6.5, 0.3, "a, b, c: the thirds of a worker's gradients;  A, B, C: their sums", style.LABEL
)
style.save(ax, "all_reduce")
