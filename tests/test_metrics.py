"""Metrics against numbers computed by hand, and against sacrebleu itself."""

import math
import warnings

import numpy as np
import pytest
import sacrebleu
from sacrebleu.metrics import BLEU

from d2l_ext import corpora, metrics

REFERENCES = [tuple(s.split()) for s in ("le chat dort ici .", "je ne vois pas le chien .")]
HYPOTHESES = [tuple(s.split()) for s in ("le chat dort là .", "je vois le chien .")]


def test_bleu_by_hand():
    # 9 of 10 unigrams, 4 of 8 bigrams, 2 of 6 trigrams, 0 of 4 four-grams (smoothed to 1/2);
    # 10 tokens for 12.
    precisions = (9 / 10) * (4 / 8) * (2 / 6) * (0.5 / 4)
    expected = 100 * math.exp(1 - 12 / 10) * precisions**0.25
    assert metrics.bleu(HYPOTHESES, REFERENCES) == pytest.approx(expected)


def test_bleu_is_sacrebleus_default_on_a_corpus():
    pairs = corpora.load(num_pairs=200).train
    references = [pair.target for pair in pairs]
    hypotheses = [pair.target[1:] if i % 3 else pair.target for i, pair in enumerate(pairs)]
    lines = [" ".join(tokens) for tokens in hypotheses], [[" ".join(r) for r in references]]
    expected = sacrebleu.corpus_bleu(*lines, tokenize="none", force=True).score
    assert 50 < expected < 100
    assert metrics.bleu(hypotheses, references) == pytest.approx(expected)


def test_bleu_of_perfect_and_of_wrong_translations():
    assert metrics.bleu(REFERENCES, REFERENCES) == pytest.approx(100)
    assert metrics.bleu([["il", "dort", "."]], [("il", "dort", ".")]) == pytest.approx(100)
    assert metrics.bleu([["x"] * 5, []], REFERENCES) < 10


TEXTS = {  # a translation, its reference, and by what sacrebleu cuts them
    "": ("The cat sleeps here.", "The cat doesn't sleep here.", "13a"),
    "hi": ("मेरी किताब मेज़ पर है।", "मेरी नई किताब मेज़ पर है।", "13a"),
    "zh": ("我今天很高兴。", "我们今天都很高兴。", "zh"),
    "zh-TW": ("我今天很高兴。", "我们今天都很高兴。", "zh"),
    "th": ("วันนี้คุณจะไปไหน", "วันนี้เธอจะไปที่ไหน", "char"),
    "km": ("ខ្ញុំស្រឡាញ់អ្នក", "ខ្ញុំចូលចិត្តអ្នក", "char"),
}


@pytest.mark.parametrize("language", TEXTS)
def test_texts_are_scored_as_sacrebleu_does(language):
    hypothesis, reference, tokenizer = TEXTS[language]
    scores = metrics.score_texts([hypothesis], [reference], language)
    bleu = BLEU(tokenize=tokenizer, effective_order=True)
    expected = bleu.corpus_score([hypothesis], [[reference]]).score
    chrf = sacrebleu.corpus_chrf([hypothesis], [[reference]]).score
    assert scores == (pytest.approx(expected), pytest.approx(chrf), tokenizer)
    assert 5 < scores.bleu < 100 and 5 < scores.chrf < 100


def test_japanese_without_mecab_is_scored_by_characters_and_said(monkeypatch):
    texts = ["今日はいい天気です。"]
    monkeypatch.setitem(metrics._TOKENIZERS, "ja", "ja-none")

    def build(tokenize, **options):
        if tokenize == "ja-none":
            raise RuntimeError("mecab is not installed")
        return BLEU(tokenize=tokenize, **options)

    monkeypatch.setattr("sacrebleu.metrics.BLEU", build)
    with pytest.warns(UserWarning, match=r"single characters .*`pip install 'sacrebleu\[ja\]'`"):
        assert metrics.score_texts(texts, texts, "ja") == (pytest.approx(100), 100, "char")


def test_capital_letters_count_in_texts():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = metrics.score_texts(["THE CAT SLEEPS HERE."], ["the cat sleeps here."])
    assert scores.bleu < 30 and scores.chrf < 30
    with pytest.raises(ValueError, match="1 hypotheses, but 0 references"):
        metrics.score_texts(["a"], [])


