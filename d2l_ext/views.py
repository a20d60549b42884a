"""Pages to look around in, with the mouse or the keyboard: which source words a translation read.

A page is complete in itself: no network, no file beside it, no framework. Without JavaScript, and
in print, it is a table of shaded numbers.
"""

import html
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from d2l_ext import files, plots


class Sentence(NamedTuple):
    """A translation and what its words looked at.

    Args:
        weights: attention weights, an array of any framework, (target tokens, source tokens); or
            (heads, target tokens, source tokens), which are shown beside each other.
        source: list of the source tokens, one for each column.
        target: list of the target tokens, one for each row.
        alignment: gold links, (source index, target index) each, which get a frame; or None.
        title: string, or None for the source sentence.
        heads: list of the heads' names, if there is such an axis; None for "head 0" and so on.
    """

    weights: Any
    source: Sequence[str]
    target: Sequence[str]
    alignment: Iterable[tuple[int, int]] | None = None
    title: str | None = None
    heads: Sequence[str] | None = None


def attention(
    sentences: Iterable[Sentence | tuple], xlabel: str = "Source", ylabel: str = "Target"
) -> "AttentionView":
    """Make an interactive view of attention weights.

    Pointing at a target word, or moving to it with Tab and the arrow keys, colors the source
    words by their weights; pointing at a source word colors the target words that looked at it. A
    slider goes through the steps of decoding. The view opens on a telling word: one that looked
    hard at a source word far from its own place, and rightly so where an alignment is known.
    Where there are several heads, each has a row of source words, so that one target word shows
    what all of them looked at.

    Args:
        sentences: list of `Sentence`s, or of tuples like them; one is chosen at a time.
        xlabel: string, what the columns are.
        ylabel: string, what the rows are.

    Returns:
        `AttentionView`, which a notebook shows when it is the last value of a cell.

    Raises:
        ValueError: if there is no sentence, the shape of the weights is not that of the tokens, a
            link lies outside, or there are not as many names as heads.
    """
    sentences = [Sentence(*sentence) for sentence in sentences]
    if not sentences:
        raise ValueError("there are no sentences to show")
    return AttentionView(
        [_section(number, s, xlabel, ylabel) for number, s in enumerate(sentences)]
    )


def panels(
    weights: Any,
    source: Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    alignment: Iterable[tuple[int, int]] | None = None,
    title: str | Sequence[str] | None = None,
    xlabel: str = "Source",
    ylabel: str = "Target",
) -> "AttentionView":
    """Make an interactive view of the heads or steps of one sentence, as `plots.attention` does.

    One of them is seen at a time; `attention` shows heads beside each other.

    Args:
        weights: array (target tokens, source tokens); or (pictures, target tokens, source tokens),
            of which one is chosen at a time.
        source: list of the source tokens, one for each column; None to count them.
        target: list of the target tokens, one for each row; None to count them.
        alignment: gold links, (source index, target index) each, which get a frame; or None.
        title: string, for several pictures a list of them; None to count them.
        xlabel: string, what the columns are.
        ylabel: string, what the rows are.

    Returns:
        `AttentionView`, which a notebook shows when it is the last value of a cell.

    Raises:
        ValueError: if the shape of the weights is not that of the tokens, a link lies outside, or
            there are not as many titles as pictures.
    """
    weights, alignment, titles = plots.check_attention(weights, source, target, alignment, title)
    pictures, rows, columns = weights.shape
    if titles is None:
        titles = [None] if pictures == 1 else [f"{k + 1} of {pictures}" for k in range(pictures)]
    source = [str(k) for k in range(columns)] if source is None else source
    target = [str(k) for k in range(rows)] if target is None else target
    sentences = [
        Sentence(matrix, source, target, alignment, name) for matrix, name in zip(weights, titles)
    ]
    return attention(sentences, xlabel, ylabel)


