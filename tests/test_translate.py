"""Decoding, models in files, and bad input, in every framework."""

import itertools
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from d2l_ext import common
from d2l_ext.corpora import Vocab, encode_source
from tests import frameworks, tiny

SENTENCES = [s for s in tiny.SENTENCES if s]
OLD_FILES = sorted(Path(__file__).with_name("data").glob("*.safetensors"))


@pytest.fixture
def model(framework):
    return tiny.shared_model(framework, *tiny.PAPER)


def log_softmax(x):
    x = x.astype(np.float64) - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def stand_in():
    """What `translate` wants to know of a model whose decoding is replaced."""
    return types.SimpleNamespace(
        src_vocab=tiny.SRC_VOCAB,
        tgt_vocab=tiny.TGT_VOCAB,
        max_steps=128,
    )


def same(one, other):
    """Two lists of `Translation`s agree."""
    assert [r.tokens for r in one] == [r.tokens for r in other]
    for a, b in zip(one, other):
        assert a.score == pytest.approx(b.score, rel=1e-4, abs=1e-5)
        assert (a.source, a.unknown) == (b.source, b.unknown)
        np.testing.assert_allclose(a.attention_weights, b.attention_weights, atol=1e-4)


# Greedy search -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["plain", "attention"])
def test_beam_size_1_is_greedy_search(framework, decoder):
    """Written by hand: feed the best token so far to teacher forcing, until <eos>."""
    model = tiny.shared_model(framework, decoder, 1, True)
    src, src_valid_len = encode_source([s.split() for s in tiny.SENTENCES], tiny.SRC_VOCAB)
    vocab, steps = tiny.TGT_VOCAB, tiny.TARGET_STEPS
    tgt_in = np.full((len(src), steps), vocab.pad, np.int32)
    tgt_in[:, 0] = vocab.bos
    total = np.zeros((len(src), steps))
    for step in range(steps):
        logits, attention = framework.d2l.teacher_forcing(model, src, src_valid_len, tgt_in)
        log_probs = log_softmax(logits[:, step])
        log_probs[:, [vocab.pad, vocab.bos]] = -np.inf
        best = log_probs.argmax(1)
        total[:, step] = log_probs.max(1)
        if step + 1 < steps:
            tgt_in[:, step + 1] = best
    ids = np.concatenate([tgt_in[:, 1:], best[:, None]], axis=1)

    results = framework.d2l.translate(model, SENTENCES, max_steps=steps)
    ended = []
    for row, result in enumerate(results):
        ends = np.flatnonzero(ids[row] == vocab.eos)
        ended.append(len(ends) > 0)
        length = ends[0] if len(ends) else steps
        assert result.tokens == vocab.to_tokens(ids[row, :length])
        read = total[row, : length + 1]  # <eos> counts, where there is one
        assert result.score == pytest.approx(read.mean(), rel=1e-4)
        if decoder == "plain":
            assert result.attention_weights is None
        else:
            expected = attention[row, :length, : src_valid_len[row]]
            np.testing.assert_allclose(result.attention_weights, expected, atol=1e-5)
    assert True in ended and False in ended, "the sentences should show both ways to stop"


def test_a_translation_tells_all_about_itself(framework, model):
    results = framework.d2l.translate(model, SENTENCES, max_steps=tiny.TARGET_STEPS)
    for sentence, result in zip(SENTENCES, results):
        assert isinstance(result, framework.d2l.Translation)
        assert result.source == [*sentence.split(), "<eos>"] and result.unknown == []
        assert all(type(token) is str for token in result.tokens)
        assert not {"<pad>", "<bos>", "<eos>"} & set(result.tokens)
        assert len(result.tokens) <= tiny.TARGET_STEPS
        assert type(result.score) is float and result.score < 0
        assert result.attention_weights.shape == (len(result.tokens), len(result.source))
        np.testing.assert_allclose(result.attention_weights.sum(1), 1, rtol=1e-5)


def test_order_form_and_company_change_no_translation(framework, model):
    """Strings or token lists, in any order, an empty one among them, alone or in a batch."""

    def translate(sentences):
        return framework.d2l.translate(model, sentences, max_steps=tiny.TARGET_STEPS)

    results = translate(SENTENCES)
    order = [2, 0, 1]
    mixed = [SENTENCES[2], SENTENCES[0].split(), "", tuple(SENTENCES[1].split())]
    *found, last = translate(mixed)
    empty = found.pop()
    same([*found, last], [results[i] for i in order])
    assert (empty.tokens, empty.score, empty.source) == ([], 0.0, ["<eos>"])
    same(translate(SENTENCES[1:2]), results[1:2])
    assert len({tuple(r.tokens) for r in results}) == len(results)  # so that order shows
    assert translate([]) == []