def test_bleu_by_length_by_hand():
    hypotheses = [["a", "b"], ["a", "b", "c", "d", "e", "f"], ["x"]]
    references = [["a", "b"], ["a", "b", "c", "d", "e", "f"], ["y"]]
    bins = metrics.bleu_by_length(hypotheses, references, [5, 6, 11], edges=(0, 5, 10, 15, 20))
    assert [(b.low, b.high, b.count) for b in bins] == [
        (1, 5, 1),
        (6, 10, 1),
        (11, 15, 1),
        (16, 20, 0),
    ]
    assert [b.bleu for b in bins[:2]] == pytest.approx([100, 100])
    assert bins[2].bleu < 60
    assert math.isnan(bins[3].bleu)


def test_mistakes_by_hand():
    reference = ("le", "chat", "dort", ".")
    outputs = [
        "le chat dort .",
        "le chien dort .",
        "la chatte dort .",
        "le dort .",
        "il le le dort .",
    ]
    found = metrics.mistakes([output.split() for output in outputs], [reference] * 5)
    assert found == {
        "one word is wrong": [1],
        "several words are wrong": [2],
        "words are missing": [3],
        "words too many": [4],
    }
    with pytest.raises(ValueError, match="2 hypotheses, but 1 reference"):
        metrics.mistakes([["a"], ["b"]], [["a"]])


def test_mistakes_are_described():
    sources, references = [["the", "cat", "sleeps"], ["so"]], [["le", "chat", "dort"], ["si"]]
    models = {"first": [["le", "chat"], ["si"]], "second": [["la", "chat", "dort"], ["si"]]}
    assert metrics.describe_mistakes(models, sources, references).splitlines() == [
        "                                 first        second",
        "one word is wrong                    0             1",
        "several words are wrong              0             0",
        "words are missing                    1             0",
        "words too many                       0             0",
        "",
        "one word is wrong (second)",
        "source:      the cat sleeps",
        "reference:   le chat dort",
        "translation: la chat dort",
    ]
    with pytest.raises(ValueError, match="1 sources, but 2 references"):
        metrics.describe_mistakes(models, sources[:1], references)


def test_bleu_by_length_makes_its_own_bins():
    bins = metrics.bleu_by_length(REFERENCES, REFERENCES, [5, 11])
    assert [(b.low, b.high, b.count) for b in bins] == [(1, 5, 1), (6, 10, 0), (11, 15, 1)]
    bins = metrics.bleu_by_length(REFERENCES, REFERENCES, [5, 10])
    assert [(b.low, b.high, b.count) for b in bins] == [(1, 5, 1), (6, 10, 1)]


def test_bleu_by_length_errors():
    with pytest.raises(ValueError, match="a sentence has length 12, but the edges take 1 to 10"):
        metrics.bleu_by_length(REFERENCES, REFERENCES, [5, 12], edges=(0, 5, 10))
    with pytest.raises(ValueError, match=r"edges are \[5, 0\]"):
        metrics.bleu_by_length(REFERENCES, REFERENCES, [5, 12], edges=(5, 0))
    with pytest.raises(ValueError, match=r"2 hypotheses, but lengths of shape \(3,\)"):
        metrics.bleu_by_length(REFERENCES, REFERENCES, [5, 6, 7])


def test_token_accuracy_by_position_by_hand():
    hypotheses = [["a", "b", "c"], ["a", "x"], ["y", "b", "c", "d"]]
    references = [["a", "b", "c", "d"], ["a", "b"], ["a", "b", "x"]]
    accuracy, counts = metrics.token_accuracy_by_position(hypotheses, references)
    assert accuracy == pytest.approx([2 / 3, 2 / 3, 1 / 2, 0])
    assert counts.tolist() == [3, 3, 2, 1]


def test_alignment_error_rate_by_hand():
    # Links found: (0, 0), (2, 1), (1, 2). Gold: (0, 0), (1, 1), (1, 2), (2, 2). Two agree.
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.0, 0.9, 0.1]])
    gold = ((0, 0), (1, 1), (1, 2), (2, 2))
    assert metrics.alignment_error_rate([weights], [gold]) == pytest.approx(1 - 4 / 7)
    # A second sentence: one link found, one gold, agreeing. The counts add up.
    second = np.array([[0.4, 0.6]])
    rate = metrics.alignment_error_rate([weights, second], [gold, [(1, 0)]])
    assert rate == pytest.approx(1 - 6 / 9)


def test_alignment_error_rate_of_gold_and_of_its_opposite():
    for pair in corpora.load(num_pairs=100).train:
        weights = np.zeros((len(pair.target), len(pair.source)))
        for i, j in pair.alignment:
            weights[j, i] = 1
        rate = metrics.alignment_error_rate([weights], [pair.alignment])
        # Only further links of a target token are missed.
        missed = len(pair.alignment) - len(pair.target)
        assert rate == pytest.approx(missed / (len(pair.alignment) + len(pair.target)))
        assert metrics.alignment_error_rate([1 - weights], [pair.alignment]) > 0.9


