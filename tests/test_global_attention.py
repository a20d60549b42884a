"""Chapter 07: what Luong's attentions and decoder do beyond the contract of all others.

`tests/test_attention_functions.py` and `tests/test_properties.py` test the attentions against
NumPy, `tests/test_seq2seq.py` and `tests/test_parity.py` the decoders.
"""

import re

import numpy as np
import pytest

from d2l_ext import weights as exchange
from tests import frameworks, test_attention_functions, tiny

HIDDENS = 4


def local(framework, *options, **more):
    """Local attention for queries and keys of size 5."""
    return framework.d2l.LocalAttention(5, 5, HIDDENS, *options, **more, **framework.options)


def draw(framework, *shape, seed=0):
    array = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return framework.array(array)


def test_a_window_moves_with_the_step(framework):
    """Monotonic: p = t; the first step may differ from sentence to sentence."""
    attention = local(framework, "monotonic", window=1, score="dot")
    queries, keys = draw(framework, 3, 2, 5), draw(framework, 3, 8, 5, seed=1)
    lens = np.array([8, 8, 3])
    for first_step, starts in ((0, [0, 0, 0]), (2, [2, 2, 2]), (np.array([1, 5, 4]), [1, 5, 4])):
        if isinstance(first_step, np.ndarray):
            first_step = framework.array(first_step, "int32")
        _, weights = attention.attend(queries, keys, keys, lens, first_step)
        weights = framework.numpy(weights)
        for row, start in enumerate(starts):
            for t in range(2):
                inside = [s for s in range(lens[row]) if abs(s - start - t) <= 1]
                assert np.flatnonzero(weights[row, t]).tolist() == inside
                assert weights[row, t].sum() == pytest.approx(1 if inside else 0, abs=1e-6)


def test_a_window_behind_the_sentence_gives_nothing(framework):
    attention = local(framework, "monotonic", window=2, score="dot")
    queries, keys = draw(framework, 2, 1, 5), draw(framework, 2, 4, 5, seed=1)
    output, weights = attention.attend(queries, keys, keys, np.array([4, 2]), 9)
    assert not framework.numpy(output).any() and not framework.numpy(weights).any()


@pytest.mark.parametrize("alignment", exchange.ALIGNMENTS)
def test_what_lies_outside_the_window_is_not_touched(framework, alignment):
    """NaN there would reach the result if it were computed and multiplied by 0."""
    attention = local(framework, alignment, window=2)
    queries, keys = draw(framework, 2, 3, 5), draw(framework, 2, 40, 5, seed=1)
    expected = attention(queries, keys, keys)
    touched = framework.numpy(expected[1]) > 0
    touched[:, :, 1:] |= touched[:, :, :-1]  # a window of five may see four: the fifth weighs 0
    touched = touched.any(1)
    assert touched.sum(1).max() <= 3 * 6
    spoilt = np.where(touched[..., None], framework.numpy(keys), np.nan)
    spoilt = framework.array(spoilt.astype(np.float32))
    for found, wanted in zip(attention.attend(queries, spoilt, spoilt), expected):
        np.testing.assert_allclose(framework.numpy(found), framework.numpy(wanted), atol=1e-6)


def test_predicted_centers_lie_within_each_sentence(framework):
    attention = local(framework, window=3)
    queries, keys = draw(framework, 3, 6, 5), draw(framework, 3, 20, 5, seed=1)
    attention(queries, keys, keys)
    lens = framework.array(np.array([[20], [7], [1]], np.float32))
    centers = framework.numpy(attention.centers(queries, lens))
    assert centers.shape == (3, 6)
    share = centers / framework.numpy(lens)
    assert (share > 0).all() and (share < 1).all() and np.ptp(share) > 0.01
    W_p, v_p = test_attention_functions.weights_of(framework, attention)[-2:]
    x = (np.tanh(framework.numpy(queries) @ W_p) @ v_p)[..., 0]
    np.testing.assert_allclose(share, 1 / (1 + np.exp(-x)), atol=1e-6)