def test_the_default_limit_grows_with_the_sentence(framework, monkeypatch):
    """Twice the source's tokens, <eos> counted, and ten more, for each sentence its own."""
    model = stand_in()
    model.start_decoding = lambda *args: None

    def decode(tokens, state, rows, best):
        words = np.tile(np.arange(best) + tiny.TGT_VOCAB["A"], (len(tokens), 1, 1))
        return (np.where(words == tiny.TGT_VOCAB["A"], 0.0, -50.0), words), None, state

    model.decode = decode
    short, long = framework.d2l.translate(model, ["a", "a b c d e"])
    assert (short.tokens, long.tokens) == (["A"] * 14, ["A"] * 22)
    short, long = framework.d2l.translate(model, ["a", "a b c d e"], max_steps=3)
    assert short.tokens == long.tokens == ["A"] * 3


def test_many_sentences_keep_their_order(framework, monkeypatch):
    """More than fit into one batch, sorted by length on the way."""
    model = stand_in()
    letters = "abcdefghi"
    translated = tiny.TGT_VOCAB[list(letters.upper())]

    def beam_search(model, src, src_valid_len, beam_size, max_steps):
        assert len(src) <= 64
        rows = [row[: n - 1] - tiny.SRC_VOCAB["a"] for row, n in zip(src, src_valid_len)]
        return [([translated[i] for i in row], None, -1.0) for row in rows]

    monkeypatch.setattr(common, "beam_search", beam_search)
    rng = np.random.default_rng(0)
    sentences = ["".join(rng.choice(list(letters), size=rng.integers(0, 9))) for _ in range(200)]
    results = framework.d2l.translate(model, [list(sentence) for sentence in sentences])
    assert ["".join(result.tokens) for result in results] == [s.upper() for s in sentences]


# Beam search -------------------------------------------------------------------------------------

BEAM_VOCAB = Vocab.build([("x", "y")])
WORDS = [BEAM_VOCAB[word] for word in ("<unk>", "<eos>", "x", "y")]


def next_words(sentence, prefix):
    """Log-probabilities of the next word, arbitrary but fixed; padding is tempting."""
    rng = np.random.default_rng([7, sentence, *prefix])
    return log_softmax(rng.normal(scale=2, size=len(BEAM_VOCAB)))


def code(sentence, prefix):
    """Stands for the attention weights at a prefix: tells it from all others."""
    return np.array([sentence, hash(tuple(prefix)) % 2**31], np.float64)


@pytest.fixture
def table_model(framework):
    """A stand-in whose state holds, for each row, the sentence and the words so far."""

    def start_decoding(src, src_valid_len):
        return [(sentence, ()) for sentence in src[:, 0]]

    def decode(tokens, state, rows, best):
        assert tokens.dtype == np.int32
        state = state if rows is None else [state[row] for row in rows]
        state = [
            (s, (*prefix, int(t))) for (s, prefix), t in zip(state, tokens[:, 0], strict=True)
        ]
        log_probs = np.array([[next_words(*row)] for row in state], np.float32)
        words = np.argsort(-log_probs)[..., :best]
        found = np.take_along_axis(log_probs, words, -1), words
        return found, np.array([[code(*row)] for row in state]), state

    return types.SimpleNamespace(
        tgt_vocab=BEAM_VOCAB, start_decoding=start_decoding, decode=decode
    )


def score(sentence, ids):
    """Mean log-probability of the words ids."""
    prefixes = [(BEAM_VOCAB.bos, *ids[:i]) for i in range(len(ids))]
    return np.mean([next_words(sentence, p)[i] for p, i in zip(prefixes, ids)])


def exhaustive(sentence, limit):
    """The best of all targets that end, or are cut at the limit."""
    targets = [
        ids
        for length in range(1, limit + 1)
        for ids in itertools.product(WORDS, repeat=length)
        if BEAM_VOCAB.eos not in ids[:-1] and (ids[-1] == BEAM_VOCAB.eos or length == limit)
    ]
    return max(targets, key=lambda ids: score(sentence, ids))


def beam_of_lists(sentence, beam_size, limit):
    """Beam search with lists and loops."""
    beams = [()]
    while not all(ids and (ids[-1] == BEAM_VOCAB.eos or len(ids) == limit) for ids in beams):
        longer = [
            (*ids, word) if not ids or ids[-1] != BEAM_VOCAB.eos else ids
            for ids in beams
            for word in WORDS
        ]
        ranked = sorted(dict.fromkeys(longer), key=lambda ids: -score(sentence, ids))
        beams = ranked[:beam_size]
    return beams[0]


