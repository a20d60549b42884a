"""Draws padding.svg: sentences of different length in one array, for chapter 02."""

import style

SENTENCES = [["I", "sing"], ["she", "sees", "me"], ["we", "sing", "in", "the", "rain"]]
STEPS, WIDTH, HEIGHT = 5, 0.95, 0.55

ax = style.canvas(8.7, 2.75)
left, top = 0.35, 2.05
rows = [sentence + ["<pad>"] * (STEPS - len(sentence)) for sentence in SENTENCES]
fills = [
    [style.PALE_BLUE] * len(sentence) + [style.PALE_GRAY] * (STEPS - len(sentence))
    for sentence in SENTENCES
]
style.cells(ax, left, top, rows, fills, WIDTH, HEIGHT)
for step in range(STEPS):
    style.text(ax, left + (step + 0.5) * WIDTH, top + 0.2, str(step), style.LABEL, style.GRAY)
style.text(ax, left + STEPS * WIDTH / 2, top + 0.5, "steps")

lengths = left + STEPS * WIDTH + 0.75
for row, sentence in enumerate(SENTENCES):
    middle = top - (row + 0.5) * HEIGHT
    style.cells(ax, lengths, middle + HEIGHT / 2, [[str(len(sentence))]], [["white"]], 0.7, HEIGHT)
style.text(ax, lengths + 0.35, top + 0.25, "valid_lens", family="monospace")
for row, (words, fill) in enumerate(
    [("words", style.PALE_BLUE), ("padding", style.PALE_GRAY)], start=1
):
    middle = top - (row + 0.5) * HEIGHT
    style.cells(ax, lengths + 1.3, middle + 0.15, [[""]], [[fill]], 0.3, 0.3)
    style.text(ax, lengths + 1.75, middle, words, ha="left")
style.save(ax, "padding")