def test_the_center_moves_towards_what_helps(framework):
    """The gradient reaches the prediction, through the Gaussian, with the right sign."""
    attention = local(framework, window=4, score="dot")
    queries, keys = draw(framework, 1, 1, 5), framework.array(np.zeros((1, 12, 5), np.float32))
    lens = framework.array(np.array([[12.0]], np.float32))
    attention(queries, keys, keys)
    center = framework.numpy(attention.centers(queries, lens)).item()
    values = np.arange(12, dtype=np.float32).reshape(1, 12, 1) > center  # what helps is behind it
    values = framework.array(values.astype(np.float32))
    (uphill,) = framework.grad(lambda q: attention(q, keys, values)[0], queries)
    (towards,) = framework.grad(lambda q: attention.centers(q, lens), queries)
    assert (uphill * towards).sum() > 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("GlobalAttention", {"score": "cosine"}, "score is 'cosine'; expected one of ('dot', "),
        ("LocalAttention", {"score": None}, "score is None; expected one of ('dot', "),
        ("LocalAttention", {"alignment": "up"}, "alignment is 'up'; expected one of ('monotonic'"),
        ("LocalAttention", {"window": 0}, "window is 0; expected 1 or more"),
    ],
)
def test_wrong_options_are_named(framework, name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(framework.d2l, name)(5, 5, HIDDENS, **options, **framework.options)


def test_dot_wants_states_of_one_width(framework):
    d2l = framework.d2l
    config = tiny.config("dot", 1, bidirectional=True)
    with pytest.raises(ValueError, match=f"size {tiny.HIDDENS} .*size {2 * tiny.HIDDENS}"):
        d2l.new_model(config)


@pytest.mark.parametrize("kind", tiny.LUONG_KINDS, ids=tiny.kind_name)
def test_steps_at_once_and_one_by_one(framework, kind):
    d2l, model = framework.d2l, tiny.shared_model(framework, *kind)
    src, src_valid_len, tgt_in = tiny.batch()
    logits, weights = d2l.teacher_forcing(model, src, src_valid_len, tgt_in)
    state = model.start_decoding(src, src_valid_len)
    for step in range(tgt_in.shape[1]):
        scores, found, state = model.decode(tgt_in[:, step : step + 1], state)
        found = found[..., : weights.shape[2]]  # JAX pads the source further
        np.testing.assert_allclose(found[:, 0], weights[:, step], atol=2e-6)
        np.testing.assert_allclose(scores[:, 0], logits[:, step], atol=5e-6)


def test_input_feeding_is_what_the_first_step_lacks(framework):
    """It begins with 0: the first step is that of a decoder whose fed inputs weigh nothing."""
    d2l, given = framework.d2l, tiny.batch()
    fed = tiny.new_model(framework, "general", 1, False)
    weights = d2l.get_weights(fed)
    before = d2l.teacher_forcing(fed, *given)[0]
    weights["decoder.gru.0.w_x"][: tiny.HIDDENS] = 0
    d2l.set_weights(fed, weights)
    cut = d2l.teacher_forcing(fed, *given)[0]
    np.testing.assert_allclose(cut[:, 0], before[:, 0], atol=1e-6)
    assert np.abs(cut[:, 1] - before[:, 1]).max() > 1e-3
    unfed = tiny.new_model(framework, "unfed", 1, False)
    weights["decoder.gru.0.w_x"] = weights["decoder.gru.0.w_x"][tiny.HIDDENS :]
    d2l.set_weights(unfed, weights)
    np.testing.assert_allclose(d2l.teacher_forcing(unfed, *given)[0], cut, atol=2e-6)


@pytest.mark.parametrize("kind", tiny.LUONG_KINDS, ids=tiny.kind_name)
def test_a_model_is_built_again_from_its_configuration(framework, kind, tmp_path):
    d2l, model = framework.d2l, tiny.shared_model(framework, *kind)
    assert d2l.get_config(model) == tiny.config(*kind)
    d2l.save_model(model, tmp_path / "model.safetensors")
    loaded = d2l.load_model(tmp_path / "model.safetensors")
    assert d2l.get_config(loaded) == tiny.config(*kind)
    given = tiny.batch()
    for one, other in zip(d2l.teacher_forcing(loaded, *given), d2l.teacher_forcing(model, *given)):
        np.testing.assert_array_equal(one, other)


def test_options_are_a_copy(framework):
    decoder = tiny.shared_model(framework, *tiny.LUONG_KINDS[0]).decoder
    decoder.options["score"] = "general"
    assert decoder.options["score"] == "dot"


@pytest.mark.skipif(len(frameworks.UNDER_TEST) == 1, reason="FRAMEWORK leaves nobody to read")
@pytest.mark.parametrize("kind", [("predictive", 1, True), ("dot", 1, False)], ids=tiny.kind_name)
def test_another_framework_reads_the_model(framework, kind, tmp_path):
    writers = frameworks.UNDER_TEST
    reader = writers[(writers.index(framework) + 1) % len(writers)]
    model, given = tiny.shared_model(framework, *kind), tiny.batch()
    framework.d2l.save_model(model, tmp_path / "model.safetensors")
    loaded = reader.d2l.load_model(tmp_path / "model.safetensors")
    found, expected = (
        d2l.teacher_forcing(m, *given) for d2l, m in ((reader.d2l, loaded), (framework.d2l, model))
    )
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, other, atol=5e-6)
