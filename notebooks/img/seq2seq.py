"""Draws seq2seq.svg: encoder and decoder joined by one state, for chapter 04."""

import style

SOURCE = ["we", "see", "the", "cat", ".", "<eos>"]
READS = ["<bos>", "nous", "voyons", "le", "chat", "."]
WRITES = ["nous", "voyons", "le", "chat", ".", "<eos>"]
STEP, LEFT, GAP = 1.08, 0.75, 0.55

ax = style.canvas(14.0, 3.7)
start = LEFT + len(SOURCE) * STEP + GAP  # of the decoder
middle = 2.0

for i, word in enumerate(SOURCE):
    x = LEFT + i * STEP
    style.text(ax, x, 0.75, word)
    style.arrow(ax, (x, 1.0), (x, middle - 0.32))
    style.box(ax, x, middle, "GRU", 0.84, fill=style.PALE_BLUE, size=style.LABEL)
for i, (word, prediction) in enumerate(zip(READS, WRITES)):
    x = start + i * STEP
    style.text(ax, x, 0.75, word)
    style.arrow(ax, (x, 1.0), (x, middle - 0.32))
    style.box(ax, x, middle, "GRU", 0.84, fill=style.PALE_ORANGE, size=style.LABEL)
    style.arrow(ax, (x, middle + 0.32), (x, 2.95))
    style.text(ax, x, 3.2, prediction)
for first, count in ((LEFT, len(SOURCE)), (start, len(READS))):
    for i in range(count - 1):
        x = first + i * STEP
        style.arrow(ax, (x + 0.44, middle), (x + STEP - 0.44, middle))
bridge = LEFT + (len(SOURCE) - 1) * STEP
style.arrow(ax, (bridge + 0.44, middle), (start - 0.44, middle), color=style.RED)
# The context: the same state again, at each step of the decoder
rail, below = 1.34, middle - 0.32
ports = [start + i * STEP - 0.26 for i in range(len(READS))]
corner = bridge + 0.26
ax.plot([corner, corner, ports[-1]], [below, rail, rail], color=style.RED)
for x in ports:
    style.arrow(ax, (x, rail), (x, below), color=style.RED)
style.text(ax, bridge - 0.1, middle + 0.95, "the only link:\none state", style.LABEL, style.RED)
style.text(ax, LEFT + 2.5 * STEP, 0.22, "encoder", style.TITLE)
style.text(ax, start + 2.5 * STEP, 0.22, "decoder", style.TITLE)
style.save(ax, "seq2seq")
