"""Pages to look around in, with the mouse or the keyboard: which source words a translation read,
and the explorer, in which a model runs.

A page is complete in itself: no network, no file beside it, no framework. Without JavaScript, and
in print, a view of attention is a table of shaded numbers.
"""

import base64
import html
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from d2l_ext import corpora, files, plots
from d2l_ext import weights as exchange


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


class Page:
    """A whole page, for a notebook, a file or another page. Subclasses say what stands in it."""

    title, height = "", 400

    def to_html(self) -> str:
        """Return the whole page, a string."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole page to a file, replaced only when the new one is complete."""
        files.write_whole(path, self.to_html().encode("utf-8"))

    def _repr_html_(self):
        # In a frame neither its style nor its script meets those of the notebook or other views.
        page = html.escape(self.to_html())
        return (
            f'<iframe srcdoc="{page}" title="{self.title}" width="100%" height="{self.height}" '
            'style="border: 0"></iframe>'
        )


class AttentionView(Page):
    """What `attention` returns."""

    title = "Attention weights"

    def __init__(self, sections: Sequence[str]) -> None:
        self._sections = sections

    def __repr__(self) -> str:
        count = len(self._sections)
        return f"AttentionView({count} picture{'s' * (count != 1)})"

    def to_html(self) -> str:
        template = resources.files("d2l_ext").joinpath("views.html").read_text(encoding="utf-8")
        return template.replace("<!-- sentences -->", "\n".join(self._sections))


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


# The explorer -----------------------------------------------------------------------------------

# In d2l_ext/explorer, what uses what last
SCRIPTS = ("lines.js", "style.js", "model.js", "view.js")
FRAMEWORKS = {"torch": "pytorch", "mxnet": "mxnet", "jax": "jax", "tensorflow": "tensorflow"}
EXPLORABLE = ("attention", "transformer")
NUM_EXAMPLES = 40
FIRST_EXAMPLES = (  # what the explorer's buttons and the chapters' links speak of
    "this tired girl does not speak to these neighbors .",
    "must we not sing ?",
    "the actress 's cake is good .",
    "is the cow tired when i arrive ?",
)


def explorer(
    model: Any, examples: Iterable[Sequence] = (), name: str | None = None
) -> "ExplorerView":
    """Make a page on which a model runs, step by step, with all numbers, in the browser.

    Args:
        model: a `Seq2Seq` of any framework that was trained or loaded, with the decoder of
            chapter 05 or of chapter 09; or the path of a file that `save_model` wrote.
        examples: list of `corpora.Pair`s, or of tuples like them, with or without an alignment,
            such as `corpus.test[:40]`: what the page offers beside what one types. Their targets
            and alignments are what it knows as the truth. Pairs with unknown words are left out.
        name: string, what the page calls the model; None for the name of its file or class.

    Returns:
        `ExplorerView`, which a notebook shows when it is the last value of a cell.

    Raises:
        TypeError: if `model` is no model and no path, or `examples` are no pairs of tokens.
        ValueError: if the model has no vocabularies, its file is no model's, or it has another
            decoder.
        FileNotFoundError: if there is no such file.
    """
    framework = None
    examples = _pairs(examples)
    if isinstance(model, str | os.PathLike):
        path = Path(model)
        _, config, src_vocab, tgt_vocab = exchange.load(path)
        content, name = path.read_bytes(), name or path.name
    elif not hasattr(model, "tgt_vocab"):
        raise TypeError(f"the model is {model!r:.60}; expected a Seq2Seq, or the path of its file")
    else:
        from d2l_ext import common  # not above, since it imports this module

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            common.save_model(model, path)
            content = path.read_bytes()
        config, src_vocab, tgt_vocab = common.get_config(model), model.src_vocab, model.tgt_vocab
        framework = FRAMEWORKS.get(type(model).__module__.rpartition(".")[2])
        name = name or type(model.decoder).__name__
    if config["kind"] not in EXPLORABLE:
        raise ValueError(
            f"the model is of kind {config['kind']!r}; the explorer runs the kinds "
            f"{' and '.join(EXPLORABLE)}"
        )
    known = [
        pair
        for pair in examples
        if all(token in src_vocab for token in pair.source)
        and all(token in tgt_vocab for token in pair.target)
    ]
    data = base64.b64encode(content).decode("ascii")
    return ExplorerView([{"name": name, "data": data}], known, framework=framework)


