"""Draws queries_keys_values.svg: from a query and keys to values, for chapter 01."""

import style

ax = style.canvas(10.2, 4.5)
KEYS = ["letter", "cup", "phone", "book"]
WEIGHTS = [0.03, 0.01, 0.02, 0.94]
FILLS = ["#E9F2F9", "#F7FBFF", "#F0F6FB", "#3F93C8"]
WIDTH, HEIGHT, TOP = 1.5, 0.6, 3.9
KEY_X, WEIGHT_X, VALUE_X = 3.0, 5.4, 7.6

style.box(ax, 1.0, TOP - 1.2, "query:\nto read", 1.5, 0.9, style.PALE_ORANGE)
style.text(ax, KEY_X + WIDTH / 2, 4.15, "keys")
style.text(ax, WEIGHT_X + 0.5, 4.15, "weights")
style.text(ax, VALUE_X + WIDTH / 2, 4.15, "values")
for row, (key, weight, fill) in enumerate(zip(KEYS, WEIGHTS, FILLS)):
    y = TOP - row * HEIGHT
    style.cells(ax, KEY_X, y, [[key]], [[style.PALE_GREEN]], WIDTH, HEIGHT)
    style.cells(ax, WEIGHT_X, y, [[f"{weight:.2f}"]], [[fill]], 1.0, HEIGHT)
    style.cells(ax, VALUE_X, y, [[f"place {row + 1}"]], [[style.PALE_RED]], WIDTH, HEIGHT)
    middle = y - HEIGHT / 2
    style.arrow(ax, (1.8, TOP - 1.2), (KEY_X - 0.08, middle))
    style.arrow(ax, (KEY_X + WIDTH + 0.08, middle), (WEIGHT_X - 0.08, middle))
    style.text(ax, (WEIGHT_X + 1 + VALUE_X) / 2, middle, "×")
style.text(ax, 2.35, 4.15, "how alike?", style.LABEL, style.GRAY)
style.text(ax, 4.95, 4.15, "softmax", style.LABEL, style.GRAY, ha="center")
style.box(ax, VALUE_X + WIDTH / 2, 0.5, "output: 3.87, almost place 4", 3.2, 0.6, style.PALE_RED)
style.arrow(ax, (VALUE_X + WIDTH / 2, TOP - 4 * HEIGHT - 0.05), (VALUE_X + WIDTH / 2, 0.85))
style.text(ax, VALUE_X + WIDTH / 2 + 0.2, 1.17, "sum", style.LABEL, style.GRAY, ha="left")
style.save(ax, "queries_keys_values")
