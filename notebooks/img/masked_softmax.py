"""Draws masked_softmax.svg: the three steps of the masked softmax, for chapter 02."""

import style

WIDTH, HEIGHT = 0.68, 0.55
PALE, GRAY, HARMLESS = style.PALE_BLUE, style.PALE_GRAY, style.PALE_ORANGE
STAGES = [
    ("scores", [["1", "2", "0", "9", "5"], ["4", "1", "3", "7", "2"]], GRAY),
    ("masked", [["1", "2", "0", "-∞", "-∞"], ["0", "0", "0", "0", "0"]], HARMLESS),
    (
        "softmax",
        [[".24", ".67", ".09", "0", "0"], [".2", ".2", ".2", ".2", ".2"]],
        HARMLESS,
    ),
    ("weights", [[".24", ".67", ".09", "0", "0"], ["0", "0", "0", "0", "0"]], GRAY),
]

ax = style.canvas(9.6, 4.55)


def stage(x, top, title, rows, empty_fill):
    """Draw both rows of one stage under its title."""
    style.text(ax, x + 2.5 * WIDTH, top + 0.25, title, style.TITLE)
    fills = [[PALE] * 3 + [GRAY] * 2, [empty_fill] * 5]
    style.cells(ax, x, top, rows, fills, WIDTH, HEIGHT)


left, right, upper, lower = 1.55, 5.95, 3.9, 1.55
places = [(left, upper), (right, upper), (left, lower), (right, lower)]
for (x, top), (title, rows, empty_fill) in zip(places, STAGES):
    stage(x, top, title, rows, empty_fill)
for top in (upper, lower):
    for row, length in enumerate(("3", "0")):
        words = f"length {length}"
        style.text(ax, 0.75, top - (row + 0.5) * HEIGHT, words, style.LABEL, style.GRAY)

end = left + 5 * WIDTH
style.arrow(ax, (end + 0.12, upper - HEIGHT), (right - 0.12, upper - HEIGHT))
style.text(ax, (end + right) / 2, upper - HEIGHT + 0.25, "1", style.LABEL)
style.arrow(ax, (right + 2.5 * WIDTH, upper - 2.2 * HEIGHT), (end - 0.3, lower + 0.52))
style.text(ax, 5.75, 2.55, "2", style.LABEL)
style.arrow(ax, (end + 0.12, lower - HEIGHT), (right - 0.12, lower - HEIGHT))
style.text(ax, (end + right) / 2, lower - HEIGHT + 0.25, "3", style.LABEL)
style.save(ax, "masked_softmax")
