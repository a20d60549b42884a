"""The exchange format: what is written comes back, and nothing else is accepted."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from d2l_ext import weights
from d2l_ext.corpora import Vocab

SRC_VOCAB = Vocab.build([("a", "dog")])
TGT_VOCAB = Vocab.build([("un", "chien", "l'", "été")])


def make_config(**changes):
    config = {
        "kind": "attention",
        "src_vocab_size": 6,
        "tgt_vocab_size": 8,
        "embed_size": 3,
        "num_hiddens": 4,
        "num_layers": 2,
        "dropout": 0.1,
        "bidirectional": True,
    }
    if changes.get("kind") == "global":
        config |= {"score": "general", "input_feeding": True, "local": None, "window": 10}
    if changes.get("kind") == "transformer":
        config |= {"embed_size": 4, "num_heads": 2, "ffn_num_hiddens": 5, "norm_first": True}
    return {**config, **changes}


def make_arrays(config):
    rng = np.random.default_rng(0)
    shapes = weights.expected_shapes(config)
    return {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    config = make_config()
    weights.save(path, make_arrays(config), config, SRC_VOCAB, TGT_VOCAB)
    return path


def test_shapes_of_the_paper_by_hand():
    shapes = weights.expected_shapes(make_config(num_layers=1))
    assert shapes == {
        "encoder.embedding": (6, 3),
        "encoder.gru.0.w_x": (3, 12),
        "encoder.gru.0.w_h": (4, 12),
        "encoder.gru.0.b_x": (12,),
        "encoder.gru.0.b_h": (12,),
        "encoder.gru.0.backward.w_x": (3, 12),
        "encoder.gru.0.backward.w_h": (4, 12),
        "encoder.gru.0.backward.b_x": (12,),
        "encoder.gru.0.backward.b_h": (12,),
        "encoder.init.0.w": (4, 4),
        "decoder.attention.w_q": (4, 4),
        "decoder.attention.w_k": (8, 4),
        "decoder.attention.w_v": (4, 1),
        "decoder.embedding": (8, 3),
        "decoder.gru.0.w_x": (11, 12),
        "decoder.gru.0.w_h": (4, 12),
        "decoder.gru.0.b_x": (12,),
        "decoder.gru.0.b_h": (12,),
        "decoder.dense.w": (4, 8),
        "decoder.dense.b": (8,),
    }


def test_shapes_of_other_models():
    two_layers = weights.expected_shapes(make_config())
    assert two_layers["encoder.gru.1.w_x"] == two_layers["encoder.gru.1.backward.w_x"] == (8, 12)
    assert two_layers["decoder.gru.1.w_x"] == (4, 12)
    one_way = weights.expected_shapes(make_config(bidirectional=False))
    assert one_way["encoder.gru.1.w_x"] == (4, 12)
    assert one_way["decoder.attention.w_k"] == (4, 4)
    assert one_way["decoder.gru.0.w_x"] == (7, 12)
    assert not any("backward" in name or "init" in name for name in one_way)
    for bidirectional in (True, False):
        plain = weights.expected_shapes(make_config(kind="plain", bidirectional=bidirectional))
        assert plain["decoder.gru.0.w_x"] == (7, 12)
        assert not any("attention" in name for name in plain)


def test_shapes_of_luong_s_decoder():
    """Encoder outputs are 8 wide, embeddings 3, states 4."""

    def own(**changes):
        shapes = weights.expected_shapes(make_config(kind="global", **changes))
        return {
            name.removeprefix("decoder."): shape
            for name, shape in shapes.items()
            if name.startswith(("decoder.attention", "decoder.gru.0.w_x"))
        }

    fed, unfed = {"gru.0.w_x": (4 + 3, 12)}, {"gru.0.w_x": (3, 12)}
    combine = {"attentional.w": (8 + 4, 4)}
    general = {"attention.w": (4, 8)}
    assert own() == fed | combine | general
    assert own(input_feeding=False) == unfed | combine | general
    assert own(local="monotonic", window=3) == own()
    predictive = {"attention.w_p": (4, 4), "attention.v_p": (4, 1)}
    assert own(local="predictive") == own() | predictive
    additive = {"attention.w_q": (4, 4), "attention.w_k": (8, 4), "attention.w_v": (4, 1)}
    assert own(score="concat") == fed | combine | additive
    dot = own(score="dot", bidirectional=False)
    assert dot == fed | {"attentional.w": (4 + 4, 4)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"score": "cosine"},
            r"score is 'cosine'; expected one of \('dot', 'general', 'concat'\)",
        ),
        ({"local": "diagonal"}, r"local is 'diagonal'; expected one of \(None, 'monotonic', "),
        ({"input_feeding": 2}, r"input_feeding is 2; expected one of \(False, True\)"),
        ({"window": 0}, "window is 0; expected a positive integer"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_of_luong_s_decoder_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        weights.expected_shapes(make_config(kind="global", **changes))


def test_each_kind_has_options_of_its_own():
    with pytest.raises(ValueError, match=r"missing keys \[\], unknown keys \['window'\]"):
        weights.expected_shapes(make_config(window=3))
    config = make_config(kind="global")
    del config["score"], config["local"]
    with pytest.raises(ValueError, match=r"missing keys \['score', 'local'\], unknown keys \[\]"):
        weights.expected_shapes(config)


@pytest.mark.parametrize(
    ("kind", "bidirectional", "num_layers"),
    [
        choice
        for choice in itertools.product(weights.KINDS, (True, False), (1, 3))
        if choice[:2] != ("transformer", False)
    ],
)
def test_round_trip(tmp_path, kind, bidirectional, num_layers):
    config = make_config(kind=kind, bidirectional=bidirectional, num_layers=num_layers)
    arrays = make_arrays(config)
    weights.save(tmp_path / "m.safetensors", arrays, config, SRC_VOCAB, TGT_VOCAB)
    loaded, loaded_config, src_vocab, tgt_vocab = weights.load(tmp_path / "m.safetensors")
    assert loaded_config == config
    assert (src_vocab, tgt_vocab) == (SRC_VOCAB, TGT_VOCAB)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], array)


def test_arrays_are_stored_as_float32_in_row_order(tmp_path):
    config = make_config()
    arrays = {name: np.asfortranarray(a, dtype="f8") for name, a in make_arrays(config).items()}
    weights.save(tmp_path / "m", arrays, config, SRC_VOCAB, TGT_VOCAB)
    for name, array in weights.load(tmp_path / "m")[0].items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize("trained_with", ["jax", "pytorch"])
def test_the_models_that_come_with_the_library(trained_with):
    _, config, src_vocab, _ = weights.load(weights.pretrained(trained_with))
    assert config["kind"] == "attention" and config["bidirectional"]
    assert "dog" in src_vocab
    with pytest.raises(ValueError, match=r"'mxnet' has trained no model.*'jax', 'pytorch'"):
        weights.pretrained("mxnet")


def test_the_transformer_that_comes_with_the_library_is_small():
    path = weights.pretrained("transformer")
    _, config, _, _ = weights.load(path)
    assert config["kind"] == "transformer"
    assert path.stat().st_size < 300_000


def test_saving_leaves_the_old_file_when_it_is_interrupted(saved, monkeypatch):
    before = saved.read_bytes()

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights.save(saved, make_arrays(make_config()), make_config(), SRC_VOCAB, TGT_VOCAB)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize("keep", [0, 4, 100, -4])
def test_truncated_file(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model.safetensors is no complete safetensors file"):
        weights.load(saved)


def test_file_of_another_kind(saved):
    saved.write_text("not weights but a poem, long enough to be mistaken for a header")
    with pytest.raises(ValueError, match=r"model.safetensors is no complete safetensors file"):
        weights.load(saved)
    save_file({"x": np.zeros(1, "float32")}, saved)
    with pytest.raises(ValueError, match=r"has no format version; .* reads versions 1 and 2"):
        weights.load(saved)
    with pytest.raises(FileNotFoundError, match=r"there is no weights file .*nowhere"):
        weights.load(saved.with_name("nowhere"))


def rewrite(path, arrays=None, **metadata):
    config = make_config()
    metadata = {
        "format_version": "1",
        "config": json.dumps(config),
        "src_vocab": json.dumps(SRC_VOCAB.tokens),
        "tgt_vocab": json.dumps(TGT_VOCAB.tokens),
        **metadata,
    }
    metadata = {key: value for key, value in metadata.items() if value is not None}
    save_file(make_arrays(config) if arrays is None else arrays, path, metadata)


def test_other_format_version(saved):
    rewrite(saved, format_version="3")
    with pytest.raises(ValueError, match=r"has format version 3; .* reads versions 1 and 2"):
        weights.load(saved)


def test_metadata_that_are_missing_or_do_not_fit(saved):
    rewrite(saved, config=None)
    with pytest.raises(ValueError, match="has no config in its metadata"):
        weights.load(saved)
    rewrite(saved, src_vocab=json.dumps(SRC_VOCAB.tokens[:-1]))
    with pytest.raises(ValueError, match=r"src_vocab_size is 6, but the vocabulary has 5 tokens"):
        weights.load(saved)
    rewrite(saved, config="{")
    with pytest.raises(ValueError, match=r"model.safetensors: "):
        weights.load(saved)


def test_arrays_that_are_missing_unknown_or_of_another_shape(saved):
    arrays = make_arrays(make_config())
    arrays["decoder.dense.weight"] = arrays.pop("decoder.dense.w")
    arrays["encoder.gru.0.w_x"] = arrays["encoder.gru.0.w_x"].T.copy()
    rewrite(saved, arrays)
    for part in (
        r"model.safetensors: weights do not fit the configuration",
        r"decoder.dense.w is missing",
        r"decoder.dense.weight is unknown",
        r"encoder.gru.0.w_x has shape \(12, 3\), expected \(3, 12\)",
    ):
        with pytest.raises(ValueError, match=part):
            weights.load(saved)


def test_saving_what_does_not_fit(tmp_path):
    path = tmp_path / "m.safetensors"
    arrays = make_arrays(make_config())
    with pytest.raises(ValueError, match=r"decoder.gru.0.w_x has shape \(11, 12\), expected \(7,"):
        weights.save(path, arrays, make_config(bidirectional=False), SRC_VOCAB, TGT_VOCAB)
    with pytest.raises(ValueError, match="tgt_vocab_size is 8, but the vocabulary has 6 tokens"):
        weights.save(path, arrays, make_config(), SRC_VOCAB, SRC_VOCAB)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "mixture"},
            r"kind is 'mixture'; expected one of \('plain', 'attention'",
        ),
        ({"num_layers": 0}, "num_layers is 0; expected a positive integer"),
        ({"num_hiddens": 2.0}, "num_hiddens is 2.0; expected a positive integer"),
        ({"kind": "transformer", "num_heads": 3}, "num_heads is 3, which does not divide"),
        ({"kind": "transformer", "bidirectional": False}, "bidirectional is False; expected"),
        ({"kind": "transformer", "embed_size": 3}, r"embed_size is 3; expected one of \(4,\)"),
        ({"num_heads": 2}, r"missing keys \[\], unknown keys \['num_heads'\]"),
    ],
)
def test_bad_configuration(changes, message):
    with pytest.raises(ValueError, match=message):
        weights.expected_shapes(make_config(**changes))


def test_configuration_with_a_key_missing():
    config = make_config()
    del config["dropout"]
    with pytest.raises(ValueError, match=r"missing keys \['dropout'\]"):
        weights.expected_shapes(config)


def test_draws_what_the_constructors_draw():
    sizes = make_config(num_hiddens=50, src_vocab_size=500)
    arrays = weights.draw(sizes, 3)
    assert {name: a.shape for name, a in arrays.items()} == weights.expected_shapes(sizes)
    w_h, embedding = arrays["encoder.gru.0.w_h"], arrays["encoder.embedding"]
    limit = np.sqrt(6 / (50 + 150))
    assert 0.99 * limit < np.abs(w_h).max() <= limit
    assert w_h.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert embedding.std() == pytest.approx(1, abs=0.05)
    assert not arrays["encoder.gru.0.b_x"].any() and not arrays["decoder.dense.b"].any()
    other = weights.draw(sizes, 4)
    assert not np.array_equal(other["encoder.gru.0.w_h"], w_h)
