"""Interactive views: what the page holds, and that it stays a page whatever the words are."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from d2l_ext import corpora, plots, views, weights
from tests import tiny

SOURCE, TARGET = ["i", "do", "not", "sleep", "."], ["je", "ne", "dors", "pas", "."]
GOLD = ((0, 0), (2, 1), (2, 3), (3, 2), (4, 4))
NASTY = ["</script><img src=x onerror=alert(1)>", '"><b>', "&amp;", "'", "<!-- sentences -->"]


def some_weights(*shape):
    weights = np.random.default_rng(0).random(shape)
    return weights / weights.sum(axis=-1, keepdims=True)


class Page(HTMLParser):
    """Reads a page: its tables, as rows of (text, attributes), and all its tags."""

    EMPTY = ("meta", "link")

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.open, self.titles = [], [], [], []
        self.scripts, self.frames = [], []
        self.feed(text)
        self.close()
        assert self.open == [], "tags that are not closed"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", dict(attributes)))
        elif tag == "h2":
            self.titles.append("")
        elif tag == "script":
            self.scripts.append("")
        elif tag == "iframe":
            self.frames.append(dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            text, attributes = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = text + data, attributes
        elif "h2" in self.open:
            self.titles[-1] += data
        elif "script" in self.open:
            self.scripts[-1] += data


def page_of(*sentences):
    return Page(views.attention(sentences).to_html())


def test_the_page_is_a_table_of_the_weights():
    weights = some_weights(5, 5)
    page = page_of((weights, SOURCE, TARGET, GOLD, "negation"), (weights[:2], SOURCE, ["a", "b"]))
    assert page.titles == ["negation", "i do not sleep ."]
    (head, *rows), second = page.tables
    assert [text for text, _ in head] == ["", *SOURCE]
    assert [row[0][0] for row in rows] == TARGET
    for j, (_, *cells) in enumerate(rows):
        for i, (text, attributes) in enumerate(cells):
            assert float(text.split()[0]) == pytest.approx(weights[j, i], abs=5e-4)
            assert attributes["style"] == f"--w:{text.split()[0]}"  # the shade is the number
            assert ("gold" in text, "class" in attributes) == ((i, j) in GOLD,) * 2
    assert len(second) == 3


OUR_CAT = ["the", "cat", "that", "sleeps", "is", "ours"]
LOOKS = [  # (target word, source word, weight); the rest of a row lies on the diagonal
    ((3, 4, 0.9), (4, 0, 0.4)),  # the firm look nearby beats the faint one from afar,
    ((3, 0, 0.9), (4, 3, 0.9)),  # and of two firm ones that from afar wins
]


@pytest.mark.parametrize("looks", LOOKS)
def test_a_view_opens_on_the_word_that_looked_hard_and_far(looks):
    weights = np.eye(6)
    for j, i, weight in looks:
        weights[j, j] = 1 - weight
        weights[j, i] = weight
    assert start_of(weights) == 3
    # What an alignment calls wrong does not count
    assert start_of(weights, [(looks[1][1], 4), (5, 5)]) == 4
    assert start_of(weights[:, :1]) in range(6)
    assert start_of(weights[:1]) == 0


def start_of(weights, alignment=None):
    """The word on which the view of a sentence opens."""
    target, source = (OUR_CAT[:length] for length in weights.shape[-2:])
    view = views.attention([(weights, source, target, alignment)])
    return int(re.search(r'<section [^>]*data-start="(\d+)"', view.to_html())[1])


def test_heads_stand_beside_each_other():
    """A table for each head, named; the section is one, and opens on what any head looked at."""
    weights = some_weights(3, 5, 5)
    named = (weights, SOURCE, TARGET, GOLD, "t", ["a", "b & c", NASTY[0]])
    view = views.attention([(weights, SOURCE, TARGET, GOLD), named])
    text = view.to_html()
    page = Page(text)
    assert repr(view) == "AttentionView(2 pictures)" and len(page.titles) == 2
    assert len(page.tables) == 6
    for table, matrix in zip(page.tables, [*weights, *weights]):
        for (_, *cells), row in zip(table[1:], matrix):
            found = [float(text.split()[0]) for text, _ in cells]
            np.testing.assert_allclose(found, row, atol=5e-4)
    assert re.findall(r'data-head="(.*?)"', text)[:4] == ["head 0", "head 1", "head 2", "a"]
    assert "<caption>b &amp; c. Rows: Target. Columns: Source.</caption>" in text
    assert page.scripts == page_of((weights[0], SOURCE, TARGET)).scripts
    one_head = views.attention([(weights[:1], SOURCE, TARGET)]).to_html()
    assert 'data-head="head 0"' in one_head
    looks = np.stack([np.eye(6), np.eye(6)])
    looks[1, 2, 2], looks[1, 2, 5] = 0.1, 0.9  # the second head alone
    assert start_of(looks) == 2


def test_words_stay_words():
    page = page_of((some_weights(5, 5), NASTY, NASTY, (), NASTY[0]))
    plain = page_of((some_weights(5, 5), SOURCE, TARGET, (), "title"))
    (head, *rows) = page.tables[0]
    assert [text for text, _ in head] == ["", *NASTY]
    assert [row[0][0] for row in rows] == NASTY
    assert page.titles == [NASTY[0]]
    assert page.tags == plain.tags and page.scripts == plain.scripts


def test_the_page_needs_nothing_else():
    text = views.attention([(some_weights(5, 5), SOURCE, TARGET, GOLD)]).to_html()
    assert "http" not in text and "//" not in re.sub(r"^ *// .*$", "", text, flags=re.MULTILINE)
    assert not re.search(r"\b(src|import|url)\b *[=(]", text)
    for color in (plots.COLORS[0], plots.GOLD):
        assert color in text
    blue = " ".join(str(int(plots.COLORS[0][k : k + 2], 16)) for k in (1, 3, 5))
    assert f"--blue: {blue};" in text


def test_a_notebook_gets_the_page_in_a_frame():
    """The frame keeps styles and scripts of several views apart."""
    view = views.attention([(some_weights(5, 5), NASTY, TARGET, GOLD)])
    shown = Page(view._repr_html_() + view._repr_html_())
    assert shown.tags == ["iframe", "iframe"]
    for frame in shown.frames:
        assert frame["srcdoc"] == view.to_html()
        assert frame["title"]
    assert repr(view) == "AttentionView(1 picture)"


def test_a_page_is_written_whole(tmp_path, monkeypatch):
    view = views.attention([(some_weights(5, 5), ["é"] * 5, TARGET)])
    path = tmp_path / "page.html"
    view.save(str(path))
    assert path.read_text(encoding="utf-8") == view.to_html()

    def fail(self, content):
        self.touch()
        raise OSError("no space left")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        views.attention([(some_weights(1, 1), "a", "b")]).save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text(encoding="utf-8") == view.to_html()


def test_arrays_of_every_framework_are_taken(framework):
    weights = some_weights(5, 5).astype(np.float32)
    native = views.attention([(framework.array(weights), SOURCE, TARGET)])
    assert native.to_html() == views.attention([(weights, SOURCE, TARGET)]).to_html()


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ((np.ones((4, 5)), SOURCE, TARGET), r"sentence 1 have shape \(4, 5\).*5 target and 5 sou"),
        ((np.ones(5), SOURCE, TARGET), r"shape \(5,\)"),
        ((np.ones((0, 5)), SOURCE, []), r"shape \(0, 5\)"),
        (
            (np.ones((5, 5)), SOURCE, TARGET, [(5, 0)]),
            "source token 5 with target token 0.*only 5",
        ),
        ((np.ones((5, 5)), SOURCE, TARGET, [(0, -1)]), "target token -1"),
        ((np.ones((2, 5, 4)), SOURCE, TARGET), r"sentence 1 have shape \(2, 5, 4\)"),
        ((np.ones((0, 5, 5)), SOURCE, TARGET), r"shape \(0, 5, 5\)"),
        ((np.ones((1, 2, 5, 5)), SOURCE, TARGET), r"shape \(1, 2, 5, 5\)"),
        ((np.ones((2, 5, 5)), SOURCE, TARGET, None, "t", ["a"]), "1 names 1 heads.*with 2 heads"),
        ((np.ones((5, 5)), SOURCE, TARGET, None, "t", ["a"]), "without an axis of heads"),
    ],
)
def test_what_does_not_fit_is_named(sentence, message):
    good = (np.ones((5, 5)), SOURCE, TARGET)
    with pytest.raises(ValueError, match=message):
        views.attention([good, sentence])


def test_no_sentences():
    with pytest.raises(ValueError, match="no sentences"):
        views.attention([])


# The explorer: what its page does stands in tests/book/test_explorer.py --------------------------

PAIR = corpora.Pair(("the", "cat", "sleeps", "."), ("le", "chat", "dort", "."), ((1, 1),))
UNKNOWN = corpora.Pair(("the", "zyzzyva"), ("le", "chat"))


def config_of(view):
    """What an explorer's page tells its script."""
    (config,) = re.findall(r'<script type="application/json">(.*?)</script>', view.to_html())
    return json.loads(config)


