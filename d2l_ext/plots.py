"""Pictures of results, one call each, in one house style: heatmaps, attention and lines.

Every function returns a matplotlib figure that a notebook shows when it is the last value of a
cell (or by IPython's `display`); `figure.savefig` writes it to a file. Arrays of any framework
will do. matplotlib's own settings stay as they are.
"""

import contextlib
import functools
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

if TYPE_CHECKING:  # to import matplotlib takes a while
    from matplotlib.figure import Figure

_P = ParamSpec("_P")

# Okabe and Ito's colors, which are told apart with any kind of color vision; markers and dashes
# tell the lines apart in a gray print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
GOLD = "#E69F00"
SMALL, LARGE = 13, 14  # points
# Where DejaVu Sans has no glyph, the next of these that is installed is asked, and then all other
# families of Noto Sans.
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Arial Unicode MS",
)
STYLE = {
    "font.size": SMALL,
    "axes.labelsize": LARGE,
    "axes.titlesize": LARGE,
    "axes.edgecolor": "black",
    "axes.labelcolor": "black",
    "axes.linewidth": 1.0,
    "legend.fontsize": SMALL,
    "text.color": "black",
    "figure.facecolor": "white",
    "figure.dpi": 100,
}


def _in_house_style(function: Callable[_P, "Figure"]) -> Callable[_P, "Figure"]:
    """Draw in the house style, and close the figure, lest notebooks show it a second time."""

    @functools.wraps(function)
    def draw(*args: _P.args, **kwargs: _P.kwargs) -> "Figure":
        import matplotlib.pyplot as plt

        with plt.rc_context(STYLE | {"font.family": _installed()}), warnings.catch_warnings():
            # One warning of our own instead of one for each character
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            figure = function(*args, **kwargs)
            plt.close(figure)
        _complete_fonts(figure)
        return figure

    return draw


@functools.cache
def _installed():
    """Those of `FONTS` that are installed."""
    from matplotlib import font_manager

    names = {font.name for font in font_manager.fontManager.ttflist}
    return [name for name in FONTS if name in names]


@functools.cache
def _characters(name):
    """All characters that a font can draw."""
    from matplotlib import font_manager

    return frozenset(font_manager.get_font(font_manager.findfont(name)).get_charmap())


def _complete_fonts(figure):
    """Find fonts for what those of `FONTS` cannot draw; say what none can, or none draws right."""
    import matplotlib.text

    texts = figure.findobj(matplotlib.text.Text)
    words = {text.get_text() for text in texts if not text.get_text().isascii()}
    if not words:
        return
    missing = {*map(ord, "".join(words))} - {ord("\n")}
    missing = missing.difference(*map(_characters, _installed()))
    more = []
    for name in _other_fonts() if missing else ():
        if missing & _characters(name):
            more.append(name)
            missing -= _characters(name)
    if more:
        for text in texts:
            text.set_fontfamily([*_installed(), *more])
    _warn_of_missing(words, missing)
    _warn_of_order(words)


