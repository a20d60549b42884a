"""Ours against what others have written: the frameworks, Flax, optax, and the book.

An outside layer here is a function of NumPy arrays that returns NumPy arrays, so that each is
compared with all of our tabs. Where one differs on purpose, a test shows how.
"""

import functools
import importlib.util
import pickle

import numpy as np
import pytest

from d2l_ext import compat
from tests import frameworks, tiny
from tests.test_attention_functions import build, weights_of

BATCH, QUERIES, KEYS, SIZE, HIDDENS = 3, 4, 5, 6, 7
LENS = np.array([2, 5, 1])
EMPTY = np.array([2, 0, 5])  # the second sentence has no valid key


def outside(name):
    """Turn a function (framework, NumPy arrays ...) into an outside layer of that framework's.

    It makes NumPy arrays of what the function returns, and skips the test where FRAMEWORK=...
    has left the layer's framework out of the environment. All tabs ask for the same numbers, which
    are computed once.
    """
    framework, known = frameworks.FRAMEWORKS[name], {}

    def mark(function):
        @functools.wraps(function)
        def layer(*args):
            if importlib.util.find_spec(framework.library) is None:
                pytest.skip(f"{framework} is not installed")
            key = pickle.dumps(args)
            if key not in known:
                known[key] = function(framework, *args)
            if isinstance(known[key], tuple):
                return tuple(framework.numpy(x) for x in known[key])
            return framework.numpy(known[key])

        return layer

    return mark


def book(function):
    """The outside layers of the book's four modules: function(framework, module, arrays ...)."""

    def of(name):
        def layer(framework, *args):
            _ = framework.d2l  # makes the book importable
            return function(framework, compat.import_d2l(framework.library), *args)

        layer.__name__ = f"{function.__name__}_{frameworks.FRAMEWORKS[name].library}"
        return outside(name)(layer)

    return [of(name) for name in frameworks.FRAMEWORKS]


def against(*layers):
    return pytest.mark.parametrize("layer", layers, ids=lambda layer: layer.__name__)


def valid(lens):
    """True at the valid keys of each query, (batch, queries, keys)."""
    return np.broadcast_to(np.arange(KEYS) < lens[:, None, None], (BATCH, QUERIES, KEYS))


def native(framework, *arrays):
    return [framework.array(array) for array in arrays]


