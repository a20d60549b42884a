"""Plots: what is drawn, in the house style, and shown once in a notebook."""

import io
import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from d2l_ext import plots

SOURCE, TARGET = ["i", "do", "not", "sleep", "."], ["je", "ne", "dors", "pas", "."]
GOLD = ((0, 0), (2, 1), (2, 3), (3, 2), (4, 4))


def some_weights(*shape):
    weights = np.random.default_rng(0).random(shape)
    return weights / weights.sum(axis=-1, keepdims=True)


def draw_all():
    return [
        plots.heatmaps(some_weights(3, 8, 5), titles=["a", "b", "c"], decimals=1),
        plots.attention(some_weights(5, 5), SOURCE, TARGET, GOLD, title="negation"),
        plots.attention(some_weights(3, 5, 5), SOURCE, TARGET, GOLD, title=["a", "b", "c"]),
        plots.lines([1, 10, 100], {"one": [1, 2, 3], "two": [3, 2, 1]}, "keys", "ms", log_x=True),
    ]


def labels(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def test_style_is_legible_and_leaves_matplotlib_alone():
    before = dict(mpl.rcParams)
    for figure in draw_all():
        figure.draw_without_rendering()
        shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert len(shown) > 5
        assert min(text.get_fontsize() for text in shown) >= 13
        assert {mpl.colors.to_hex(ax.spines["left"].get_edgecolor()) for ax in figure.axes} == {
            "#000000"
        }
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_nothing_is_cut_off_at_the_edges():
    long = ["aujourd'hui"] * 30
    figures = [*draw_all(), plots.attention(some_weights(30, 30), long, long, title="long")]
    for figure in figures:
        file = io.BytesIO()
        figure.savefig(file, format="png")
        file.seek(0)
        image = plt.imread(file)[..., :3]
        for edge in (image[0], image[-1], image[:, 0], image[:, -1]):
            assert (edge == 1).all()  # white: nothing is cut off


def test_heatmaps_show_the_matrices_on_one_scale():
    matrices = some_weights(2, 3, 4)
    matrices[1] *= 0.5
    figure = plots.heatmaps(
        matrices, ["first", "second"], row_labels=list("abc"), column_labels=list("wxyz")
    )
    first, second, bar = figure.axes
    for ax, matrix in zip((first, second), matrices):
        np.testing.assert_allclose(ax.images[0].get_array(), matrix)
        assert ax.images[0].get_clim() == (0, matrices.max())
        assert labels(ax.xaxis) == list("wxyz") and labels(ax.yaxis) == list("abc")
    assert [ax.get_title() for ax in (first, second)] == ["first", "second"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("Keys", "Queries")
    assert second.get_ylabel() == ""
    assert bar.get_ylim()[0] == 0


def test_heatmaps_count_and_write_values():
    figure = plots.heatmaps([np.array([[0.0, 1.0], [0.25, 0.5]])], decimals=2)
    ax = figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["0.00", "1.00", "0.25", "0.50"]
    assert [text.get_color() for text in ax.texts] == ["black", "white", "black", "black"]


@pytest.mark.parametrize("matrices", [np.zeros((1, 2, 2)), [np.full((2, 2), -1.0)]])
def test_heatmaps_of_unusual_values(matrices):
    low, high = plots.heatmaps(matrices).axes[0].images[0].get_clim()
    assert low == min(0, np.min(matrices)) and high > low


def test_heatmaps_errors():
    with pytest.raises(ValueError, match="no matrices"):
        plots.heatmaps([])
    with pytest.raises(ValueError, match=r"matrix 0 has shape \(3,\)"):
        plots.heatmaps(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="1 titles, but 2 to label"):
        plots.heatmaps(np.zeros((2, 3, 3)), titles=["a"])
    with pytest.raises(ValueError, match="2 row labels, but 3 to label"):
        plots.heatmaps(np.zeros((2, 3, 3)), row_labels=["a", "b"])


def test_attention_puts_the_target_on_the_rows():
    weights = some_weights(4, 5)
    ax = plots.attention(weights, SOURCE, TARGET[:4]).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array(), weights)
    assert labels(ax.xaxis) == SOURCE and labels(ax.yaxis) == TARGET[:4]
    assert ax.images[0].get_clim() == (0, 1)
    assert not [patch for patch in ax.patches if isinstance(patch, Rectangle)]


def test_attention_frames_the_gold_cells():
    ax = plots.attention(some_weights(5, 5), SOURCE, TARGET, GOLD).axes[0]
    frames = [
        (
            round(patch.get_x() + patch.get_width() / 2),
            round(patch.get_y() + patch.get_height() / 2),
        )
        for patch in ax.patches
        if mpl.colors.same_color(patch.get_edgecolor(), plots.GOLD)
    ]
    assert sorted(frames) == sorted(GOLD)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["gold alignment"]


def test_attention_errors():
    with pytest.raises(ValueError, match=r"shape \(5, 6\), but there are 5 target and 5 source"):
        plots.attention(some_weights(5, 6), SOURCE, TARGET)
    with pytest.raises(ValueError, match="links source token 5 with target token 0"):
        plots.attention(some_weights(5, 5), SOURCE, TARGET, [(5, 0)])
    assert plt.get_fignums() == []


UNKNOWN = "\U000f0000"  # a character for private use, which no font has


@pytest.fixture
def fresh_fonts(monkeypatch):
    """Matplotlib's list of fonts, which is as it was behind the test."""
    monkeypatch.setattr(
        font_manager.fontManager, "ttflist", list(font_manager.fontManager.ttflist)
    )
    yield
    plots._characters.cache_clear()
    font_manager.fontManager._findfont_cached.cache_clear()


def save(figure):
    """Save a figure as a notebook does."""
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    return file.getvalue()


def test_what_no_font_can_draw_is_said_once_with_its_words():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = plots.attention(some_weights(2, 2), ["a", f"b{UNKNOWN}"], ["c", "d"])
        save(figure)
        save(figure)
    (warning,) = caught
    assert f"can draw b{UNKNOWN}; install the Noto fonts" in str(warning.message)
    assert warning.filename == __file__


def test_a_font_that_is_installed_while_python_runs_is_found(tmp_path, monkeypatch, fresh_fonts):
    font = TTFont(font_manager.findfont("DejaVu Sans"))
    for table in font["cmap"].tables:
        if table.format == 12:
            table.cmap = {ord(UNKNOWN): "A"}
    for name in font["name"].names:
        name.string = "Noto Sans Tests"
    own = tmp_path / "own.ttf"
    font.save(own)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(
        font_manager, "findSystemFonts", lambda: [str(own), str(tmp_path / "broken.ttf")]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = plots.attention(some_weights(1, 1), [UNKNOWN], ["c"])
        save(figure)
    families = figure.axes[0].get_xticklabels()[0].get_fontfamily()
    assert families[0] == "DejaVu Sans" and families[-1] == "Noto Sans Tests"


def test_words_from_right_to_left(monkeypatch):
    """The first letter of this word, which reaches the line, stands right of the second."""
    if mpl.__version_info__ < (3, 11):
        pytest.skip("this Matplotlib draws it wrong, and says so")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plots.attention(some_weights(1, 1), ["a"], ["\u05e9\u05d9"]).axes[0]
        (label,) = ax.get_yticklabels()
    figure = plt.figure(figsize=(2, 2))
    figure.text(0.5, 0.5, label.get_text(), fontfamily=label.get_fontfamily(), fontsize=40)
    figure.canvas.draw()
    ink = np.asarray(figure.canvas.buffer_rgba())[..., 0] < 128
    plt.close(figure)
    rows, columns = np.nonzero(ink)
    low = columns[rows > (rows.min() + 2 * rows.max()) / 3]
    assert low.mean() > columns.mean() + 3


@pytest.mark.parametrize("word", ["\u05e9\u05d9", "\u0643\u062a\u0627\u0628", "\u0915\u093f"])
def test_an_older_matplotlib_says_which_words_it_draws_wrong(word, monkeypatch):
    monkeypatch.setattr(mpl, "__version_info__", (3, 10, 0, "final", 0), raising=False)
    for words, wrong in (([word, "b"], 1), (["\u00e9", "\u4f60"], 0)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            plots.attention(some_weights(1, 2), words, ["c"])
        said = [str(w.message) for w in caught if "wrong order or form" in str(w.message)]
        assert len(said) == wrong
        assert all(f"letters of {word} in" in message for message in said)


def test_lines_differ_in_color_marker_and_dashes():
    series = {f"line {k}": [k, k + 1, np.nan] for k in range(6)}
    ax = plots.lines(["1–5", "6–10", "11–15"], series, "tokens", "BLEU", ylim=(0, 100)).axes[0]
    drawn = ax.get_lines()
    assert [line.get_label() for line in drawn] == list(series)
    for feature in ("get_color", "get_marker"):
        assert len({getattr(line, feature)() for line in drawn}) == 6
    assert len({str(line._dash_pattern) for line in drawn}) == 6
    for line, values in zip(drawn, series.values()):
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert ax.get_ylim() == (0, 100)
    assert labels(ax.xaxis) == ["1–5", "6–10", "11–15"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(series)


def test_lines_with_one_series_and_logarithmic_axes():
    ax = plots.lines([1, 10], {"time": [1, 9]}, "keys", "ms", log_x=True, log_y=True).axes[0]
    assert ax.get_legend() is None
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_lines_around_points():
    x = np.linspace(0, 1, 400)
    ax = plots.lines(x, {"fit": x}, "x", "y", points=([0.25, 0.5], [0.3, 0.4])).axes[0]
    assert ax.collections[0].get_offsets().tolist() == [[0.25, 0.3], [0.5, 0.4]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["data", "fit"]
    assert len(x) / ax.get_lines()[0].get_markevery() <= 30  # markers stay apart


def test_lines_errors():
    with pytest.raises(ValueError, match=r"'b' has shape \(1,\), but there are 2 points"):
        plots.lines([1, 2], {"a": [1, 2], "b": [1]}, "x", "y")
    with pytest.raises(ValueError, match="there are 0 series; expected 1 to 6"):
        plots.lines([1, 2], {}, "x", "y")
    assert plt.get_fignums() == []


class TensorOnDevice:
    """What torch.Tensor asks of its users: no NumPy before it is detached and on the CPU."""

    def __init__(self, values, steps=("detach", "cpu", "float")):
        self.values, self.steps = values, steps

    def __getattr__(self, name):
        if self.steps and name == self.steps[0]:
            return lambda: TensorOnDevice(self.values, self.steps[1:])
        raise AttributeError(name)

    def __array__(self, dtype=None, copy=None):
        if self.steps:
            raise RuntimeError("call detach(), cpu() and float() first")
        return np.asarray(self.values, dtype)


class MXNetArray:
    def __init__(self, values):
        self.values = values

    def asnumpy(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("slow: element by element")


@pytest.mark.parametrize("array", [TensorOnDevice, MXNetArray, np.ndarray.tolist])
def test_arrays_of_any_framework(array):
    weights = some_weights(5, 5)
    for figure in (
        plots.heatmaps([array(weights)]),
        plots.attention(array(weights), SOURCE, TARGET),
    ):
        np.testing.assert_allclose(figure.axes[0].images[0].get_array(), weights)
    line = plots.lines([1, 2], {"a": array(np.array([3.0, 4.0]))}, "x", "y").axes[0].get_lines()[0]
    assert line.get_ydata().tolist() == [3, 4]


def test_notebook_shows_a_figure_once():
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell("from d2l_ext import plots\nplots.heatmaps([[[0, 1], [1, 0]]])"),
        nbformat.v4.new_code_cell("figure = plots.heatmaps([[[0, 1], [1, 0]]])\nNone"),
    ]
    nbclient.NotebookClient(notebook, timeout=120).execute()
    (output,) = notebook.cells[0].outputs
    assert output.output_type == "execute_result"
    assert output.data["text/plain"].startswith("<Figure size")
    assert "image/png" in output.data
    assert notebook.cells[1].outputs == []