def test_an_explorer_holds_the_models_file_and_what_it_knows():
    path = weights.pretrained("pytorch")
    config = config_of(views.explorer(str(path), [PAIR, UNKNOWN]))
    (model,) = config["models"]
    assert model["name"] == "pytorch.safetensors"
    assert base64.b64decode(model["data"]) == path.read_bytes()
    assert config["examples"] == [[list(PAIR.source), list(PAIR.target), [[1, 1]]]]


def test_examples_need_no_alignment():
    config = config_of(views.explorer(weights.pretrained("pytorch"), [PAIR[:2], list(PAIR[:2])]))
    assert config["examples"] == 2 * [[list(PAIR.source), list(PAIR.target), []]]


@pytest.mark.parametrize(
    ("model", "examples", "message"),
    [
        (None, (), "the model is None; expected a Seq2Seq, or the path of its file"),
        (3, (), "the model is 3;"),
        (None, corpora.load(max_steps=16), r"such as corpus\.test\[:40\]"),
        (None, [("the cat sleeps .", "le chat dort .")], "'the cat sleeps .'.* is no example"),
        (None, ["the cat sleeps ."], "is no example; expected a list of source tokens"),
        (None, [3], "3 is no example"),
    ],
)
def test_what_is_no_model_and_what_is_no_example(model, examples, message):
    with pytest.raises(TypeError, match=message):
        views.explorer(model, examples)