def test_alignment_error_rate_errors():
    weights = np.eye(2)
    with pytest.raises(ValueError, match="1 arrays of attention weights, but 2 alignments"):
        metrics.alignment_error_rate([weights], [[], []])
    with pytest.raises(ValueError, match="no sentences"):
        metrics.alignment_error_rate([], [])
    with pytest.raises(ValueError, match="sentence 0 has no gold alignment"):
        metrics.alignment_error_rate([weights], [None])
    with pytest.raises(ValueError, match=r"sentence 0 have shape \(2, 2, 1\)"):
        metrics.alignment_error_rate([weights[..., None]], [[(0, 0)]])
    with pytest.raises(ValueError, match=r"links source token 2 with target token 0, .*\(2, 2\)"):
        metrics.alignment_error_rate([weights], [[(2, 0)]])


@pytest.mark.parametrize(
    "metric",
    [
        metrics.bleu,
        metrics.exact_match,
        metrics.rouge_l,
        metrics.token_accuracy_by_position,
        lambda hypotheses, references: metrics.bleu_by_length(hypotheses, references, []),
    ],
)
def test_sentences_are_checked(metric):
    with pytest.raises(ValueError, match="no sentences"):
        metric([], [])
    with pytest.raises(ValueError, match="2 hypotheses, but 1 references"):
        metric(HYPOTHESES, REFERENCES[:1])
    with pytest.raises(TypeError, match=r"'le chat' is a string"):
        metric(["le chat"], [["le", "chat"]])


def test_exact_match_by_hand():
    references = [("a", "b"), ("a",), ("c", "d"), ("e",)]
    hypotheses = [["a", "b"], ["a", "a"], ["d", "c"], []]
    assert metrics.exact_match(hypotheses, references) == 0.25
    assert metrics.exact_match(references, references) == 1


def test_rouge_l_by_hand():
    # Longest common subsequence a c e of 5 and 4 tokens: precision 3/5, recall 3/4.
    assert metrics.rouge_l([list("abcde")], [list("ace:")]) == pytest.approx(2 * 3 / (5 + 4))
    # A mean over the summaries, not over the tokens; the order counts; signs are tokens.
    hypotheses, references = (
        [["b", "a"], list("abcdef"), [":"]],
        [["a", "b"], list("abcdef"), [":"]],
    )
    assert metrics.rouge_l(hypotheses, references) == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert metrics.rouge_l([[], ["3", ":", "1"]], [["a"], ["3", ":", "2"]]) == pytest.approx(1 / 3)


def test_rouge_l_does_not_stem_or_change_case():
    assert metrics.rouge_l([["Runs", "3-1"]], [["runs", "3", "1"]]) == 0


def test_evidence_accuracy_by_hand():
    spans = [(0, 2), (2, 5)]
    weights = [
        np.array([0.3, 0.3, 0.2, 0.1, 0.0, 0.1]),  # 0.6 to 0.3
        np.array([0.4, 0.0, 0.2, 0.2, 0.2, 0.0]),  # one large weight, but a smaller sum
        np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.9]),  # most behind all sentences counts for none
    ]
    assert metrics.evidence_accuracy(weights, [spans] * 3, [0, 1, 0]) == 1
    assert metrics.evidence_accuracy(weights, [spans] * 3, [1, 1, 1]) == pytest.approx(1 / 3)


def test_evidence_accuracy_errors():
    weights = np.ones(3)
    with pytest.raises(ValueError, match="1 arrays of attention weights, 2 lists of spans, but 1"):
        metrics.evidence_accuracy([weights], [[(0, 1)]] * 2, [0])
    with pytest.raises(ValueError, match="no texts"):
        metrics.evidence_accuracy([], [], [])
    with pytest.raises(
        ValueError, match=r"text 0 have shape \(1, 3\); expected \(source tokens,\)"
    ):
        metrics.evidence_accuracy([weights[None]], [[(0, 1)]], [0])
    with pytest.raises(ValueError, match="text 0 has 1 sentences, but evidence 1"):
        metrics.evidence_accuracy([weights], [[(0, 1)]], [1])
    with pytest.raises(ValueError, match="text 0 spans 2 to 4, but there are 3 attention weights"):
        metrics.evidence_accuracy([weights], [[(0, 2), (2, 4)]], [0])
