"""The house style of the conceptual figures, and the few shapes that they are drawn from.

Every other script in this folder draws the pictures that it names, and saves them beside itself
with `save`, once in English and once in Chinese: labels.zh_CN.json has the words of all of them.
Coordinates are inches from the lower left corner, so that sizes and fonts are what
they say.
"""

import json
import re
from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text

IMAGES = Path(__file__).resolve().parent
LABELS = IMAGES / "labels.zh_CN.json"  # English label -> Chinese; words of examples stay
CHINESE_FONT = "Noto Sans CJK SC"

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
    """Write a drawing to <name>.svg in this folder, and with Chinese labels in the folder zh_CN.

    Raises:
        ValueError: LABELS does not have one of its labels.
        RuntimeError: there is no Chinese font.
    """
    _write(ax, IMAGES / f"{name}.svg")
    _translate(ax.figure)
    _write(ax, IMAGES / "zh_CN" / f"{name}.svg")
    plt.close(ax.figure)


def _write(ax, path):
    """Write a drawing on a white ground (for dark pages)."""
    ax.figure.savefig(path, facecolor="white", metadata={"Date": None})


def _translate(figure):
    """Give a drawing's labels their Chinese words."""
    files = [path for path in font_manager.findSystemFonts() if "NotoSansCJK" in path]
    if not files:
        raise RuntimeError(f"needs the font {CHINESE_FONT}: apt-get install fonts-noto-cjk")
    for path in files:  # matplotlib may have made its list before the font was there
        font_manager.fontManager.addfont(path)
    labels = json.loads(LABELS.read_text(encoding="utf-8"))
    for label in figure.findobj(Text):
        words = label.get_text()
        if words in labels:
            label.set_text(labels[words])
            # Beside a formula matplotlib takes one font, not the first one that has the letter
            label.set_fontfamily(["DejaVu Sans"] * ("$" not in words) + [CHINESE_FONT])
        elif re.search("[A-Za-z]{2}", re.sub(r"\$[^$]*\$", "", words)):
            raise ValueError(f"{LABELS.name} has no {words!r}; add it, with its Chinese words")


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