def _pairs(examples):
    """The examples as a list of `corpora.Pair`s."""
    if isinstance(examples, corpora.ParallelCorpus):
        raise TypeError(
            "the examples are a corpus; expected pairs of it, such as corpus.test[:40]"
        )
    examples = list(examples)
    for example in examples:
        sides = example[:2] if isinstance(example, Sequence) else ()
        if len(sides) < 2 or any(isinstance(side, str) for side in sides):
            raise TypeError(
                f"{example!r:.60} is no example; expected a list of source tokens and one of "
                "target tokens, and an alignment if there is one"
            )
    return [corpora.Pair(*example) for example in examples]


def grammar_examples() -> list[corpora.Pair]:
    """Held-out pairs of the corpus `grammar` for the explorer, those with a name here first."""
    pairs = corpora.load(max_steps=16).test
    known = {" ".join(pair.source): pair for pair in pairs}
    named = [known[source] for source in FIRST_EXAMPLES]
    return named + [pair for pair in pairs[:NUM_EXAMPLES] if pair not in named]


def explorer_element(
    models: Sequence[dict[str, str]], examples: Iterable[corpora.Pair] = (), **options: Any
) -> str:
    """The explorer as an element of a page, which also has to load `explorer_script()`.

    Args:
        models: for each its `name` and either, in base64, its `data` or the `url` of a
            `model_script`.
        examples: list of `corpora.Pair`s.
        options: `small` for the form without numbers, and what else view.js knows.

    Returns:
        HTML, a string.
    """
    config = options | {
        "models": list(models),
        "examples": [[p.source, p.target, p.alignment or ()] for p in examples],
    }
    content = json.dumps(config, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        "<attention-explorer>\n"
        "<p>The explorer wants JavaScript.</p>"
        f'\n<script type="application/json">{content}</script>\n</attention-explorer>'
    )


class ExplorerView(Page):
    """What `explorer` returns."""

    title, height = "Attention explorer", 1200

    def __init__(
        self, models: Sequence[dict[str, str]], examples: Sequence[corpora.Pair], **options: Any
    ) -> None:
        self._models, self.examples, self._options = models, examples, options

    def __repr__(self) -> str:
        return f"ExplorerView({self._models[0]['name']}, {len(self.examples)} examples)"

    def to_html(self) -> str:
        template = resources.files("d2l_ext").joinpath("explorer", "page.html")
        element = explorer_element(self._models, self.examples, **self._options)
        parts = {"<!-- explorer -->": element, "/* script */": explorer_script()}
        page = template.read_text(encoding="utf-8")
        return re.sub("|".join(map(re.escape, parts)), lambda match: parts[match[0]], page)


def explorer_script() -> str:
    """The explorer's modules as one script, which also runs where modules may not be loaded: on a
    page that is opened from the disk.
    """
    folder = resources.files("d2l_ext").joinpath("explorer")
    modules = [folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS]
    whole = re.sub(r"^import .*? from .*;\n", "", "\n".join(modules), flags=re.MULTILINE)
    whole = re.sub(r"^export ", "", whole, flags=re.MULTILINE)
    return f'(() => {{\n"use strict";\n{whole}}})();'


def model_script(path: str | os.PathLike[str]) -> str:
    """A model's file as a script, from which view.js takes it: `fetch` reads no file of a disk."""
    data = base64.b64encode(Path(path).read_bytes()).decode("ascii")
    return f'document.currentScript.model = "{data}";\n'