def _other_fonts():
    """The families of Noto Sans that are installed, since Matplotlib last looked or before."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    for path in {*font_manager.findSystemFonts()} - {font.fname for font in manager.ttflist}:
        with contextlib.suppress(OSError, RuntimeError):  # one that Matplotlib cannot read
            manager.addfont(path)
    return sorted({font.name for font in manager.ttflist if font.name.startswith("Noto Sans ")})


def _warn_of_missing(words, missing):
    """Say which words have characters that no font can draw, and let Matplotlib not say it."""
    unknown = sorted(word for word in words if missing.intersection(map(ord, word)))
    if unknown:
        warnings.warn(
            f"no installed font can draw {_some(unknown)}; install the Noto fonts (Debian and "
            "Ubuntu: apt install fonts-noto-cjk fonts-noto-core) and draw again, or look at the "
            "interactive view, which has the browser's fonts",
            stacklevel=4,
        )
        # Matplotlib warns of each character, when the figure is shown or saved
        warnings.filterwarnings("ignore", f"Glyph ({'|'.join(map(str, sorted(missing)))}) ")


def _warn_of_order(words):
    """Say which words this Matplotlib draws wrong: before 3.11 it does not shape text."""
    import matplotlib

    if matplotlib.__version_info__ >= (3, 11):
        return
    wrong = sorted(word for word in words if any(map(_is_shaped, word)))
    if wrong:
        warnings.warn(
            f"Matplotlib {matplotlib.__version__} draws the letters of {_some(wrong)} in a wrong "
            "order or form; install Matplotlib 3.11, or look at the interactive view "
            "(views.attention), which the browser draws",
            stacklevel=4,
        )


def _is_shaped(character):
    """Whether it is read from right to left, or a vowel sign that may stand before its letter."""
    right_to_left = unicodedata.bidirectional(character) in ("R", "AL")
    return right_to_left or unicodedata.category(character) == "Mc"


def _some(words):
    return ", ".join(words[:5]) + (", ..." if len(words) > 5 else "")


def to_numpy(array: Any) -> np.ndarray:
    """Give an array of any shape as NumPy's float64, whatever device or gradient it hangs on.

    Args:
        array: of any framework, or what `numpy.asarray` takes.

    Returns:
        NumPy float64 array.
    """
    if hasattr(array, "asnumpy"):  # mxnet.np.ndarray, which has a detach too
        array = array.asnumpy()
    elif hasattr(array, "detach"):  # torch.Tensor
        array = array.detach().cpu().float()
    return np.asarray(array, dtype=np.float64)


def _tick(ax, **parameters):
    # Ticks are made late, outside the style's context, so they are told their size.
    ax.tick_params(labelsize=SMALL, color="black", labelcolor="black", **parameters)


def _check_labels(name, labels, size):
    if labels is not None and len(labels) != size:
        raise ValueError(f"{len(labels)} {name}, but {size} to label")


@_in_house_style
def heatmaps(
    matrices: Iterable[Any],
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    xlabel: str = "Keys",
    ylabel: str = "Queries",
    decimals: int | None = None,
) -> "Figure":
    """Draw matrices side by side as heatmaps with one color bar, which starts at 0.

    Args:
        matrices: array (matrices, rows, columns), or a list of arrays (rows, columns). Attention
            weights (queries, keys), usually.
        titles: list of a string for each matrix, or None.
        row_labels: list of a string for each row, or None to count them.
        column_labels: list of a string for each column, or None to count them.
        xlabel: string, below each heatmap.
        ylabel: string, beside the first heatmap.
        decimals: write the values into the cells, with so many decimals; None for no values.

    Returns:
        matplotlib figure.

    Raises:
        ValueError: if there is no matrix, one is not two-dimensional, or labels do not fit.
    """
    import matplotlib.pyplot as plt

    matrices = [to_numpy(matrix) for matrix in matrices]
    if not matrices:
        raise ValueError("there are no matrices to draw")
    for number, matrix in enumerate(matrices):
        if matrix.ndim != 2 or matrix.size == 0:
            raise ValueError(
                f"matrix {number} has shape {matrix.shape}; expected (rows, columns), with at "
                "least one of each"
            )
        _check_labels("row labels", row_labels, matrix.shape[0])
        _check_labels("column labels", column_labels, matrix.shape[1])
    _check_labels("titles", titles, len(matrices))

    low = min(0, *(np.nanmin(matrix) for matrix in matrices))
    high = max(np.nanmax(matrix) for matrix in matrices)
    rows, columns = np.max([matrix.shape for matrix in matrices], axis=0)
    cell = 0.55 if decimals is not None else 0.42  # inches
    width = max(1.9, cell * columns) + 0.3
    height = max(1.5, cell * rows)
    figure, axes = plt.subplots(
        1,
        len(matrices),
        figsize=(width * len(matrices) + 1.8, height + 1.2),
        layout="constrained",
        squeeze=False,
    )
    for number, (ax, matrix) in enumerate(zip(axes[0], matrices)):
        image = _draw_matrix(ax, matrix, low, high, row_labels, column_labels, decimals)
        ax.set_xlabel(xlabel)
        if number == 0:
            ax.set_ylabel(ylabel)
        if titles is not None:
            ax.set_title(titles[number])
    _color_bar(figure, image, axes[0].tolist())
    return figure


def _draw_matrix(ax, matrix, low, high, row_labels, column_labels, decimals=None, lines=True):
    from matplotlib.ticker import MaxNLocator

    image = ax.imshow(matrix, cmap="Blues", vmin=low, vmax=high if high > low else low + 1)
    ax.set_aspect("equal")
    for axis, labels in ((ax.yaxis, row_labels), (ax.xaxis, column_labels)):
        if labels is None:
            axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        else:
            axis.set_ticks(range(len(labels)), labels=labels)
    if lines:  # white ones between the cells, so that equal neighbors stay apart
        ax.set_xticks(np.arange(0.5, matrix.shape[1] - 1), minor=True)
        ax.set_yticks(np.arange(0.5, matrix.shape[0] - 1), minor=True)
        ax.grid(which="minor", color="white", linewidth=1)
    _tick(ax)
    ax.tick_params(which="minor", length=0)
    if decimals is not None:
        for (row, column), value in np.ndenumerate(matrix):
            dark = value - low > 0.6 * (high - low)
            ax.text(
                column,
                row,
                f"{value:.{decimals}f}",
                ha="center",
                va="center",
                color="white" if dark else "black",
            )
    return image


def _color_bar(figure, image, axes, beyond=False):
    extend = "max" if beyond else "neither"
    bar = figure.colorbar(image, ax=axes, shrink=0.9, aspect=15, pad=0.02, extend=extend)
    bar.locator.set_params(nbins=5)
    _tick(bar.ax)


@_in_house_style
def attention(
    weights: Any,
    source: Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    alignment: Iterable[tuple[int, int]] | None = None,
    title: str | Sequence[str] | None = None,
    xlabel: str = "Source",
    ylabel: str = "Target",
    vmax: float | None = None,
) -> "Figure":
    """Draw attention weights, target tokens by source tokens: one picture or several.

    Args:
        weights: array (target tokens, source tokens); or (pictures, target tokens, source tokens),
            of heads or steps, which are drawn side by side.
        source: list of the source tokens, one for each column; None to count them.
        target: list of the target tokens, one for each row; None to count them.
        alignment: gold links, (source index, target index) each, whose cells get a frame; or None.
        title: string, for several pictures a list of them; or None.
        xlabel: string, what the columns are.
        ylabel: string, what the rows are.
        vmax: weight of the darkest color; None for 1, or the largest weight if that is more.

    Returns:
        matplotlib figure.

    Raises:
        ValueError: if the shape of the weights is not that of the tokens, a link lies outside, or
            there are not as many titles as pictures.
    """
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    weights, alignment, titles = check_attention(weights, source, target, alignment, title)
    pictures, rows, columns = weights.shape
    if source is None and target is None:
        cell = min(0.42, 3.0 / max(rows, columns))  # inches
    else:
        cell = 0.42 if max(rows, columns) <= 16 else 0.3
    tokens = [*(source or ()), *(target or ())]
    margin = 0.13 * max(map(len, tokens)) if tokens else 0.4  # inches for the longest
    width = max(1.2, cell * columns) + 0.2
    across = max(1, min(pictures, int(11 / width)))  # more go into further lines
    down = -(-pictures // across)
    height = max(2.0, cell * rows) + margin + (0.8 if titles is None else 1.1)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(width * across + margin + 1.2, height * down),
        layout="constrained",
        squeeze=False,
    )
    vmax = max(1.0, weights.max()) if vmax is None else vmax
    for number, ax in enumerate(axes.flat):
        if number >= pictures:
            ax.set_axis_off()
            continue
        image = _draw_matrix(ax, weights[number], 0, vmax, target, source, lines=cell > 0.2)
        ax.xaxis.tick_top()
        ax.xaxis.set_label_position("top")
        if source is not None:
            _tick(ax, axis="x", labelrotation=90)
        ax.set_xlabel(xlabel)
        if number % across == 0:
            ax.set_ylabel(ylabel)
        else:
            ax.tick_params(axis="y", labelleft=False)
        if titles is not None:
            ax.set_title(titles[number])
        for link in alignment:
            _frame(ax, *link)
    if alignment:
        mark = Line2D(
            [], [], color=GOLD, marker="s", markersize=12, markeredgewidth=2.5, linestyle="none"
        )
        mark.set_markerfacecolor("none")
        axes[-1, 0].legend(
            [mark],
            ["gold alignment"],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.01),
            frameon=False,
            handletextpad=0.3,
        )
    _color_bar(figure, image, axes.ravel().tolist(), beyond=weights.max() > vmax)
    figure.draw_without_rendering()  # the layout asks where the titles are, above the labels
    return figure


def check_attention(
    weights: Any,
    source: Sequence[str] | None,
    target: Sequence[str] | None,
    alignment: Iterable[tuple[int, int]] | None,
    titles: str | Sequence[str] | None,
) -> tuple[np.ndarray, list[tuple[int, int]], Sequence[str] | None]:
    """Check what is to be drawn, in a picture or in a view.

    Args:
        weights: array (target tokens, source tokens) or (pictures, target tokens, source tokens),
            of any framework; or a list of such pictures.
        source: list of the source tokens, or None.
        target: list of the target tokens, or None.
        alignment: gold links, (source index, target index) each, or None.
        titles: string for one picture, list of strings for several, or None.

    Returns:
        NumPy array (pictures, target tokens, source tokens), list of links, and list of titles or
        None.

    Raises:
        ValueError: if the shape of the weights is not that of the tokens, a link lies outside, or
            there are not as many titles as pictures.
    """
    if isinstance(weights, (list, tuple)):
        weights = [to_numpy(matrix) for matrix in weights]
        shapes = {matrix.shape for matrix in weights}
        if len(shapes) > 1:
            raise ValueError(
                f"attention weights have the shapes {sorted(shapes)}; expected one shape"
            )
        weights = np.array(weights)
    weights = shown = to_numpy(weights)
    if weights.ndim == 2:
        weights = weights[None]
    if weights.ndim != 3 or weights.size == 0:
        raise ValueError(
            f"attention weights have shape {shown.shape}; expected (target tokens, source tokens) "
            "or (pictures, target tokens, source tokens), with at least one of each"
        )
    pictures, rows, columns = weights.shape
    for tokens, size in ((target, rows), (source, columns)):
        if tokens is not None and len(tokens) != size:
            known = [
                f"{len(words)} {name}"
                for name, words in (("target", target), ("source", source))
                if words is not None
            ]
            raise ValueError(
                f"attention weights have shape {shown.shape}, but there are {' and '.join(known)} "
                "tokens"
            )
    alignment = check_links(alignment, columns, rows)
    titles = [titles] if isinstance(titles, str) else titles
    if titles is not None and len(titles) != pictures:
        raise ValueError(
            f"there are {len(titles)} titles for {pictures} pictures: attention weights have "
            f"shape {shown.shape}"
        )
    return weights, alignment, titles


def check_links(
    alignment: Iterable[tuple[int, int]] | None, num_source: int, num_target: int, of: str = ""
) -> list[tuple[int, int]]:
    """Check that gold links lie inside.

    Args:
        alignment: gold links, (source index, target index) each, or None.
        num_source: number of source tokens.
        num_target: number of target tokens.
        of: string for the message, such as " of sentence 3".

    Returns:
        List of links, pairs of integers.

    Raises:
        ValueError: if a link lies outside.
    """
    links = [(int(i), int(j)) for i, j in alignment or ()]
    for i, j in links:
        if not (0 <= i < num_source and 0 <= j < num_target):
            raise ValueError(
                f"the alignment{of} links source token {i} with target token {j}, but there are "
                f"only {num_source} and {num_target}"
            )
    return links


def _frame(ax, i, j):
    """Frame the cell of source token i and target token j."""
    from matplotlib.patches import Rectangle

    # A white frame around an orange one is seen on pale and on dark cells.
    for color, line in (("white", 4.5), (GOLD, 2.5)):
        ax.add_patch(
            Rectangle(
                (i - 0.43, j - 0.43), 0.86, 0.86, fill=False, edgecolor=color, linewidth=line
            )
        )


@_in_house_style
def lines(
    x: Any,
    series: Mapping[str, Any],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    log_x: bool = False,
    log_y: bool = False,
    ylim: tuple[float, float] | None = None,
    points: tuple[Any, Any] | None = None,
) -> "Figure":
    """Draw lines over a common axis, told apart by color, marker and dashes.

    Args:
        x: sequence of positions (points,), numbers, or strings such as "1-5".
        series: dict from label to sequence of values (points,); NaN leaves a gap.
        xlabel: string.
        ylabel: string, with the unit.
        title: string or None.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        ylim: lowest and highest value shown, or None.
        points: two sequences of the same length, positions and values of the data that the lines
            are about, drawn as dots; or None.

    Returns:
        matplotlib figure.

    Raises:
        ValueError: if there is no series, one does not have as many points as `x`, or there are
            more than can be told apart.
    """
    import matplotlib.pyplot as plt

    if not 1 <= len(series) <= len(COLORS):
        raise ValueError(f"there are {len(series)} series; expected 1 to {len(COLORS)}")
    if len(x) == 0 or not isinstance(x[0], str):
        x = to_numpy(x)
    series = {label: to_numpy(values) for label, values in series.items()}
    for label, values in series.items():
        if values.shape != (len(x),):
            raise ValueError(f"{label!r} has shape {values.shape}, but there are {len(x)} points")
    figure, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    if points is not None:
        ax.scatter(*map(to_numpy, points), s=30, color="0.45", label="data", zorder=3)
    for number, (label, values) in enumerate(series.items()):
        ax.plot(
            x,
            values,
            color=COLORS[number],
            marker=MARKERS[number],
            linestyle=DASHES[number],
            linewidth=2,
            markersize=7,
            markevery=max(1, len(x) // 25),
            label=label,
        )
    if log_x:
        ax.set_xscale("log")
    if log_y:
        ax.set_yscale("log")
    if not log_x and not isinstance(x[0], str) and (x == np.round(x)).all():
        ax.xaxis.get_major_locator().set_params(integer=True)  # no word 1.5
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title or "")
    if ylim is not None:
        ax.set_ylim(ylim)
    ax.grid(color="0.88", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    _tick(ax, which="both")
    if len(series) > 1 or points is not None:
        ax.legend(frameon=False, handlelength=2.8)
    return figure