def search(framework, model, beam_size, limits):
    src = np.arange(len(limits), dtype=np.int32)[:, None]
    found = framework.d2l.beam_search(model, src, np.ones(len(limits)), beam_size, limits)
    for sentence, (ids, *_) in enumerate(found):
        assert all(type(i) is int for i in ids)
        assert len(ids) <= limits[sentence]
    return found


@pytest.mark.parametrize(("beam_size", "limit"), [(64, 3), (1, 5), (2, 5), (4, 5)])
def test_beam_search_finds_what_loops_find(framework, table_model, beam_size, limit):
    """Every target when the beam is wide enough, and else what the beam leaves."""
    limits = np.array([limit, limit - 1, 1, limit, limit, limit, 2, limit])
    found = search(framework, table_model, beam_size, limits)
    lengths = set()
    for sentence, (ids, attention_weights, found_score) in enumerate(found):
        if beam_size == 64:
            expected = exhaustive(sentence, limits[sentence])
        else:
            expected = beam_of_lists(sentence, beam_size, limits[sentence])
        lengths.add(len(expected))
        words = [i for i in expected if i != BEAM_VOCAB.eos]
        assert ids == words
        assert found_score == pytest.approx(score(sentence, expected), rel=1e-5)
        prefixes = [(BEAM_VOCAB.bos, *ids[:i]) for i in range(len(ids))]
        assert len(attention_weights) == len(ids)
        for weights, prefix in zip(attention_weights, prefixes):
            np.testing.assert_array_equal(weights, code(sentence, prefix))
    assert len(lengths) > 1


def test_a_wider_beam_pays(framework, table_model):
    """The stand-in is such that greedy search misses better targets, and wide beams do not."""
    limits = np.full(20, 4)
    scores = {
        size: np.array([r[2] for r in search(framework, table_model, size, limits)])
        for size in (1, 64)
    }
    assert (scores[64] >= scores[1] - 1e-6).all() and (scores[64] > scores[1] + 0.1).any()


def test_beams_of_a_real_model_do_not_mix_sentences(framework, model):
    """The state's rows follow their beams: each result has the score that its tokens have."""
    results = framework.d2l.translate(model, SENTENCES, beam_size=3, max_steps=tiny.TARGET_STEPS)
    greedy = framework.d2l.translate(model, SENTENCES, max_steps=tiny.TARGET_STEPS)
    assert [r.tokens for r in results] != [r.tokens for r in greedy]
    vocab = tiny.TGT_VOCAB
    src, src_valid_len = encode_source([s.split() for s in tiny.SENTENCES], tiny.SRC_VOCAB)
    ids = [vocab[r.tokens] for r in results]
    ids = [[*row, vocab.eos][: tiny.TARGET_STEPS] for row in ids]
    tgt_in = np.full((len(src), tiny.TARGET_STEPS), vocab.pad, np.int32)
    for row, words in enumerate(ids):
        tgt_in[row, : len(words)] = [vocab.bos, *words[:-1]]
    logits, attention = framework.d2l.teacher_forcing(model, src, src_valid_len, tgt_in)
    for row, (words, result) in enumerate(zip(ids, results)):
        chosen = log_softmax(logits[row])[range(len(words)), words]
        assert result.score == pytest.approx(chosen.mean(), rel=1e-4)
        expected = attention[row, : len(result.tokens), : src_valid_len[row]]
        np.testing.assert_allclose(result.attention_weights, expected, atol=1e-5)


# Bad input ---------------------------------------------------------------------------------------


