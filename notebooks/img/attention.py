"""Draws attention.svg: attention as weights, then a weighted average, for chapter 03."""

import style

CELL = 0.42
BLUES = ["#EFF6FB", "#D3E7F4", "#93C4E3", "#3F93C8"]

ax = style.canvas(11.4, 4.3)


def array(x, y, shades):
    """Draw an array without words; `shades` holds a color for each cell; returns its right end."""
    style.cells(ax, x, y, [[""] * len(row) for row in shades], shades, CELL, CELL)
    return x + len(shades[0]) * CELL


def plain(rows, columns, color):
    return [[color] * columns for _ in range(rows)]


# Inputs on the left: two queries, four keys (the last is padding).
end = array(0.3, 3.75, plain(2, 3, style.PALE_ORANGE))
style.text(ax, 0.3 + 1.5 * CELL, 4.0, "queries")
padding = [[style.PALE_GRAY] * 3]
array(0.3, 2.4, plain(3, 3, style.PALE_GREEN) + padding)
style.text(ax, 0.3 + 1.5 * CELL, 2.65, "keys")

style.box(ax, 2.85, 2.9, "score", 1.2, fill="white")
style.arrow(ax, (end + 0.1, 3.33), (2.2, 3.05))
style.arrow(ax, (end + 0.1, 2.0), (2.2, 2.75))

x = 4.05
array(
    x, 3.32, [[BLUES[1], BLUES[2], BLUES[1], BLUES[3]], [BLUES[2], BLUES[0], BLUES[1], BLUES[2]]]
)
style.text(ax, x + 2 * CELL, 3.57, "scores")
style.arrow(ax, (3.5, 2.9), (x - 0.08, 2.9))

style.box(ax, 6.85, 2.9, "masked\nsoftmax", 1.3, 0.8, fill="white")
style.arrow(ax, (x + 4 * CELL + 0.08, 2.9), (6.17, 2.9))

x = 8.0
gray = style.PALE_GRAY
array(x, 3.32, [[BLUES[1], BLUES[3], BLUES[1], gray], [BLUES[3], BLUES[0], BLUES[1], gray]])
style.text(ax, x + 2 * CELL, 3.57, "weights")
style.arrow(ax, (7.55, 2.9), (x - 0.08, 2.9))

array(5.1, 1.05 + 2 * CELL, [*plain(3, 2, style.PALE_RED), [style.PALE_GRAY] * 2])
style.text(ax, 5.1 - 0.15, 1.05, "values", ha="right")
style.box(ax, 8.84, 1.05, "average", 1.3, fill="white")
style.arrow(ax, (8.84, 2.4), (8.84, 1.4))
style.arrow(ax, (5.1 + 2 * CELL + 0.1, 1.05), (8.14, 1.05))

array(10.2, 1.05 + CELL, plain(2, 2, style.PALE_RED))
style.text(ax, 10.2 + CELL, 1.05 + CELL + 0.25, "output")
style.arrow(ax, (9.54, 1.05), (10.12, 1.05))

style.cells(ax, 2.3, 0.42, [[""]], [[style.PALE_GRAY]], 0.3, 0.3)
style.text(ax, 2.75, 0.27, "padding", style.LABEL, ha="left")
style.save(ax, "attention")
