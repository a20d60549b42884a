"""Draws bahdanau.svg: one step of the Bahdanau decoder, layer by layer, for chapter 05."""

from itertools import pairwise

import style

ax = style.canvas(10.8, 5.9)
ENCODER = [1.0, 2.3, 3.6]  # where the source steps stand
QUERY, VALUE, STATE = style.RED, style.BLUE, style.BLACK

# The encoder and what it gives
for i, x in enumerate(ENCODER):
    style.text(ax, x, 0.5, ("we", "see", "cats")[i])
    style.arrow(ax, (x, 0.75), (x, 1.25))
    style.box(ax, x, 1.55, "GRU", 0.9, fill=style.PALE_BLUE)
    style.arrow(ax, (x, 1.87), (x, 3.13), color=VALUE)
for left, right in pairwise(ENCODER):
    style.arrow(ax, (left + 0.47, 1.55), (right - 0.47, 1.55))
style.text(ax, 2.95, 2.5, r"outputs $\mathbf{h}_t$:" "\nkeys, values", style.LABEL, VALUE)

# Attention
style.box(ax, 2.3, 3.45, "additive attention", 3.9, fill=style.PALE_GREEN)
style.arrow(ax, (4.27, 3.45), (6.13, 3.45))
style.text(ax, 5.2, 3.74, r"context $\mathbf{c}_{t'}$", style.LABEL)

# The decoder's step
style.text(ax, 8.6, 0.5, "previous word")
style.arrow(ax, (8.6, 0.75), (8.6, 1.25))
style.box(ax, 8.6, 1.55, "embedding", 1.8, fill=style.PALE_ORANGE)
style.arrow(ax, (8.6, 1.87), (8.0, 3.13))
style.box(ax, 7.4, 3.45, "[context, embedding]", 2.5, fill=style.PALE_GRAY, size=style.LABEL)
style.arrow(ax, (7.4, 3.77), (7.4, 4.23))
style.box(ax, 7.4, 4.55, "GRU", 1.2, fill=style.PALE_ORANGE)
style.arrow(ax, (8.02, 4.55), (8.93, 4.55))
style.text(ax, 8.45, 4.82, r"$\mathbf{s}_{t'}$", style.LABEL)
style.box(ax, 9.6, 4.55, "dense", 1.3, fill=style.PALE_ORANGE)
style.arrow(ax, (9.6, 4.87), (9.6, 5.35))
style.text(ax, 9.6, 5.6, "next word")

# The state of the step before: query now, and where the GRU goes on from
style.box(
    ax,
    4.4,
    5.3,
    r"state of the step before, $\mathbf{s}_{t'-1}$",
    3.9,
    fill=style.PALE_RED,
    size=style.LABEL,
)
style.arrow(ax, (3.3, 4.98), (2.3, 3.8), color=QUERY)
style.text(ax, 2.25, 4.5, "query", style.LABEL, QUERY)
style.arrow(ax, (6.37, 5.3), (7.05, 4.87), color=STATE)
style.save(ax, "bahdanau")