class AttentionView:
    """What `attention` returns: a page, for a notebook, a file or another page."""

    def __init__(self, sections: Sequence[str]) -> None:
        self._sections = sections

    def __repr__(self) -> str:
        return f"AttentionView({len(self._sections)} pictures)"

    def to_html(self) -> str:
        """Return the whole page, a string."""
        template = resources.files("d2l_ext").joinpath("views.html").read_text(encoding="utf-8")
        return template.replace("<!-- sentences -->", "\n".join(self._sections))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole page to a file, replaced only when the new one is complete."""
        files.write_whole(path, self.to_html().encode("utf-8"))

    def _repr_html_(self):
        # In a frame neither its style nor its script meets those of the notebook or other views.
        page = html.escape(self.to_html())
        return (
            f'<iframe srcdoc="{page}" title="Attention weights" width="100%" height="400" '
            'style="border: 0"></iframe>'
        )


def _section(number, sentence, xlabel, ylabel):
    """The table of a sentence, from which the page's script reads everything."""
    weights = np.round(plots.to_numpy(sentence.weights), 3)
    source, target = list(sentence.source), list(sentence.target)
    fits = weights.ndim in (2, 3) and weights.shape[-2:] == (len(target), len(source))
    if not fits or weights.size == 0:
        raise ValueError(
            f"attention weights of sentence {number} have shape {weights.shape}, but there are "
            f"{len(target)} target and {len(source)} source tokens"
        )
    heads = _head_names(number, sentence.heads, weights)
    of = f" of sentence {number}"
    gold = set(plots.check_links(sentence.alignment, len(source), len(target), of))
    title = html.escape(" ".join(source) if sentence.title is None else sentence.title)
    legend = '<p class="legend"><span class="gold">Framed</span>: gold alignment</p>\n'
    xlabel, ylabel = html.escape(xlabel), html.escape(ylabel)
    axes = f"Rows: {ylabel}. Columns: {xlabel}."
    matrices = weights if heads else weights[None]
    tables = [
        _table(matrix, source, target, gold, axes, html.escape(name))
        for matrix, name in zip(matrices, heads or [""])
    ]
    return (
        f'<section data-source="{xlabel}" data-target="{ylabel}" '
        f'data-start="{_telling(weights, gold)}">\n'
        f"<h2>{title}</h2>\n{legend if gold else ''}<details open>\n"
        '<summary>All weights</summary>\n<div class="wide">'
        + "\n".join(tables)
        + "</div>\n</details>\n</section>"
    )


def _head_names(number, names, weights):
    """The names of a sentence's heads; [] if the weights have no axis of heads."""
    if weights.ndim == 2:
        if names is not None:
            raise ValueError(
                f"sentence {number} names {len(names)} heads, but its attention weights have the "
                f"shape {weights.shape}, without an axis of heads"
            )
        return []
    if names is None:
        return [f"head {head}" for head in range(len(weights))]
    if len(names) != len(weights):
        raise ValueError(
            f"sentence {number} names {len(names)} heads, but its attention weights have the "
            f"shape {weights.shape}, with {len(weights)} heads"
        )
    return list(names)


def _table(weights, source, target, gold, axes, head):
    """The table of one matrix of weights; `head` is the head's name, escaped, or ""."""
    rows = [
        f'<tr><th scope="row" dir="auto">{html.escape(token)}</th>'
        + "".join(_cell(weight, (i, j) in gold) for i, weight in enumerate(weights[j]))
        + "</tr>"
        for j, token in enumerate(target)
    ]
    columns = "".join(f'<th scope="col" dir="auto">{html.escape(token)}</th>' for token in source)
    many = ' class="many"' if head or len(source) > 16 else ""
    name, caption = (f' data-head="{head}"', f"{head}. {axes}") if head else ("", axes)
    return (
        f"<table{many}{name}>\n<caption>{caption}</caption>\n"
        f"<thead><tr><td></td>{columns}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody>\n</table>"
    )


def _telling(weights, gold):
    """The target word that a view opens on: it looked hardest at a word far from its own place.

    That is where the order of words differs. Where gold links are known, only such looks count. Of
    several heads one is enough.
    """
    weights = weights if weights.ndim == 2 else weights.max(axis=0)
    targets, sources = weights.shape
    away = np.abs(np.linspace(0, 1, sources) - np.linspace(0, 1, targets)[:, None])
    scores = weights**2 * away  # squared, so that a faint look from afar does not win
    if gold:
        counts = np.zeros(weights.shape)
        counts[tuple(zip(*((j, i) for i, j in gold)))] = 1
        scores = scores * counts
    return int(scores.max(axis=1).argmax())


def _cell(weight, is_gold):
    mark, note = (' class="gold"', '<span class="unseen"> gold</span>') if is_gold else ("", "")
    return f'<td{mark} style="--w:{weight:g}">{weight:g}{note}</td>'
