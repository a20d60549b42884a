"""Draws transformer.svg: the Transformer and its blocks, for chapter 09."""

import style

ax = style.canvas(10.9, 8.8)
LEFT, RIGHT, WIDTH = 2.9, 8.2, 3.1
ATTENTION, PLAIN, WORDS = style.PALE_GREEN, style.PALE_BLUE, style.PALE_ORANGE


def line(points, color=style.BLACK):
    """Lines from point to point."""
    ax.plot(*zip(*points), color=color, linewidth=1.5, solid_capstyle="round")


def frame(left, bottom, right, top):
    """The border of a block."""
    xs, ys = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
    ax.plot(xs, ys, color=style.GRAY, linestyle="--", linewidth=1)


def part(x, y, name, fill):
    """A part of a block, with the way around it and the arrow to what is above."""
    style.box(ax, x, y, name, WIDTH, fill=fill, size=style.LABEL)
    around = x - WIDTH / 2 - 0.35
    line([(x, y - 0.6), (around, y - 0.6), (around, y + 0.55), (x - 0.15, y + 0.55)])
    line([(x, y + 0.3), (x, y + 0.42)])
    style.text(ax, x, y + 0.55, r"$\oplus$", style.TITLE)
    style.arrow(ax, (x, y + 0.68), (x, y + 1.28))


def stem(x, words, caption):
    """Words, their embeddings, and the positions."""
    style.text(ax, x, 0.35, words)
    style.arrow(ax, (x, 0.6), (x, 0.98))
    style.box(ax, x, 1.3, caption, WIDTH, fill=WORDS, size=style.LABEL)
    style.arrow(ax, (x, 1.62), (x, 2.48))


stem(LEFT, "we see cats <eos>", "embedding + position")
part(LEFT, 2.8, "norm, self-attention", ATTENTION)
part(LEFT, 4.4, "norm, feed-forward", PLAIN)
frame(0.75, 2.0, LEFT + WIDTH / 2 + 0.2, 5.25)
style.text(ax, 0.42, 3.6, "2 ×", style.LABEL)
style.box(ax, LEFT, 6.0, "norm", WIDTH, fill=PLAIN, size=style.LABEL)

stem(RIGHT, "<bos> nous voyons des", "embedding + position")
part(RIGHT, 2.8, "norm, causal self-attention", ATTENTION)
part(RIGHT, 4.4, "norm, attention to the source", ATTENTION)
part(RIGHT, 6.0, "norm, feed-forward", PLAIN)
frame(6.05, 2.0, RIGHT + WIDTH / 2 + 0.2, 6.85)
style.text(ax, 10.4, 4.4, "2 ×", style.LABEL)
style.box(ax, RIGHT, 7.6, "norm, dense", WIDTH, fill=WORDS, size=style.LABEL)
style.arrow(ax, (RIGHT, 7.92), (RIGHT, 8.3))
style.text(ax, RIGHT, 8.55, "nous voyons des chats")

line([(LEFT, 6.3), (LEFT, 6.65), (5.35, 6.65), (5.35, 4.4)], color=style.BLUE)
style.arrow(ax, (5.35, 4.4), (RIGHT - WIDTH / 2 - 0.02, 4.4), color=style.BLUE)
style.text(ax, 4.5, 6.9, "keys and values", style.LABEL, style.BLUE)
style.save(ax, "transformer")