def test_unknown_words_are_said_and_translated(framework, model):
    with pytest.warns(UserWarning, match="not in the vocabulary.*Qu, zz") as caught:
        results = framework.d2l.translate(
            model, [["zz", "a", "Qu"], ["b", "c", "d"], ["e", "zz", "f"]], max_steps=2
        )
    (caught,) = (w for w in caught if w.category is UserWarning)  # MXNet warns of itself
    assert caught.filename == __file__
    assert [r.unknown for r in results] == [["zz", "Qu"], [], ["zz"]]
    assert results[0].source == ["zz", "a", "Qu", "<eos>"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        known = [["<unk>", "a", "<unk>"], ["b", "c", "d"], ["e", "<unk>", "f"]]
        again = framework.d2l.translate(model, known, max_steps=2)
    assert [r.tokens for r in again] == [r.tokens for r in results]


def test_a_sentence_that_is_too_long_is_counted(framework, model, monkeypatch):
    monkeypatch.setattr(model, "max_steps", 4)
    with pytest.raises(ValueError, match=r"sentence 1 has 4 tokens.*at most 3"):
        framework.d2l.translate(model, ["a b c", "a b c d"])
    framework.d2l.read_sentences(model, ["a b c"])  # 3 and <eos>: just fits


@pytest.mark.parametrize("path", OLD_FILES, ids=lambda path: path.stem)
def test_files_of_earlier_versions_load(framework, path):
    """Written by version 0.1.0, before constructors were told their sizes."""
    kinds = {kind[0]: kind for kind in [("plain", 2, False), tiny.PAPER, *tiny.LUONG_KINDS]}
    loaded = framework.d2l.load_model(path)
    assert (loaded.src_vocab, loaded.tgt_vocab) == (tiny.SRC_VOCAB, tiny.TGT_VOCAB)
    weights = framework.d2l.get_weights(loaded)
    for name, array in tiny.random_weights(*kinds[path.stem]).items():
        np.testing.assert_array_equal(weights[name], array, err_msg=name)


@pytest.mark.parametrize("call", ["translate", "save_model"])
def test_a_model_without_vocabularies_says_what_to_do(framework, tmp_path, call):
    model, path = tiny.new_model(framework, *tiny.PAPER), tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="no vocabularies: train it or load it"):
        getattr(framework.d2l, call)(model, ["a b"] if call == "translate" else path)
    assert list(tmp_path.iterdir()) == []


def test_a_string_is_no_list_of_sentences(framework, model):
    with pytest.raises(TypeError, match=r"'a b'.* list"):
        framework.d2l.translate(model, "a b")


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"max_steps": 0}, {"max_steps": -3}])
def test_sizes_must_be_positive(framework, model, options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=f"{name} is {value}.*at least 1"):
        framework.d2l.translate(model, ["a b"], **options)


# Models in files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tiny.PAPER, *tiny.TRANSFORMERS], ids=tiny.kind_name)
@pytest.mark.parametrize("reader", frameworks.UNDER_TEST, ids=lambda f: f"read-by-{f}")
def test_a_model_of_one_framework_translates_in_another(framework, kind, reader, tmp_path):
    model, path = tiny.shared_model(framework, *kind), tmp_path / "model.safetensors"
    framework.d2l.save_model(model, path)
    expected = framework.d2l.translate(model, SENTENCES, max_steps=tiny.TARGET_STEPS)
    loaded = reader.d2l.load_model(path)
    assert isinstance(loaded, reader.d2l.Seq2Seq)
    assert loaded.src_vocab == tiny.SRC_VOCAB and loaded.tgt_vocab == tiny.TGT_VOCAB
    same(reader.d2l.translate(loaded, SENTENCES, max_steps=tiny.TARGET_STEPS), expected)
    again = tmp_path / "again.safetensors"
    reader.d2l.save_model(loaded, again)
    written, rewritten = load_file(path), load_file(again)
    assert written.keys() == rewritten.keys()
    for name, array in written.items():
        np.testing.assert_array_equal(rewritten[name], array)


@pytest.mark.parametrize("kind", [("plain", 2, False), ("attention", 2, True)], ids=str)
def test_a_file_keeps_the_configuration(framework, kind, tmp_path):
    d2l = framework.d2l
    model = tiny.new_model(framework, *kind, dropout=0.25)
    model.src_vocab, model.tgt_vocab = tiny.SRC_VOCAB, tiny.TGT_VOCAB
    config = d2l.get_config(model)
    assert config == {
        "kind": kind[0],
        "src_vocab_size": len(tiny.SRC_VOCAB),
        "tgt_vocab_size": len(tiny.TGT_VOCAB),
        "embed_size": tiny.EMBED,
        "num_hiddens": tiny.HIDDENS,
        "num_layers": kind[1],
        "dropout": 0.25,
        "bidirectional": kind[2],
    }
    d2l.save_model(model, tmp_path / "model.safetensors")
    loaded = d2l.load_model(tmp_path / "model.safetensors")
    assert d2l.get_config(loaded) == config
    given = tiny.random_weights(*kind)
    for name, array in d2l.get_weights(loaded).items():
        np.testing.assert_array_equal(array, given[name], err_msg=name)


def test_a_damaged_file_is_no_model(framework, model, tmp_path):
    path = tmp_path / "model.safetensors"
    framework.d2l.save_model(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 100])
    with pytest.raises(ValueError, match="complete safetensors file"):
        framework.d2l.load_model(path)
    save_file(framework.d2l.get_weights(model), path, {"format_version": "99"})
    with pytest.raises(ValueError, match=r"format version 99.*reads versions 1 and 2"):
        framework.d2l.load_model(path)
    with pytest.raises(FileNotFoundError, match="save_model"):
        framework.d2l.load_model(tmp_path / "nothing.safetensors")
