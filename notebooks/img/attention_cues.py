"""Draws the figures of chapter 01 that show what attention is in people.

attention_cues.svg: the same desk, looked at twice; attention_search.svg: two searches.
"""

import numpy as np
import style
from matplotlib.patches import Circle, Ellipse, FancyBboxPatch, Polygon, Rectangle

LINE = {"ec": style.BLACK, "lw": 1.5}


def cup(ax, x, y, fill):
    """A cup of coffee; (x, y) is the middle of its foot."""
    ax.add_patch(Ellipse((x, y + 0.02), 1.15, 0.2, fc="white", **LINE))
    ax.add_patch(Ellipse((x + 0.42, y + 0.38), 0.34, 0.36, fc="white", **LINE))
    body = [(-0.42, 0.7), (0.42, 0.7), (0.3, 0.06), (-0.3, 0.06)]
    ax.add_patch(Polygon([(x + dx, y + dy) for dx, dy in body], fc=fill, **LINE))
    ax.add_patch(Ellipse((x, y + 0.7), 0.84, 0.18, fc="#5B3A1E", **LINE))
    for dx in (-0.15, 0.15):
        steps = np.linspace(0, 1, 20)
        bend = x + dx + 0.06 * np.sin(7 * steps)
        ax.plot(bend, y + 0.9 + 0.35 * steps, color=style.GRAY, lw=1.5)


def book(ax, x, y):
    """An open book."""
    for side in (-1, 1):
        page = [(0, 0), (side * 0.75, 0.12), (side * 0.75, 0.72), (0, 0.6)]
        ax.add_patch(Polygon([(x + dx, y + dy) for dx, dy in page], fc=style.PALE_GRAY, **LINE))
        for row in range(3):
            start, end = side * 0.12, side * 0.62
            low = y + 0.16 + 0.14 * row
            ax.plot([x + start, x + end], [low, low + 0.08], color=style.GRAY, lw=1.5)


def letter(ax, x, y):
    """An envelope."""
    ax.add_patch(Rectangle((x - 0.55, y), 1.1, 0.65, fc=style.PALE_GRAY, **LINE))
    flap = [(x - 0.55, y + 0.65), (x, y + 0.25), (x + 0.55, y + 0.65)]
    ax.plot(*zip(*flap), color=style.BLACK, lw=1.5)


def telephone(ax, x, y):
    """A mobile phone."""
    corner = "round,pad=0,rounding_size=0.08"
    ax.add_patch(FancyBboxPatch((x - 0.24, y), 0.48, 0.85, boxstyle=corner, fc="white", **LINE))
    ax.add_patch(Rectangle((x - 0.18, y + 0.16), 0.36, 0.57, fc=style.PALE_GRAY, **LINE))
    ax.add_patch(Circle((x, y + 0.085), 0.035, fc="white", **LINE))


def desk(left, title, cause, looked_at):
    """One panel: what lies on the desk, an eye below, and where it looks."""
    places = {"letter": 0.85, "cup": 2.15, "phone": 3.3, "book": 4.5}
    for name, draw in (("letter", letter), ("phone", telephone), ("book", book)):
        draw(ax, left + places[name], 2.55)
    cup(ax, left + places["cup"], 2.55, style.RED)
    for name, x in places.items():
        style.text(ax, left + x, 2.2, name, style.LABEL)
    ax.plot([left + 0.1, left + 5.4], [2.45, 2.45], color=style.BLACK, lw=1.5, zorder=0)
    style.text(ax, left + 2.75, 4.35, title, style.TITLE)
    x = left + 2.75
    style.arrow(ax, (x, 0.98), (left + places[looked_at], 1.98), style.BLUE)
    ax.add_patch(Ellipse((x, 0.75), 0.75, 0.4, fc="white", **LINE))
    ax.add_patch(Circle((x, 0.75), 0.15, fc=style.BLUE, **LINE))
    style.text(ax, x, 0.25, cause)


ax = style.canvas(11.4, 4.6)
desk(0.1, "involuntary", "it stands out", "cup")
desk(5.8, "voluntary", "“I want to read”", "book")
ax.plot([5.7, 5.7], [0.2, 4.4], color=style.GRAY, lw=1, ls=":")
style.save(ax, "attention_cues")


# Two searches. In the first, color alone gives the target away; in the second only color and
# letter together do.
COLUMNS, ROWS, STEP = 6, 4, 0.72
rng = np.random.default_rng(1)
jitter = rng.uniform(-0.13, 0.13, (2, ROWS * COLUMNS, 2))
POP_OUT = ["bT"] * 23
CONJUNCTION = ["oL"] * 12 + ["bT"] * 11
FILL = {"o": style.ORANGE, "b": style.BLUE}

ax = style.canvas(10.6, 3.9)
panels = ((0.2, "one feature", POP_OUT, 9), (5.6, "two features together", CONJUNCTION, 16))
for panel, (left, title, others, place) in enumerate(panels):
    items = list(rng.permutation(others))
    items.insert(place, "oT")
    for number, (color, letter_) in enumerate(items):
        row, column = divmod(number, COLUMNS)
        dx, dy = jitter[panel, number]
        x, y = left + 0.6 + STEP * column + dx, 2.85 - STEP * row + dy
        style.text(ax, x, y, letter_, 20, FILL[color], weight="bold")
    ax.add_patch(Rectangle((left, 0.2), 4.8, 3.1, fc="none", **LINE))
    style.text(ax, left + 2.4, 3.6, title, style.TITLE)
style.save(ax, "attention_search")
