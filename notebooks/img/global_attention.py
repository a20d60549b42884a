"""Draws global_attention.svg: a step of Bahdanau's and of Luong's decoder, chapter 07."""

import style

ax = style.canvas(13.6, 6.3)
QUERY, VALUE = style.RED, style.BLUE
STATE, WORD = r"state $\mathbf{h}_{t-1}$", r"word $\mathbf{y}_{t-1}$"


# Bahdanau: attention, then the GRU
style.text(ax, 3.8, 6.0, "Bahdanau: before the GRU", style.TITLE)
style.box(ax, 0.85, 0.5, "encoder\noutputs", 1.3, 0.8, style.PALE_BLUE)
style.box(ax, 2.5, 0.5, STATE, 1.7, fill=style.PALE_RED)
style.box(ax, 5.1, 0.5, WORD, 1.7, fill=style.PALE_ORANGE)
style.box(ax, 2.3, 1.8, "attention", 1.7, fill=style.PALE_GREEN)
style.box(ax, 3.8, 3.1, "GRU", 1.7, fill=style.PALE_ORANGE)
style.box(ax, 3.8, 4.2, "dense", 1.7, fill=style.PALE_ORANGE)
style.arrow(ax, (1.1, 0.9), (1.75, 1.5), VALUE)
style.text(ax, 1.3, 1.25, "keys, values", style.LABEL, VALUE, ha="right")
style.arrow(ax, (2.5, 0.8), (2.5, 1.5), QUERY)
style.text(ax, 2.37, 1.12, "query", style.LABEL, QUERY, ha="right")
style.arrow(ax, (2.4, 2.1), (3.3, 2.8), VALUE)
style.text(ax, 2.6, 2.55, r"$\mathbf{c}_t$", style.TEXT, VALUE)
style.arrow(ax, (5.1, 0.8), (4.3, 2.8))
style.arrow(ax, (3.0, 0.8), (3.8, 2.8))
style.arrow(ax, (3.8, 3.4), (3.8, 3.9))
style.text(ax, 3.95, 3.65, r"$\mathbf{h}_t$", ha="left")
style.arrow(ax, (3.8, 4.5), (3.8, 5.1))
style.text(ax, 3.8, 5.4, "next word")

# Luong: the GRU, then attention
style.text(ax, 9.5, 6.0, "Luong: behind the GRU", style.TITLE)
style.box(ax, 7.6, 0.5, STATE, 1.7, fill=style.PALE_RED)
style.box(ax, 9.5, 0.5, WORD, 1.7, fill=style.PALE_ORANGE)
style.box(ax, 11.25, 0.5, "encoder\noutputs", 1.3, 0.8, style.PALE_BLUE)
style.box(ax, 8.8, 1.8, "GRU", 1.7, fill=style.PALE_ORANGE)
style.box(ax, 11.0, 2.6, "attention", 1.7, fill=style.PALE_GREEN)
style.box(ax, 8.8, 3.7, r"tanh $\mathbf{W}_c[\mathbf{c}_t; \mathbf{h}_t]$", 2.5)
style.box(ax, 8.8, 4.8, "dense", 1.7, fill=style.PALE_ORANGE)
style.arrow(ax, (7.6, 0.8), (8.4, 1.5))
style.arrow(ax, (9.5, 0.8), (9.1, 1.5))
style.arrow(ax, (8.8, 2.1), (8.8, 3.4))
style.text(ax, 8.65, 2.75, r"$\mathbf{h}_t$", ha="right")
style.arrow(ax, (9.65, 1.9), (10.5, 2.3), QUERY)
style.text(ax, 10.2, 1.8, "query", style.LABEL, QUERY, ha="left")
style.arrow(ax, (11.25, 0.9), (11.25, 2.3), VALUE)
style.text(ax, 11.4, 1.6, "keys,\nvalues", style.LABEL, VALUE, ha="left")
style.arrow(ax, (10.6, 2.9), (9.7, 3.4), VALUE)
style.text(ax, 10.35, 3.3, r"$\mathbf{c}_t$", style.TEXT, VALUE, ha="left")
style.arrow(ax, (8.8, 4.0), (8.8, 4.5))
style.text(ax, 8.95, 4.25, r"$\tilde{\mathbf{h}}_t$", ha="left")
style.arrow(ax, (8.8, 5.1), (8.8, 5.4))
style.text(ax, 8.8, 5.6, "next word")
ax.plot([10.05, 12.85, 12.85], [3.7, 3.7, 1.3], color=style.GRAY, ls="--")
style.arrow(ax, (12.85, 1.3), (12.85, 0.95), style.GRAY)
style.text(ax, 12.8, 0.5, "input feeding:\ninto the GRU\nof step t + 1", style.LABEL, style.GRAY)

style.save(ax, "global_attention")
