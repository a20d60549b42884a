"""`show_attention` of chapter 01: the same contract, picture or page, in all four frameworks."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from d2l_ext import plots, views
from tests.test_plots import GOLD, SOURCE, TARGET, labels, some_weights
from tests.test_views import Page

HEADS = ["first head", "second head", "third head"]


def weights_of(*shape):
    return some_weights(*shape).astype(np.float32)


def panels(figure):
    """The axes that show a matrix: neither the color bar nor an empty place."""
    return [ax for ax in figure.axes if ax.images]


def frames(ax):
    """Cells, (source index, target index), that have a golden frame."""
    return sorted(
        (round(patch.get_x() + 0.43), round(patch.get_y() + 0.43))
        for patch in ax.patches
        if mpl.colors.same_color(patch.get_edgecolor(), plots.GOLD)
    )


def test_a_matrix_becomes_a_picture(framework):
    weights = weights_of(5, 5)
    figure = framework.d2l.show_attention(framework.array(weights), SOURCE, TARGET, GOLD)
    (ax,) = panels(figure)
    np.testing.assert_array_equal(ax.images[0].get_array(), weights)
    assert labels(ax.xaxis) == SOURCE and labels(ax.yaxis) == TARGET
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Keys", "Queries")
    assert ax.images[0].get_clim() == (0, 1)  # the same darkness in every chapter
    assert frames(ax) == sorted(GOLD)


@pytest.mark.parametrize("stacked", [True, False])
def test_heads_stand_side_by_side(framework, stacked):
    weights = weights_of(3, 4, 5)
    shown = framework.array(weights) if stacked else [framework.array(w) for w in weights]
    figure = framework.d2l.show_attention(
        shown, SOURCE, TARGET[:4], GOLD[:3], HEADS, "Source", "Target", vmax=0.25
    )
    axes = panels(figure)
    assert [ax.get_title() for ax in axes] == HEADS
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == 1
    for ax, matrix in zip(axes, weights, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), matrix)
        assert ax.images[0].get_clim() == (0, 0.25)
        assert frames(ax) == sorted(GOLD[:3])
        assert ax.get_xlabel() == "Source" and labels(ax.xaxis) == SOURCE
    assert [ax.get_ylabel() for ax in axes] == ["Target", "", ""]


def test_without_tokens_they_are_counted(framework):
    figure = framework.d2l.show_attention(framework.array(weights_of(40, 30)), titles="kernel")
    (ax,) = panels(figure)
    assert ax.get_title() == "kernel"
    figure.draw_without_rendering()
    assert {"0", "10", "20"} <= set(labels(ax.xaxis)) & set(labels(ax.yaxis))
    page = framework.d2l.show_attention(framework.array(weights_of(2, 3)), interactive=True)
    ((head, *rows),) = Page(page.to_html()).tables
    assert [text for text, _ in head] == ["", "0", "1", "2"]
    assert [row[0][0] for row in rows] == ["0", "1"]


def test_the_page_says_what_the_picture_says(framework):
    weights = weights_of(2, 5, 5)
    view = framework.d2l.show_attention(
        framework.array(weights), SOURCE, TARGET, GOLD, HEADS[:2], "<keys>", interactive=True
    )
    assert isinstance(view, views.AttentionView)
    page = Page(view.to_html())
    assert page.titles == HEADS[:2]
    for table, matrix in zip(page.tables, weights, strict=True):
        head, *rows = table
        assert [text for text, _ in head] == ["", *SOURCE]
        assert [row[0][0] for row in rows] == TARGET
        shown = np.array([[float(text.split()[0]) for text, _ in row[1:]] for row in rows])
        np.testing.assert_allclose(shown, matrix, atol=5.1e-4)
        gold = {
            (i, j) for j, row in enumerate(rows) for i, (t, _) in enumerate(row[1:]) if "gold" in t
        }
        assert gold == set(GOLD)
    assert 'data-source="&lt;keys&gt;" data-target="Queries"' in view.to_html()


@pytest.mark.parametrize("interactive", [False, True])
@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        ((5, 4), {"source": SOURCE, "target": TARGET}, r"\(5, 4\), but .* 5 target and 5 source"),
        ((2, 4, 5), {"target": TARGET}, r"\(2, 4, 5\), but there are 5 target tokens"),
        ((5,), {}, r"shape \(5,\); expected \(target tokens, source tokens\) or \(pictures,"),
        ((1, 2, 3, 4), {}, r"shape \(1, 2, 3, 4\); expected"),
        ((0, 5), {}, r"shape \(0, 5\); .* at least one of each"),
        ((4, 5), {"alignment": [(5, 0)]}, "source token 5 with target token 0.*only 5 and 4"),
        ((4, 5), {"alignment": [(0, -1)]}, "source token 0 with target token -1"),
        ((2, 4, 5), {"titles": HEADS}, r"3 titles for 2 pictures.* shape \(2, 4, 5\)"),
        ((2, 4, 5), {"titles": "one"}, "1 titles for 2 pictures"),
    ],
)
def test_what_does_not_fit_is_named(framework, shape, given, message, interactive):
    weights = framework.array(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=message):
        framework.d2l.show_attention(weights, interactive=interactive, **given)


def test_pictures_of_different_shapes_are_refused(framework):
    weights = [framework.array(weights_of(2, columns)) for columns in (3, 4)]
    with pytest.raises(ValueError, match=r"shapes \[\(2, 3\), \(2, 4\)\]; expected one shape"):
        framework.d2l.show_attention(weights)


def test_gradients_are_no_obstacle():
    torch = pytest.importorskip("torch")
    from d2l_ext import torch as d2l

    weights = torch.softmax(torch.zeros(2, 3, requires_grad=True), dim=-1)
    for shown in (weights, [weights, weights]):
        assert isinstance(d2l.show_attention(shown), Figure)


def test_many_pictures_go_into_lines_that_fit_a_page():
    figure = plots.attention(some_weights(8, 5, 5), SOURCE, TARGET, title=list("abcdefgh"))
    assert [ax.get_title() for ax in panels(figure)] == list("abcdefgh")
    starts = [ax.get_subplotspec().rowspan.start for ax in panels(figure)]
    assert starts == sorted(starts) and len(set(starts)) > 1
    assert figure.get_size_inches()[0] < 14
    figure.draw_without_rendering()
    whole = figure.bbox
    for ax in panels(figure):
        box = ax.get_tightbbox()
        assert whole.x0 <= box.x0 and box.x1 <= whole.x1
        assert whole.y0 <= box.y0 and box.y1 <= whole.y1


def test_weights_beyond_the_scale_are_marked_on_the_bar():
    beyond = plots.attention(np.array([[0.9, 0.1]]), vmax=0.5).axes[-1]
    within = plots.attention(np.array([[0.4, 0.1]]), vmax=0.5).axes[-1]
    assert (beyond._colorbar.extend, within._colorbar.extend) == ("max", "neither")