def numbers(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# Masked softmax ----------------------------------------------------------------------------------


@outside("pytorch")
def torch_masked_softmax(framework, X, lens):
    import torch.masked

    X, mask = native(framework, X, valid(lens).copy())
    return torch.masked.softmax(X, -1, mask=mask)


@outside("mxnet")
def mx_npx_softmax(framework, X, lens):
    lengths = np.broadcast_to(lens[:, None], X.shape[:2]).astype("int32")
    X, lengths = native(framework, X, lengths)
    return framework.mxnet.npx.softmax(X, axis=-1, length=lengths, use_length=True)


@outside("jax")
def jax_nn_softmax(framework, X, lens):
    return framework.jax.nn.softmax(X, where=valid(lens))


@outside("tensorflow")
def keras_softmax(framework, X, lens):
    return framework.tensorflow.keras.layers.Softmax()(X, mask=valid(lens))


def book_softmax(framework, module, X, lens):
    return module.masked_softmax(*native(framework, X, lens))


SOFTMAXES = [torch_masked_softmax, mx_npx_softmax, jax_nn_softmax, keras_softmax]
BOOK_SOFTMAXES = book(book_softmax)


def our_softmax(framework, X, lens):
    return framework.numpy(framework.d2l.masked_softmax(framework.array(X), lens))


@against(*SOFTMAXES, *BOOK_SOFTMAXES)
def test_masked_softmax(framework, layer):
    (X,) = numbers((BATCH, QUERIES, KEYS))
    close(our_softmax(framework, X, LENS), layer(X, LENS), 1e-6)


# Attention: output, and weights where the layer gives them ---------------------------------------


def qkv():
    """Queries, keys and values; all of one size, as some layers want them."""
    return numbers((BATCH, QUERIES, SIZE), (BATCH, KEYS, SIZE), (BATCH, KEYS, SIZE))


@outside("pytorch")
def torch_scaled_dot_product(framework, queries, keys, values, lens):
    arrays = native(framework, queries, keys, values)
    mask = framework.array(valid(lens).copy())
    attend = framework.torch.nn.functional.scaled_dot_product_attention
    return (attend(*arrays, attn_mask=mask),)


@outside("pytorch")
def torch_multihead(framework, queries, keys, values, lens):
    """One head; the projections change nothing."""
    torch = framework.torch
    layer = torch.nn.MultiheadAttention(SIZE, num_heads=1, bias=False, batch_first=True)
    with torch.no_grad():
        layer.in_proj_weight.copy_(torch.eye(SIZE).repeat(3, 1))
        layer.out_proj.weight.copy_(torch.eye(SIZE))
    padding = framework.array(~valid(lens)[:, 0])
    return layer(*native(framework, queries, keys, values), key_padding_mask=padding)


@outside("jax")
def jax_dot_product(framework, queries, keys, values, lens):
    arrays = (x[:, :, None] for x in native(framework, queries, keys, values))  # one head
    attend = framework.jax.nn.dot_product_attention
    return (attend(*arrays, key_value_seq_lengths=lens)[:, :, 0],)


@outside("jax")
def flax_dot_product(framework, queries, keys, values, lens):
    from flax import nnx

    arrays = (x[:, :, None] for x in native(framework, queries, keys, values))  # one head
    mask = valid(lens)[:, None]  # (batch, heads, queries, keys)
    return (nnx.dot_product_attention(*arrays, mask=mask)[:, :, 0],)


@outside("tensorflow")
def keras_attention(framework, queries, keys, values, lens):
    """It does not divide by sqrt(d)."""
    layer = framework.tensorflow.keras.layers.Attention()
    inputs = native(framework, queries / np.float32(np.sqrt(SIZE)), values, keys)
    masks = [None, framework.array(valid(lens)[:, 0])]
    return layer(inputs, mask=masks, return_attention_scores=True)


@outside("tensorflow")
def keras_dot_product(framework, queries, keys, values, lens):
    arrays = (x[:, :, None] for x in (queries, keys, values))  # one head
    attend = framework.tensorflow.keras.ops.dot_product_attention
    return (attend(*arrays, mask=valid(lens)[:, None])[:, :, 0],)


def book_dot_product(framework, module, queries, keys, values, lens):
    layer = module.DotProductAttention(0)
    arrays = native(framework, queries, keys, values, lens)
    if framework.name == "jax":
        return layer.apply({}, *arrays)
    if framework.name == "pytorch":
        layer.eval()
    output = layer(*arrays)
    return output, layer.attention_weights


DOT_PRODUCTS = [
    torch_scaled_dot_product,
    torch_multihead,
    jax_dot_product,
    flax_dot_product,
    keras_attention,
    keras_dot_product,
]
BOOK_DOT_PRODUCTS = book(book_dot_product)


def ours(framework, name, arrays, lens, **options):
    """Our output and weights, and the layer."""
    layer = build(framework, name, options, SIZE, SIZE)
    output, weights = layer(*native(framework, *arrays), lens)
    return framework.numpy(output), framework.numpy(weights), layer


@against(*DOT_PRODUCTS, *BOOK_DOT_PRODUCTS)
def test_dot_product_attention(framework, layer):
    arrays = qkv()
    *found, _ = ours(framework, "DotProductAttention", arrays, LENS)
    for one, other in zip(found, layer(*arrays, LENS)):
        close(one, other)


def test_the_dot_product_without_scale(framework):
    """What Keras computes by itself."""
    arrays = queries, keys, values = qkv()
    *found, _ = ours(framework, "DotProductAttention", arrays, LENS, scaled=False)
    undone = queries * np.float32(np.sqrt(SIZE))
    for one, other in zip(found, keras_attention(undone, keys, values, LENS)):
        close(one, other)


@outside("tensorflow")
def keras_additive(framework, queries, keys, values, lens, W_q, W_k, w_v):
    """It adds queries and keys as they come, and weighs the sum by its `scale`."""
    layer = framework.tensorflow.keras.layers.AdditiveAttention()
    inputs = native(framework, queries @ W_q, values, keys @ W_k)
    layer.build([x.shape for x in inputs])
    layer.scale.assign(w_v[:, 0])
    masks = [None, framework.array(valid(lens)[:, 0])]
    return layer(inputs, mask=masks, return_attention_scores=True)


def book_additive(framework, module, queries, keys, values, lens, W_q, W_k, w_v):
    arrays = native(framework, queries, keys, values, lens)
    matrices = {"W_q": W_q, "W_k": W_k, "w_v": w_v}
    if framework.name == "jax":
        parameters = {name: {"kernel": W} for name, W in matrices.items()}
        return module.AdditiveAttention(HIDDENS, 0).apply({"params": parameters}, *arrays)
    sizes = (SIZE, SIZE) if framework.name == "tensorflow" else ()
    layer = module.AdditiveAttention(*sizes, num_hiddens=HIDDENS, dropout=0)
    if framework.name == "mxnet":
        layer.initialize()
    layer(*arrays)  # makes the weights
    for name, W in matrices.items():
        part = getattr(layer, name)
        if framework.name == "pytorch":
            part.weight.data.copy_(framework.array(W.T.copy()))
        elif framework.name == "mxnet":
            part.weight.set_data(framework.array(W.T))
        else:
            part.kernel.assign(W)
    output = layer(*arrays)
    return output, layer.attention_weights


@against(keras_additive, *book(book_additive))
def test_additive_attention(framework, layer):
    arrays = qkv()
    *found, attention = ours(framework, "AdditiveAttention", arrays, LENS, num_hiddens=HIDDENS)
    for one, other in zip(found, layer(*arrays, LENS, *weights_of(framework, attention))):
        close(one, other)


@outside("pytorch")
def torch_bilinear(framework, queries, keys, values, lens, W):
    """Scores from `torch.nn.functional.bilinear`, one pair of vectors at a time."""
    torch = framework.torch
    queries, keys, values = native(framework, queries, keys, values)
    queries = queries[:, :, None].expand(-1, -1, KEYS, -1)
    keys = keys[:, None].expand(-1, QUERIES, -1, -1)
    scores = torch.nn.functional.bilinear(queries, keys, framework.array(W)[None])[..., 0]
    weights = scores.masked_fill(~framework.array(valid(lens).copy()), -torch.inf).softmax(-1)
    return weights @ values, weights


@against(torch_bilinear)
def test_bilinear_attention(framework, layer):
    arrays = qkv()
    *found, attention = ours(framework, "BilinearAttention", arrays, LENS)
    for one, other in zip(found, layer(*arrays, LENS, *weights_of(framework, attention))):
        close(one, other)


# Where others differ: a query without a key, and NaN behind the lengths --------------------------

ZERO, UNIFORM, NAN = "zero", "uniform", "NaN"


def gives(table):
    """Parametrize by layer, and by what it gives a query that has no key."""
    pairs = [pytest.param(f, kind, id=f"{f.__name__}-{kind}") for f, kind in table.items()]
    return pytest.mark.parametrize(("layer", "kind"), pairs)


@gives(
    {torch_masked_softmax: NAN, mx_npx_softmax: ZERO, jax_nn_softmax: ZERO, keras_softmax: ZERO}
    | dict.fromkeys(BOOK_SOFTMAXES, UNIFORM)
)
def test_ours_weighs_nothing_where_no_key_is_valid(framework, layer, kind):
    (X,) = numbers((BATCH, QUERIES, KEYS))
    weights, theirs = our_softmax(framework, X, EMPTY), layer(X, EMPTY)
    close(weights[EMPTY > 0], theirs[EMPTY > 0], 1e-6)
    assert (weights[EMPTY == 0] == 0).all()
    theirs_there = {ZERO: 0, UNIFORM: 1 / KEYS, NAN: np.nan}[kind]
    np.testing.assert_allclose(theirs[EMPTY == 0], theirs_there, rtol=1e-6)


@gives(
    dict.fromkeys([*DOT_PRODUCTS, *BOOK_DOT_PRODUCTS], UNIFORM)
    | {torch_scaled_dot_product: ZERO, torch_multihead: NAN}
)
def test_ours_attends_to_nothing_where_no_key_is_valid(framework, layer, kind):
    """Most average the padding, which then leaks into what the model says."""
    arrays = qkv()
    output, _, _ = ours(framework, "DotProductAttention", arrays, EMPTY)
    theirs = layer(*arrays, EMPTY)[0]
    close(output[EMPTY > 0], theirs[EMPTY > 0])
    assert (output[EMPTY == 0] == 0).all()
    padding = arrays[2][EMPTY == 0].mean(axis=1, keepdims=True)
    there = {ZERO: 0 * padding, UNIFORM: padding, NAN: np.nan * padding}[kind]
    close(theirs[EMPTY == 0], np.broadcast_to(there, theirs[EMPTY == 0].shape), 1e-4)


@against(*DOT_PRODUCTS, *BOOK_DOT_PRODUCTS)
def test_ours_ignores_nan_in_the_padding_which_theirs_spreads(framework, layer):
    queries, keys, values = qkv()
    clean, *_ = ours(framework, "DotProductAttention", (queries, keys, values), LENS)
    values[~valid(LENS)[:, 0]] = np.nan
    output, *_ = ours(framework, "DotProductAttention", (queries, keys, values), LENS)
    close(output, clean, 1e-6)
    theirs = layer(queries, keys, values, LENS)[0]
    assert np.isnan(theirs[LENS < KEYS]).all()
    close(theirs[LENS == KEYS], output[LENS == KEYS])


# Recurrent layers --------------------------------------------------------------------------------

READ = np.array([4, 2, 1, 4], np.int32)  # lengths
WAYS = pytest.mark.parametrize("two_way", [False, True], ids=["one-way", "two-way"])


def set_torch_gru(framework, rnn, weights):
    with framework.torch.no_grad():
        for name, parameter in rnn.named_parameters():  # weight_ih_l0_reverse
            kind, part, layer, *reverse = name.split("_")
            ours = f"encoder.gru.{layer[1:]}." + "backward." * bool(reverse)
            ours += {"weight": "w_", "bias": "b_"}[kind] + {"ih": "x", "hh": "h"}[part]
            parameter.copy_(framework.array(weights[ours].T.copy()))


@outside("pytorch")
def torch_gru(framework, weights, inputs, lens, two_way):
    """Two layers of PyTorch's, packed."""
    rnn = framework.torch.nn.GRU(
        tiny.EMBED, tiny.HIDDENS, num_layers=2, batch_first=True, bidirectional=two_way
    )
    set_torch_gru(framework, rnn, weights)
    utils = framework.torch.nn.utils.rnn
    packed = utils.pack_padded_sequence(
        framework.array(inputs), lens.tolist(), batch_first=True, enforce_sorted=False
    )
    outputs, state = rnn(packed)
    outputs, _ = utils.pad_packed_sequence(outputs, batch_first=True)
    return outputs, state[1::2] if two_way else state


def stacked(name):
    """Build two layers out of one: function(framework, four arrays, inputs, lens, reverse).

    It returns all states (batch, steps, hiddens), of any kind behind the lengths, and the last.
    """

    def mark(read):
        @outside(name)
        @functools.wraps(read)
        def layer(framework, weights, outputs, lens, two_way):
            state = []
            for i in range(2):
                directions = []
                for way in ["", "backward."][: 1 + two_way]:
                    four = [
                        weights[f"encoder.gru.{i}.{way}{part}"]
                        for part in ("w_x", "w_h", "b_x", "b_h")
                    ]
                    states, last = read(framework, four, outputs, lens, bool(way))
                    directions.append(np.asarray(states))
                outputs = np.concatenate(directions, axis=-1)
                outputs = np.where(np.arange(4)[:, None] < lens[:, None, None], outputs, 0)
                state.append(np.asarray(last))
            return framework.array(outputs), framework.array(np.stack(state))

        return layer

    return mark


@stacked("tensorflow")
def keras_gru(framework, weights, inputs, lens, reverse):
    layer = framework.tensorflow.keras.layers.GRU(
        tiny.HIDDENS, return_sequences=True, return_state=True, go_backwards=reverse
    )
    layer.build(inputs.shape)
    r, z, n = np.split(np.arange(3 * tiny.HIDDENS), 3)
    w_x, w_h, b_x, b_h = (w[..., np.concatenate([z, r, n])] for w in weights)
    layer.set_weights([w_x, w_h, np.stack([b_x, b_h])])
    states, last = layer(inputs, mask=np.arange(inputs.shape[1]) < lens[:, None])
    return states[:, ::-1] if reverse else states, last


@stacked("jax")
def flax_gru(framework, weights, inputs, lens, reverse):
    """Its cell has no bias for the state: those of the two sigmoids join the input's."""
    from flax import nnx

    w_x, w_h, b_x, b_h = weights
    cell = nnx.GRUCell(inputs.shape[-1], tiny.HIDDENS, rngs=nnx.Rngs(0))
    cell.dense_i.kernel[...] = w_x
    cell.dense_i.bias[...] = b_x + b_h
    cell.dense_h.kernel[...] = w_h
    last, states = nnx.RNN(cell, reverse=reverse, keep_order=True, return_carry=True)(
        framework.array(inputs), seq_lengths=framework.array(lens)
    )
    return states, last


@stacked("mxnet")
def gluon_gru(framework, weights, inputs, lens, reverse):
    """On a CPU it knows no lengths: one sentence after the other."""
    mx = framework.mxnet
    layer = mx.gluon.rnn.GRU(tiny.HIDDENS, layout="NTC", input_size=inputs.shape[-1])
    layer.initialize()
    names = ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias")
    for name, array in zip(names, weights):
        getattr(layer, f"l0_{name}").set_data(framework.array(array.T))
    way = -1 if reverse else 1
    all_states = np.zeros((*inputs.shape[:2], tiny.HIDDENS), np.float32)
    for sentence, length, states in zip(inputs, lens, all_states):
        read = layer(framework.array(sentence[None, :length][:, ::way].copy()))
        states[:length] = framework.numpy(read)[0, ::way]
    last = all_states[:, 0] if reverse else all_states[np.arange(len(lens)), lens - 1]
    return all_states, last


@WAYS
@against(torch_gru, keras_gru, flax_gru, gluon_gru)
def test_the_encoder(framework, layer, two_way):
    weights = tiny.random_weights("attention", 2, two_way)
    if layer is flax_gru:
        for name in weights:
            if name.endswith("b_h"):
                weights[name][-tiny.HIDDENS :] = 0
    model = encoder_with(framework, weights, two_way)
    src = np.random.default_rng(0).integers(len(tiny.SRC_VOCAB), size=(4, 4), dtype=np.int32)
    hidden, (_, outputs, _) = model.start_decoding(src, READ)

    expected, state = layer(weights, weights["encoder.embedding"][src], READ, two_way)
    if two_way:
        state = [np.tanh(h @ weights[f"encoder.init.{i}.w"]) for i, h in enumerate(state)]
    close(framework.numpy(outputs)[:, :4], expected)
    close(framework.numpy(hidden), state)


@functools.cache
def empty_model(framework, two_way):
    return tiny.new_model(framework, "attention", 2, two_way)


def encoder_with(framework, weights, two_way):
    model = empty_model(framework, two_way)
    framework.d2l.set_weights(model, weights)
    return model


@outside("pytorch")
def book_encoder(framework, weights, src):
    book = compat.import_d2l("torch")
    encoder = book.Seq2SeqEncoder(len(tiny.SRC_VOCAB), tiny.EMBED, tiny.HIDDENS, 2)
    encoder.embedding.weight.data.copy_(framework.array(weights["encoder.embedding"]))
    set_torch_gru(framework, encoder.rnn.rnn, weights)
    outputs, state = encoder(framework.array(src))
    return outputs.transpose(0, 1), state


def test_the_books_encoder_reads_on_over_padding(framework):
    """The same without padding; with it, the book's state is that of a longer sentence."""
    weights = tiny.random_weights("attention", 2, False)
    model = encoder_with(framework, weights, False)
    src = np.random.default_rng(0).integers(len(tiny.SRC_VOCAB), size=(4, 4), dtype=np.int32)
    lens = np.array([4, 4, 2, 4], np.int32)
    hidden, (_, outputs, _) = model.start_decoding(src, lens)
    hidden, outputs = framework.numpy(hidden), framework.numpy(outputs)
    full, padded = [0, 1, 3], 2
    expected, state = book_encoder(weights, src)
    close(outputs[full, :4], expected[full])
    close(hidden[:, full], state[:, full])
    assert np.abs(hidden[:, padded] - state[:, padded]).max() > 0.1
    _, state = book_encoder(weights, src[:, :2])
    close(hidden[:, padded], state[:, padded])


# Cross-entropy: the mean over real tokens --------------------------------------------------------


def real(labels, lens):
    return np.arange(labels.shape[1]) < lens[:, None]


@outside("pytorch")
def torch_cross_entropy(framework, logits, labels, lens):
    labels = np.where(real(labels, lens), labels, -100).astype("int64")
    logits, labels = native(framework, logits.swapaxes(1, 2).copy(), labels)
    return framework.torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)


