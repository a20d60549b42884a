"""Sentences in five languages, written for these tests: from the file to the heatmap."""

import io
import warnings
from pathlib import Path

import pytest

from d2l_ext import __main__ as command_line
from d2l_ext import corpora, metrics, plots, weights

DATA = Path(__file__).with_name("data")
SIZES = {"embed_size": 8, "num_hiddens": 8, "num_layers": 1, "dropout": 0.0, "bidirectional": True}
SPACED = {"zh": False, "ja": False, "hi": True, "ar": True, "th": False}
TOKENIZERS = {"zh": ("zh",), "ja": ("ja-mecab", "char"), "th": ("char",)}  # elsewhere 13a


def load(language, **options):
    return corpora.load(DATA / f"sentences.{language}.txt", **options)


def untrained(corpus):
    """A configuration and weights."""
    sizes = {"src_vocab_size": len(corpus.src_vocab), "tgt_vocab_size": len(corpus.tgt_vocab)}
    config = {"kind": "attention", **sizes, **SIZES}
    return config, weights.draw(config, 0)


@pytest.mark.parametrize("language", SPACED)
def test_from_the_file_to_the_heatmap(language, tmp_path):
    """In PyTorch alone: the languages go no further than the vocabularies."""
    pytest.importorskip("torch")
    from d2l_ext import torch as d2l

    corpus = load(language)
    source, target = corpus.src_vocab, corpus.tgt_vocab
    assert (source.language, target.language) == ("", language)
    assert (source.spaced, target.spaced) == (True, SPACED[language])
    assert corpus.unknown == (0, 0)
    model = d2l.new_model(untrained(corpus)[0])
    d2l.train_seq2seq(model, corpus, 1, batch_size=16, progress=False)
    d2l.save_model(model, tmp_path / "m.safetensors")
    again = d2l.load_model(tmp_path / "m.safetensors")
    assert (again.src_vocab, again.tgt_vocab) == (source, target)
    english = ["Where is my book?", "", "The cat is tired."]
    translations = d2l.translate(again, english, max_steps=6)
    assert [t.tokens for t in translations] == [
        t.tokens for t in d2l.translate(model, english, max_steps=6)
    ]
    assert translations[1].tokens == []

    references = [target.detokenize(pair.target) for pair in corpus.test]
    scores = metrics.score_texts(references, references, language)
    assert (scores.bleu, scores.chrf) == pytest.approx((100, 100))
    assert scores.tokenizer in TOKENIZERS.get(language, ("13a",))
    assert metrics.score_texts(references, references[::-1], language).chrf < 60

    batch = corpora.pad_batch(corpus.test[:1], source, target)
    _, attention = d2l.teacher_forcing(again, *batch[:3])
    tokens = [*corpus.test[0].source, "<eos>"], [*corpus.test[0].target, "<eos>"]
    spans = source.words(tokens[0]), target.words(tokens[1])
    joined = corpora.join_weights(attention[0], *spans)
    words = [
        [known.detokenize(side[start:end]) for start, end in own]
        for known, side, own in zip((source, target), tokens, spans)
    ]
    assert joined.sum(axis=1) == pytest.approx(1, abs=1e-5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plots.attention(joined, *words).savefig(io.BytesIO())
    for warning in caught:  # where fonts are missing, one and not one for each character
        assert "install" in str(warning.message) and len(caught) == 1


@pytest.mark.parametrize("language", ["en", "hi", "zh"])
def test_an_empty_line_gives_an_empty_line(language, tmp_path, monkeypatch, capsys):
    corpus = load("zh") if language == "en" else load(language, reverse=True)
    path = tmp_path / "m.safetensors"
    config, drawn = untrained(corpus)
    weights.save(path, drawn, config, corpus.src_vocab, corpus.tgt_vocab)
    sentence = corpus.src_vocab.detokenize(corpus.test[0].source)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{sentence}\n \u3000\n"))
    assert command_line.main(["translate", "--max-steps=3", str(path)]) == 0
    out, err = capsys.readouterr()
    lines = out.split("\n")
    assert (len(lines), lines[0], lines[2], err) == (4, "", "", "")