def test_an_explorer_of_a_model_in_a_framework(framework, tmp_path):
    model = framework.d2l.load_model(weights.pretrained("transformer"))
    held = framework.d2l.get_weights(model)
    view = views.explorer(model, [PAIR], name="</script>")
    config = config_of(view)
    path = tmp_path / "model"
    path.write_bytes(base64.b64decode(config["models"][0]["data"]))
    for name, array in weights.load(path)[0].items():
        np.testing.assert_array_equal(array, held[name])
    assert config["framework"] == framework.name
    assert config["models"][0]["name"] == "</script>"
    assert repr(view) == "ExplorerView(</script>, 1 examples)"


def test_an_explorer_needs_nothing_else():
    text = views.explorer(weights.pretrained("transformer")).to_html()
    text = re.sub(r'"data":"[^"]*"', "", text)
    assert not re.search(r"^(import|export)\b", text, flags=re.MULTILINE)
    assert set(re.findall(r"https?://[^\"]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "src=" not in text and text.count("</script>") == 2


def test_what_the_explorer_cannot_show(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file"):
        views.explorer(tmp_path / "none")
    plain = Path(__file__).parent / "data/plain.safetensors"
    with pytest.raises(ValueError, match=r"kind 'plain'.*attention and transformer"):
        views.explorer(plain)


def test_a_model_without_words_has_no_explorer(framework):
    model = framework.d2l.new_model(tiny.config(*tiny.PAPER))
    with pytest.raises(ValueError, match="no vocabularies"):
        views.explorer(model)


def test_the_explorers_examples_are_held_out():
    corpus = corpora.load(max_steps=16)
    examples = views.grammar_examples()
    assert [" ".join(pair.source) for pair in examples][:4] == list(views.FIRST_EXAMPLES)
    assert len({pair.source for pair in examples}) == len(examples) > 30
    held_out = set(corpus.test)
    assert all(pair in held_out and pair.alignment for pair in examples)