@outside("jax")
def optax_cross_entropy(framework, logits, labels, lens):
    import optax

    losses = optax.softmax_cross_entropy_with_integer_labels(*native(framework, logits, labels))
    return losses.mean(where=real(labels, lens))


@outside("tensorflow")
def keras_cross_entropy(framework, logits, labels, lens):
    loss = framework.tensorflow.keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1, reduction="sum"
    )
    total = loss(np.where(real(labels, lens), labels, -1), logits)
    return total / lens.sum()


@outside("mxnet")
def gluon_cross_entropy(framework, logits, labels, lens):
    """It takes the mean over the steps, padding counted."""
    loss = framework.mxnet.gluon.loss.SoftmaxCELoss()
    weights = real(labels, lens)[..., None].astype("float32")
    means = loss(*native(framework, logits, labels, weights))
    return means.sum() * labels.shape[1] / lens.sum()


@against(torch_cross_entropy, optax_cross_entropy, keras_cross_entropy, gluon_cross_entropy)
def test_the_loss(framework, layer):
    (logits,) = numbers((4, 5, 9))
    labels = np.random.default_rng(1).integers(9, size=(4, 5), dtype=np.int32)
    lens = np.array([5, 2, 0, 1], np.int32)
    found = framework.d2l.masked_loss(*native(framework, logits, labels, lens))
    close(framework.numpy(found), layer(logits, labels, lens))
