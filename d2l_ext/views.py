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
        weights: (target tokens, source tokens) attention weights, an array of any framework.
        source: list of the source tokens, one for each column.
        target: list of the target tokens, one for each row.
        alignment: gold links, (source index, target index) each, which get a frame; or None.
        title: string, or None for the source sentence.
    """

    weights: Any
    source: Sequence[str]
    target: Sequence[str]
    alignment: Iterable[tuple[int, int]] | None = None
    title: str | None = None


def attention(
    sentences: Iterable[Sentence | tuple], xlabel: str = "Source", ylabel: str = "Target"
) -> "AttentionView":
    """Make an interactive view of attention weights.

    Pointing at a target word, or moving to it with Tab and the arrow keys, colors the source
    words by their weights; pointing at a source word colors the target words that looked at it. A
    slider goes through the steps of decoding. The view opens on a telling word: one that looked
    hard at a source word far from its own place, and rightly so where an alignment is known.

    Args:
        sentences: list of `Sentence`s, or of tuples like them; one is chosen at a time.
        xlabel: string, what the columns are.
        ylabel: string, what the rows are.

    Returns:
        `AttentionView`, which a notebook shows when it is the last value of a cell.

    Raises:
        ValueError: if there is no sentence, the shape of the weights is not that of the tokens, or
            a link lies outside.
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
    if weights.shape != (len(target), len(source)) or weights.size == 0:
        raise ValueError(
            f"attention weights of sentence {number} have shape {weights.shape}, but there are "
            f"{len(target)} target and {len(source)} source tokens"
        )
    of = f" of sentence {number}"
    gold = set(plots.check_links(sentence.alignment, len(source), len(target), of))
    rows = [
        f'<tr><th scope="row" dir="auto">{html.escape(token)}</th>'
        + "".join(_cell(weight, (i, j) in gold) for i, weight in enumerate(weights[j]))
        + "</tr>"
        for j, token in enumerate(target)
    ]
    heads = "".join(f'<th scope="col" dir="auto">{html.escape(token)}</th>' for token in source)
    many = ' class="many"' if len(source) > 16 else ""
    title = html.escape(" ".join(source) if sentence.title is None else sentence.title)
    legend = '<p class="legend"><span class="gold">Framed</span>: gold alignment</p>\n'
    xlabel, ylabel = html.escape(xlabel), html.escape(ylabel)
    return (
        f'<section data-source="{xlabel}" data-target="{ylabel}" '
        f'data-start="{_telling(weights, gold)}">\n'
        f"<h2>{title}</h2>\n{legend if gold else ''}<details open>\n"
        '<summary>All weights</summary>\n<div class="wide">'
        f"<table{many}>\n"
        f"<caption>Rows: {ylabel}. Columns: {xlabel}.</caption>\n"
        f"<thead><tr><td></td>{heads}</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + "\n</tbody>\n</table></div>\n</details>\n</section>"
    )


def _telling(weights, gold):
    """The target word that a view opens on: it looked hardest at a word far from its own place.

    That is where the order of words differs. Where gold links are known, only such looks count.
    """
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
