"""The house style of the conceptual figures, and the few shapes that they are drawn from.

Every other script in this folder draws the pictures that it names, and saves them beside itself
with `save`. Coordinates are inches from the lower left corner, so that sizes and fonts are what
they say.
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle

IMAGES = Path(__file__).resolve().parent

# Okabe and Ito's colors: to be told apart with any kind of color vision. The pale ones are for
# areas that carry text.
BLACK, GRAY, PALE_GRAY = "#000000", "#767676", "#E6E6E6"
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PALE_BLUE, PALE_ORANGE, PALE_GREEN, PALE_RED = "#D3E7F4", "#FBE7BF", "#CCECE2", "#F8DDCB"

# Points.
LABEL, TEXT, TITLE = 13, 14, 16

plt.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": TEXT,
        "mathtext.fontset": "dejavusans",
        "svg.fonttype": "path",  # looks the same where the font is missing
        "svg.hashsalt": "d2l-ext",  # the same file from the same script
        "axes.edgecolor": BLACK,
        "lines.linewidth": 1.5,
    }
)


def canvas(width, height):
    """Make an empty drawing.

    Args:
        width, height: inches; also the largest coordinates.

    Returns:
        The matplotlib axes to draw on.
    """
    figure = plt.figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return ax


def save(ax, name):
    """Write a drawing to <name>.svg in this folder, on a white ground (for dark pages)."""
    ax.figure.savefig(IMAGES / f"{name}.svg", facecolor="white", metadata={"Date": None})
    plt.close(ax.figure)


def text(ax, x, y, words, size=TEXT, color=BLACK, **options):
    """Write words centered on a point."""
    options = {"ha": "center", "va": "center"} | options
    ax.text(x, y, words, fontsize=size, color=color, **options)


def cells(ax, x, y, rows, fills, width=0.75, height=0.5, size=TEXT, edge=BLACK):
    """Draw an array, cell by cell.

    Args:
        x, y: upper left corner.
        rows: list of lists of words, one for each cell.
        fills: list of lists of colors, of the same shape.
        width, height: of a cell.
    """
    for i, row in enumerate(rows):
        for j, words in enumerate(row):
            left, bottom = x + j * width, y - (i + 1) * height
            ax.add_patch(Rectangle((left, bottom), width, height, fc=fills[i][j], ec=edge, lw=1.2))
            text(ax, left + width / 2, bottom + height / 2, words, size)


def box(ax, x, y, words, width=1.6, height=0.6, fill=PALE_GRAY, size=TEXT):
    """Draw a step of a computation: a rounded box centered on a point."""
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=0.12"
    ax.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc=fill, ec=BLACK, lw=1.2))
    text(ax, x, y, words, size)


def arrow(ax, start, end, color=BLACK, bend=0.0):
    """Draw an arrow from one point to another."""
    ax.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>,head_width=0.25,head_length=0.5",
            "color": color,
            "lw": 1.5,
            "shrinkA": 0,
            "shrinkB": 0,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )
