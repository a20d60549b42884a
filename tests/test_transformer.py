"""Chapter 09: heads, positions, the causal mask, the past, and what every head looks at."""

import numpy as np
import pytest

from tests import reference, tiny

TRANSFORMERS = pytest.mark.parametrize("kind", tiny.TRANSFORMERS, ids=tiny.kind_name)
BATCH, QUERIES, KEYS = 3, 4, 5
SIZES = {"query_size": 6, "key_size": 5, "value_size": 3, "num_hiddens": 8, "num_heads": 2}


def close(result, expected):
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def multi_head(framework, **changes):
    return framework.d2l.MultiHeadAttention(**SIZES | changes, **framework.options)


def inputs(batch=BATCH, queries=QUERIES, keys=KEYS):
    rng = np.random.default_rng(0)
    shapes = [(batch, queries, 6), (batch, keys, 5), (batch, keys, 3)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def call(framework, layer, arrays, lens=None):
    arrays = [framework.array(array) for array in arrays]
    lens = None if lens is None else framework.array(np.asarray(lens, "int32"))
    return [framework.numpy(array) for array in layer(*arrays, lens)]


def matrices(framework, layer):
    """W_q, W_k, W_v and W_o as (inputs, outputs), by their small names."""
    result = {}
    for name, weight in layer.own_weights().items():
        array = framework.numpy(weight.data() if framework.name == "mxnet" else weight[...])
        result[name] = array.T if framework.name in ("pytorch", "mxnet") else array
    return result


@pytest.mark.parametrize("num_heads", [1, 2, 8])
@pytest.mark.parametrize("lens", [None, [5, 2, 0], [[1, 2, 3, 4], [5, 5, 0, 9], [2, 2, 2, 2]]])
def test_heads_are_small_attentions(framework, num_heads, lens):
    layer = multi_head(framework, num_heads=num_heads)
    arrays = inputs()
    output, weights = call(framework, layer, arrays, lens)
    assert output.shape == (BATCH, QUERIES, 8)
    assert weights.shape == (BATCH, num_heads, QUERIES, KEYS)
    w = matrices(framework, layer)
    q, k, v = (x.astype(float) @ w[f"w_{c}"] for c, x in zip("qkv", arrays))
    limits = np.full((BATCH, QUERIES), KEYS) if lens is None else np.array(lens)
    limits = np.broadcast_to(limits if limits.ndim == 2 else limits[:, None], (BATCH, QUERIES))
    found = np.zeros((BATCH, QUERIES, 8))
    size = 8 // num_heads
    for b, t in np.ndindex(BATCH, QUERIES):
        n = min(limits[b, t], KEYS)
        for h in range(num_heads):
            c = slice(h * size, (h + 1) * size)
            expected = np.zeros(KEYS)
            if n:
                scores = k[b, :n, c] @ q[b, t, c] / np.sqrt(size)
                expected[:n] = np.exp(scores) / np.exp(scores).sum()
            close(weights[b, h, t], expected)
            found[b, t, c] = expected @ v[b, :, c]
    close(output, found @ w["w_o"])


def test_what_no_query_sees_may_be_nan(framework):
    layer, arrays, lens = multi_head(framework), inputs(), [5, 2, 0]
    expected = call(framework, layer, arrays, lens)
    for array in arrays[1:]:
        for row, n in enumerate(lens):
            array[row, n:] = np.nan
    for found, wanted in zip(call(framework, layer, arrays, lens), expected):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(0, 4, 5), (3, 0, 5)])
def test_batches_may_be_empty(framework, shape):
    if framework.name == "mxnet":
        pytest.skip("MXNet's products take no empty arrays")
    output, weights = call(framework, multi_head(framework), inputs(*shape))
    assert output.shape == (*shape[:2], 8) and weights.shape == (shape[0], 2, *shape[1:])


def test_a_batch_without_sentences(framework):
    d2l, model = framework.d2l, tiny.shared_model(framework, *tiny.TRANSFORMERS[0])
    empty = np.zeros((0, 3), "int32"), np.zeros(0, "int32"), np.zeros((0, 2), "int32")
    if framework.name == "mxnet":
        with pytest.raises(ValueError, match=r"no empty batch; X is \(0, 3\)"):
            d2l.teacher_forcing(model, *empty)
        with pytest.raises(ValueError, match="no empty batch"):
            model.head_weights(*empty)
        return
    logits, attention = d2l.teacher_forcing(model, *empty)
    assert logits.shape == (0, 2, len(tiny.TGT_VOCAB)) and attention.shape == (0, 2, 3)
    for part, shape in zip(model.head_weights(*empty), [(3, 3), (2, 2), (2, 3)]):
        assert [block.shape for block in part] == 2 * [(0, tiny.HEADS, *shape)]


@pytest.mark.parametrize(
    ("num_heads", "message"),
    [
        (3, "num_heads is 3, which does not divide num_hiddens, 8"),
        (0, "num_heads is 0, not a whole number from 1"),
        (-2, "num_heads is -2, not"),
        (2.0, "num_heads is 2.0, not"),
    ],
)
def test_heads_must_divide_the_width(framework, num_heads, message):
    with pytest.raises(ValueError, match=message):
        multi_head(framework, num_heads=num_heads)


def test_the_norm_of_numbers_that_hardly_differ(framework):
    """There epsilon matters; the frameworks' own defaults are 1e-6, 1e-5 and 1e-3."""
    X = 3 + 3e-3 * np.random.default_rng(0).normal(size=(2, 4, 8)).astype("float32")
    norm = framework.d2l.AddNorm(8, **framework.options)
    wide = X.astype(float) - X.mean(axis=-1, keepdims=True, dtype=float)
    expected = wide / np.sqrt(X.var(axis=-1, keepdims=True, dtype=float) + 1e-5)
    found = framework.numpy(norm.before(framework.array(X)))
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_positions(framework):
    d2l = framework.d2l
    layer = d2l.PositionalEncoding(6, 20, **framework.options)
    zeros = np.zeros((2, 4, 6), "float32")
    found = framework.numpy(layer(framework.array(zeros)))
    angles = np.arange(4)[:, None] / 10000 ** (np.array([0, 0, 2, 2, 4, 4]) / 6)
    expected = np.where(np.arange(6) % 2, np.cos(angles), np.sin(angles))
    close(found, np.broadcast_to(expected, (2, 4, 6)))
    later = framework.numpy(layer(framework.array(zeros[:, :2]), framework.array([2, 1])))
    close(later, np.stack([expected[2:4], expected[1:3]]))
    assert d2l.sinusoids(5, 3).shape == (5, 3)
    again = framework.numpy(layer(framework.array(zeros[:, :2]), 2))  # an integer for all
    close(again, np.stack(2 * [expected[2:4]]))


@pytest.mark.parametrize(
    ("shape", "first_step", "message"),
    [
        ((1, 21, 6), 0, "21 steps are more than max_steps, 20"),
        ((1, 2, 6), 19, "21 steps are more than max_steps, 20"),
        ((2, 3, 6), np.array([4, 18], "int32"), "21 steps are more than max_steps, 20"),
        ((1, 2, 6), -1, "first_step is -1"),
        ((2, 2, 6), np.array([0, -3], "int32"), "first_step is -3"),
        ((1, 2, 5), 0, "steps have size 5, their positions 6"),
    ],
)
def test_steps_without_a_position_are_refused(framework, shape, first_step, message):
    layer = framework.d2l.PositionalEncoding(6, 20, **framework.options)
    first_step = first_step if isinstance(first_step, int) else framework.array(first_step)
    with pytest.raises(ValueError, match=message):
        layer(framework.array(np.zeros(shape, "float32")), first_step)


def test_no_word_has_a_position_beyond_the_last(framework):
    model = tiny.shared_model(framework, *tiny.TRANSFORMERS[0])
    ids = np.full((1, 1025), 4, "int32")
    expected, message = ValueError, r"\d+ steps are more than max_steps, 1024"
    if framework.name == "tensorflow":  # a graph that has been traced knows no numbers
        expected, message = framework.tensorflow.errors.InvalidArgumentError, "1024"
    with pytest.raises(expected, match=message):
        model.start_decoding(ids, np.array([1025], "int32"))
    state = model.start_decoding(ids[:, :5], np.array([5], "int32"))
    *_, state = model.decode(ids[:, :1024], state)
    with pytest.raises(expected, match=message):
        model.decode(ids[:, :1], state)


@TRANSFORMERS
def test_no_step_sees_a_later_one(framework, kind):
    d2l, model = framework.d2l, tiny.shared_model(framework, *kind)
    src, src_valid_len, tgt_in = tiny.batch()
    before = d2l.teacher_forcing(model, src, src_valid_len, tgt_in)
    changed = tgt_in.copy()
    changed[:, 3:] = (changed[:, 3:] + 1) % len(tiny.TGT_VOCAB)
    after = d2l.teacher_forcing(model, src, src_valid_len, changed)
    for ours, theirs in zip(before, after):
        close(ours[:, :3], theirs[:, :3])
    assert abs(before[0][:, 3:] - after[0][:, 3:]).max() > 0.01


@TRANSFORMERS
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1), (2, 3, 1), (5, 1)])
def test_steps_one_by_one_are_those_at_once(framework, kind, sizes):
    model = tiny.shared_model(framework, *kind)
    src, src_valid_len, tgt_in = tiny.batch()
    expected, attention, _ = model.decode(tgt_in, model.start_decoding(src, src_valid_len))
    state, done, logits, looks = model.start_decoding(src, src_valid_len), 0, [], []
    for size in sizes:
        found, weights, state = model.decode(tgt_in[:, done : done + size], state)
        done += size
        logits.append(found)
        looks.append(weights)
    close(np.concatenate(logits, axis=1), expected)
    close(np.concatenate(looks, axis=1), attention)


def test_a_past_may_be_long(framework):
    """Longer than the reserve that JAX keeps, with rows that change places."""
    model = tiny.shared_model(framework, *tiny.TRANSFORMERS[0])
    src, src_valid_len, _ = tiny.batch()
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, len(tiny.TGT_VOCAB), size=(len(src), 40), dtype=np.int32)
    rows = np.array([2, 0, 1, 1])
    expected, *_ = model.decode(tokens[rows], model.start_decoding(src, src_valid_len), rows)
    state = model.start_decoding(src, src_valid_len)
    for t in range(40):
        found, _, state = model.decode(tokens[:, t : t + 1], state)
        if t == 35:
            tail, *_ = model.decode(tokens[rows][:, 36:], state, rows)
    # the source is that of the row, so only these words and their past are compared
    moved, *_ = model.decode(tokens[rows], model.start_decoding(src[rows], src_valid_len[rows]))
    close(tail, moved[:, 36:])
    close(expected, moved)
    close(found[:, 0], model.decode(tokens, model.start_decoding(src, src_valid_len))[0][:, -1])


@TRANSFORMERS
def test_every_head_against_the_reference(framework, kind):
    model = tiny.shared_model(framework, *kind)
    weights = reference.float64(tiny.random_weights(*kind))
    src, src_valid_len, tgt_in = tiny.batch()
    found = model.head_weights(src, src_valid_len, tgt_in)
    assert [len(part) for part in found] == 3 * [kind[1]]
    for row, length in enumerate(src_valid_len):
        outputs, own = reference.transform_source(weights, src[row, :length], tiny.HEADS)
        _, target, source = reference.transform_target(weights, outputs, tgt_in[row], tiny.HEADS)
        for part, expected in zip(found, (own, target, source)):
            for block, rows in zip(part, expected):
                for query, wanted in enumerate(rows):
                    at_query = block[row, :, query]
                    if wanted is None:
                        assert (at_query == 0).all()
                        continue
                    close(at_query[:, : wanted.shape[1]], wanted)
                    assert (at_query[:, wanted.shape[1] :] == 0).all()


def part(framework, side, **changes):
    """A `TransformerEncoder` or `TransformerDecoder` of one block of 8 units."""
    sizes = {"num_hiddens": 8, "ffn_num_hiddens": 8, "num_heads": 2, "num_layers": 1}
    return getattr(framework.d2l, f"Transformer{side}")(9, **sizes | changes, **framework.options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hiddens": 6}, "encoder has embed_size=8, the decoder embed_size=6"),
        ({"num_heads": 4}, "encoder has num_heads=2, the decoder num_heads=4"),
        ({"ffn_num_hiddens": 9}, "ffn_num_hiddens=8, the decoder ffn_num_hiddens=9"),
        ({"norm_first": False}, "norm_first=True, the decoder norm_first=False"),
    ],
)
def test_parts_of_other_sizes_are_refused(framework, change, message):
    with pytest.raises(ValueError, match=message):
        framework.d2l.Seq2Seq(part(framework, "Encoder"), part(framework, "Decoder", **change))


def test_a_transformer_and_a_gru_are_no_model(framework):
    d2l, options = framework.d2l, framework.options
    encoder = d2l.Seq2SeqEncoder(9, 8, 8, 1, **options)
    with pytest.raises(ValueError, match="num_heads=None, the decoder num_heads=2"):
        d2l.Seq2Seq(encoder, part(framework, "Decoder"))
    decoder = d2l.Seq2SeqAttentionDecoder(9, 8, 8, 1, **options)
    with pytest.raises(ValueError, match="num_heads=2, the decoder num_heads=None"):
        d2l.Seq2Seq(part(framework, "Encoder"), decoder)


@pytest.mark.parametrize("side", ["Encoder", "Decoder"])
def test_a_part_of_no_blocks_is_refused(framework, side):
    with pytest.raises(ValueError, match="num_layers is 0, not a whole number from 1"):
        part(framework, side, num_layers=0)


def test_the_memory_is_as_wide_as_the_decoder(framework):
    assert part(framework, "Decoder", memory_size=8).memory_size == 8
    with pytest.raises(ValueError, match=r"memory_size is 12, .* num_hiddens, 8"):
        part(framework, "Decoder", memory_size=12)


@TRANSFORMERS
def test_the_encoder_gives_zeros_behind_a_sentence(framework, kind):
    model = tiny.shared_model(framework, *kind)
    src, src_valid_len, _ = tiny.batch()
    outputs, _ = model.encoder(framework.array(src), framework.array(src_valid_len))
    outputs = framework.numpy(outputs)
    behind = np.arange(src.shape[1]) >= src_valid_len[:, None]
    assert behind.any() and (outputs[behind] == 0).all()
    assert (outputs[~behind] != 0).any(axis=-1).all()
