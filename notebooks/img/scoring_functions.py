"""Draws scoring_functions.svg: dot product, bilinear and additive score, for chapter 03."""

import style

ax = style.canvas(11.0, 4.5)
QUERY, KEY, LEARNED, PLAIN = style.PALE_ORANGE, style.PALE_GREEN, style.PALE_BLUE, "white"

ROWS = 0.4, 1.2, 2.0, 2.85


def node(x, y, words, fill, width=0.9):
    style.box(ax, x, y, words, width, 0.52, fill)


def up(x, start, end, to=None):
    style.arrow(ax, (x, start + 0.28), (to or x, end - 0.28))


def ends(x, left, right, top):
    """Query and key at the bottom, the score on top, and the panel's title."""
    node(left, 0.4, r"$\mathbf{q}$", QUERY)
    node(right, 0.4, r"$\mathbf{k}$", KEY)
    style.arrow(ax, (x, ROWS[3] + 0.28), (x, 3.45))
    style.text(ax, x, 3.62, "score")
    style.text(ax, x, 4.2, top, style.TITLE)


# Dot product: the two meet at once.
ends(1.5, 0.8, 2.2, "dot product")
node(1.5, ROWS[3], r"dot, $/\,\sqrt{d}$", PLAIN, 1.5)
up(0.8, ROWS[0], ROWS[3], 1.2)
up(2.2, ROWS[0], ROWS[3], 1.8)

# Bilinear: the query goes through a matrix first.
ends(5.2, 4.5, 5.9, "bilinear")
node(4.5, ROWS[1], r"$\mathbf{W}^\top$", LEARNED)
node(5.2, ROWS[3], "dot", PLAIN, 1.5)
up(4.5, ROWS[0], ROWS[1])
up(4.5, ROWS[1], ROWS[3], 4.9)
up(5.9, ROWS[0], ROWS[3], 5.5)

# Additive: a perceptron with one hidden layer.
ends(9.4, 8.6, 10.2, "additive")
node(8.6, ROWS[1], r"$\mathbf{W}_q$", LEARNED)
node(10.2, ROWS[1], r"$\mathbf{W}_k$", LEARNED)
node(9.4, ROWS[2], "+, tanh", PLAIN, 1.2)
node(9.4, ROWS[3], r"dot $\mathbf{w}_v$", LEARNED, 1.2)
up(8.6, ROWS[0], ROWS[1])
up(10.2, ROWS[0], ROWS[1])
up(8.6, ROWS[1], ROWS[2], 9.05)
up(10.2, ROWS[1], ROWS[2], 9.75)
up(9.4, ROWS[2], ROWS[3])
style.cells(ax, 6.75, 0.53, [[""]], [[LEARNED]], 0.3, 0.3)
style.text(ax, 7.15, 0.38, "learned", style.LABEL, ha="left")
style.save(ax, "scoring_functions")
