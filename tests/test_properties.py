"""The contract of masking, attention, encoder and decoders, on cases that hypothesis draws.

Every property is one test body for all frameworks, and NumPy's float64 says what is right. The
same cases are drawn at every run.
"""

import contextlib
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import reference, strategies, test_attention_functions, tiny
from tests.test_masked_softmax import STEP, types
from tests.test_masked_softmax import compiled as compiled_function
from tests.test_masked_softmax import reference as masked_softmax

repeatable = settings(derandomize=True, deadline=None, database=None)

# What a framework cannot: it is not drawn, and `expect_limit` notices when it can after all
OVERFLOW = "lengths are compared as int64, and nothing is as long as 2**63"
LIMITS = {
    "pytorch": {
        "backwards": "makes no tensor of a NumPy view with negative strides; its error says: copy",
        "beyond int64": OVERFLOW,
    },
    "mxnet": {"attention to empty batches": "Gluon's graphs want a batch of one or more"},
    "jax": {},
    "tensorflow": {"beyond int64": OVERFLOW},
}


def expect_limit(framework, case, request):
    """Expect the test to fail where the framework cannot do better."""
    if case in LIMITS[framework.name]:
        reason = LIMITS[framework.name][case]
        request.applymarker(pytest.mark.xfail(strict=True, reason=f"{framework.name}: {reason}"))


def lengths(framework, types=strategies.INTEGERS, **options):
    """Functions of a shape (batch, queries, keys) that return suitable `Lengths`."""
    missing = {"int16", "uint16", "uint32", "uint64"} if framework.name == "mxnet" else set()
    native_types = [name for name in types if name not in missing]
    return strategies.lengths(types, native_types, avoid=LIMITS[framework.name], **options)


def precision(framework, dtype):
    """Context in which arrays of this type can be made."""
    return framework.float64() if dtype == "float64" else contextlib.nullcontext()


def unchanged(framework, array, before):
    """The function under test has not written into what it was given."""
    now = framework.numpy(array) if framework.is_native(array) else array
    np.testing.assert_array_equal(now, before)


# Masked softmax and sequence mask ----------------------------------------------------------------


@functools.cache
def softmax_cases(framework):
    """Scores, lengths or None, and whether to look at the gradient, too."""

    def make(scores, for_shape, differentiate):
        return scores, for_shape and for_shape(scores.values.shape), differentiate

    lens = lengths(framework)
    return st.builds(
        make,
        scores=strategies.scores(types(framework), strategies.SCORES),
        for_shape=st.none() | lens | lens,
        differentiate=st.sampled_from([False, False, True]),
    )


@settings(repeatable, max_examples=2000)
@given(data=st.data())
def test_masked_softmax(framework, data):
    case, lens, differentiate = data.draw(softmax_cases(framework))
    step = STEP[case.dtype]
    with precision(framework, case.dtype):
        X = case.given(framework)
        before = framework.numpy(X)
        if lens is None:
            valid_lens, hidden = None, np.zeros(before.shape, bool)
        else:
            valid_lens, hidden = lens.given(framework), lens.hides(before.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            expected = masked_softmax(before, None if lens is None else lens.values.copy())

        weights = framework.d2l.masked_softmax(X, valid_lens)
        assert framework.is_native(weights) and framework.dtype(weights) == case.dtype
        weights = framework.numpy(weights)
        lost = np.isnan(expected).any(-1)  # rows with NaN or inf, or with nothing but -inf
        np.testing.assert_allclose(weights[~lost], expected[~lost], rtol=0, atol=8 * step)
        assert np.isnan(weights[lost]).any(-1).all()
        assert (weights[hidden] == 0).all()

        if differentiate:
            rng = np.random.default_rng(0)
            upstream = framework.array(rng.uniform(-1, 1, size=before.shape), case.dtype)
            (gradient,) = framework.grad(
                lambda X: framework.d2l.masked_softmax(X, valid_lens) * upstream, X
            )
            assert (gradient[hidden] == 0).all()
            v = framework.numpy(upstream).astype(np.float64)
            p = expected
            slope = p * (v - (p * v).sum(-1, keepdims=True))
            np.testing.assert_allclose(gradient[~lost], slope[~lost], rtol=0, atol=8 * step)

        unchanged(framework, X, before)
        if lens is not None:
            unchanged(framework, valid_lens, lens.values)


@functools.cache
def mask_cases(framework):
    """An array (batch, steps, ...), its type, lengths, and the value to put behind them."""
    absent = {"mxnet": {"bfloat16", "bool"}, "jax": {"int64"}}.get(framework.name, set())
    dtypes = [*STEP, "uint8", "int32", "int64", "bool"]

    def make(dtype, shape, seed, hard, for_shape, fill):
        values = np.random.default_rng(seed).normal(scale=9, size=shape)
        if dtype in STEP:
            for place, number in hard if values.size else ():
                values.flat[place % values.size] = number
        else:  # a number that every type has, even bool
            values, fill = np.abs(values).astype("uint8"), 1
        return values, dtype, for_shape((shape[0], 1, shape[1])), fill

    return st.builds(
        make,
        dtype=st.sampled_from([name for name in dtypes if name not in absent]),
        shape=st.sampled_from([(0, 3), (1, 1), (2, 5, 3), (3, 2, 2, 2)]),
        seed=strategies.seeds,
        hard=strategies.places([np.nan, np.inf, -np.inf]),
        for_shape=lengths(framework, axes=[1]),
        fill=st.sampled_from([0, -7, 0.5, np.nan, -np.inf]),
    )


@settings(repeatable, max_examples=200)
@given(data=st.data())
def test_sequence_mask(framework, data):
    values, dtype, lens, fill = data.draw(mask_cases(framework))
    with precision(framework, dtype):
        X, valid_lens = framework.array(values, dtype), lens.given(framework)
        before = framework.numpy(X)
        hidden = lens.hides((len(values), 1, values.shape[1]))[:, 0]  # (batch, steps)
        expected = before.copy()
        expected[hidden] = fill

        masked = framework.d2l.sequence_mask(X, valid_lens, value=fill)
        assert framework.is_native(masked) and framework.dtype(masked) == dtype
        np.testing.assert_array_equal(framework.numpy(masked), expected)

        if dtype in STEP:
            (gradient,) = framework.grad(
                lambda X: framework.d2l.sequence_mask(X, valid_lens, value=fill), X
            )
            np.testing.assert_array_equal(gradient[hidden], 0)
            np.testing.assert_array_equal(gradient[~hidden], 1)
        unchanged(framework, X, before)
        unchanged(framework, valid_lens, lens.values)


HARD = {
    "backwards": (np.array([1, 2])[::-1], [2, 1]),
    "beyond int64": (np.array([2**64 - 1, 2], np.uint64), [3, 2]),
    "below int32": (np.array([2 - 2**32, 2]), [0, 2]),
    "empty batches": (np.array([], int), []),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_case(framework, case, request):
    expect_limit(framework, case, request)
    lens, meaning = HARD[case]
    X = framework.array(np.zeros((len(lens), 1, 3), np.float32))
    weights = framework.numpy(framework.d2l.masked_softmax(X, lens))
    assert [(row > 0).sum() for row in weights] == meaning


def test_attention_to_an_empty_batch(framework, request):
    expect_limit(framework, "attention to empty batches", request)
    nothing = framework.array(np.zeros((0, 2, 3), np.float32))
    output, weights = framework.d2l.DotProductAttention()(*[nothing] * 3, np.array([], int))
    assert framework.numpy(output).shape == (0, 2, 3)
    assert framework.numpy(weights).shape == (0, 2, 2)


@pytest.mark.parametrize("view", strategies.VIEWS, ids=lambda view: view.__name__)
def test_from_numpy_takes_any_view(framework, view, request):
    expect_limit(framework, view.__name__, request)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(framework.numpy(framework.d2l.from_numpy(view(x))), x)


# Attention ---------------------------------------------------------------------------------------

ATTENTIONS = [
    ("DotProductAttention", {}),
    ("DotProductAttention", {"scaled": False}),
    ("AdditiveAttention", {"num_hiddens": 4}),
    ("BilinearAttention", {}),
    ("GlobalAttention", {"num_hiddens": 4, "score": "dot"}),
    ("LocalAttention", {"num_hiddens": 4, "alignment": "monotonic", "window": 1}),
    ("LocalAttention", {"num_hiddens": 4, "window": 1, "score": "concat"}),
]
ATTENTION_NAMES = ["dot", "plain", "add", "bilinear", "global", "monotonic", "predictive"]
KEY_SIZE, VALUE_SIZE = 3, 2


@functools.cache
def attention_layer(framework, name, *options):
    sizes = 2 * [KEY_SIZE]
    return test_attention_functions.build(framework, name, dict(options), *sizes)


@functools.cache
def attention_cases(framework):
    """Queries, keys and values, lengths or None, what stands behind them, and a layout."""
    no_empty = "attention to empty batches" in LIMITS[framework.name]

    def make(shape, seed, scale, for_shape, junk, layout):
        batch, queries, keys = shape
        rng = np.random.default_rng(seed)
        sizes = (queries, KEY_SIZE), (keys, KEY_SIZE), (keys, VALUE_SIZE)
        arrays = [scale * rng.normal(size=(batch, *size)).astype(np.float32) for size in sizes]
        return arrays, for_shape and for_shape(shape), junk, layout

    return st.builds(
        make,
        shape=st.sampled_from([(1, 1, 1), (3, 2, 5), *([] if no_empty else [(0, 2, 3)])]),
        seed=strategies.seeds,
        scale=st.sampled_from([1, 0, 5]),
        for_shape=st.none() | lengths(framework, ["int32", "int64"]),
        junk=st.sampled_from([np.nan, np.inf, -np.inf, 1e30]),
        layout=st.sampled_from(strategies.LAYOUTS),
    )


@pytest.mark.parametrize(("name", "options"), ATTENTIONS, ids=ATTENTION_NAMES)
@settings(repeatable, max_examples=80)
@given(data=st.data())
def test_attention(framework, name, options, data):
    """Outputs, weights and slopes are the formulas', whatever stands behind the lengths."""
    attention = attention_layer(framework, name, *options.items())
    clean, lens, junk, layout = data.draw(attention_cases(framework))
    dirty, valid_lens = [x.copy() for x in clean], None
    if lens is not None:
        valid_lens = lens.given(framework)
        shape = (*clean[0].shape[:2], clean[1].shape[1])
        hidden = lens.hides(shape).all(1)  # behind the lengths of all queries
        dirty[1][hidden] = dirty[2][hidden] = junk
    native = [strategies.native_view(framework, x, "float32", layout) for x in dirty]
    output, weights = attention(*native, valid_lens)

    matrices = test_attention_functions.weights_of(framework, attention)

    def formulas(queries, keys, values):
        lengths = None if lens is None else lens.values
        return test_attention_functions.reference(
            name, options, matrices, queries, keys, values, lengths
        )

    expected = formulas(*clean)
    np.testing.assert_allclose(framework.numpy(weights), expected[1], atol=2e-5)
    np.testing.assert_allclose(framework.numpy(output), expected[0], rtol=1e-5, atol=2e-4)

    if options.get("score") == "concat":  # where a state enters a window, there is no slope
        lengths = None if lens is None else lens.values
        p = test_attention_functions.centers(options, matrices, clean[0], clean[1], lengths)
        if (np.abs(p - p.round()) < 1e-3).any():
            return

    # The slope in any direction, as NumPy's float64 climbs it
    rng = np.random.default_rng(0)
    upstream, *directions = (
        rng.normal(size=x.shape).astype(np.float32) for x in (expected[0], *clean)
    )
    gradients = framework.grad(
        lambda *arrays: attention(*arrays, valid_lens)[0] * framework.array(upstream), *native
    )
    for i, (gradient, direction) in enumerate(zip(gradients, directions)):
        ahead, behind = (
            formulas(*clean[:i], clean[i] + step * np.float64(direction), *clean[i + 1 :])[0]
            for step in (1e-6, -1e-6)
        )
        slope = ((ahead - behind) * upstream).sum() / 2e-6
        np.testing.assert_allclose((gradient * direction).sum(), slope, rtol=1e-3, atol=1e-3)
    for array, before in zip(native, dirty):
        unchanged(framework, array, before)


# Encoder, decoders, and search -------------------------------------------------------------------

# (batch, steps): JAX compiles each model for each of them
NARROW, WIDE = (1, 4), (3, 9)
KINDS = pytest.mark.parametrize(
    "kind", [("plain", 2, False), ("attention", 1, True)], ids=["plain", "attention"]
)
STEPS = 3
targets = st.lists(st.integers(0, len(tiny.TGT_VOCAB) - 1), min_size=STEPS, max_size=STEPS)
source = strategies.sources([NARROW, WIDE], len(tiny.SRC_VOCAB))
companies = strategies.in_company(NARROW, WIDE, len(tiny.SRC_VOCAB))


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def encode(framework, model, source):
    """Outputs and state of the encoder, as the decoder with attention receives them."""
    state = model.start_decoding(*source)
    _, outputs, _ = state.context
    return framework.numpy(outputs), framework.numpy(state.hidden)


@settings(repeatable, max_examples=30)
@given(source=source)
def test_the_encoder(framework, source):
    kind = ("attention", 2, True)
    outputs, state = encode(framework, tiny.shared_model(framework, *kind), source)
    weights = reference.float64(tiny.random_weights(*kind))
    for row, (tokens, length) in enumerate(zip(*source)):
        expected, first_state = reference.encode(weights, tokens[:length])
        close(outputs[row, :length], np.reshape(expected, outputs[row, :length].shape))
        close(state[:, row], first_state)
        assert (outputs[row, length:] == 0).all()


@KINDS
@settings(repeatable, max_examples=30)
@given(source=source, seed=strategies.seeds)
def test_teacher_forcing(framework, kind, source, seed):
    rng = np.random.default_rng(seed)
    tgt_in = rng.integers(len(tiny.TGT_VOCAB), size=(len(source.src), STEPS), dtype=np.int32)
    model = tiny.shared_model(framework, *kind)
    logits, attention = framework.d2l.teacher_forcing(model, *source, tgt_in)
    expected = reference.teacher_forcing(tiny.random_weights(*kind), *source, tgt_in)
    close(logits, expected[0])
    if kind[0] == "attention":
        close(attention, expected[1])
        behind = np.arange(source.src.shape[1]) >= source.src_valid_len[:, None, None]
        assert (attention[np.broadcast_to(behind, attention.shape)] == 0).all()


@KINDS
@settings(repeatable, max_examples=15)
@given(company=companies, target=targets)
def test_padding_and_company_change_no_sentence(framework, kind, company, target):
    """Its encoding, logits and attention weights, alone or in a longer batch."""
    alone, together, row = company
    length = alone.src_valid_len[0]
    model = tiny.shared_model(framework, "attention", 2, True)
    (one_outputs, one_state), (outputs, state) = (
        encode(framework, model, source) for source in (alone, together)
    )
    close(outputs[row, :length], one_outputs[0, :length])
    close(state[:, row], one_state[:, 0])

    model = tiny.shared_model(framework, *kind)
    tgt_in = np.full((len(together.src), STEPS), tiny.TGT_VOCAB.unk, np.int32)
    tgt_in[row] = target
    (one_logits, one_attention), (logits, attention) = (
        framework.d2l.teacher_forcing(model, *source, tgt_in)
        for source, tgt_in in ((alone, tgt_in[row : row + 1]), (together, tgt_in))
    )
    close(logits[row], one_logits[0])
    if kind[0] == "attention":
        close(attention[row, :, :length], one_attention[0, :, :length])


@KINDS
@pytest.mark.parametrize("beam_size", [1, 3], ids=["greedy", "beam"])
@settings(repeatable, max_examples=20)
@given(company=companies)
def test_translations(framework, kind, beam_size, company):
    """Ours alone, in company, and the reference's are the same."""
    alone, together, row = company
    model = tiny.shared_model(framework, *kind)
    (one,), many = (
        framework.d2l.beam_search(model, *source, beam_size, STEPS) for source in (alone, together)
    )
    weights = reference.float64(tiny.random_weights(*kind))
    tokens = alone.src[0, : alone.src_valid_len[0]]
    ids, score = reference.beam_search(weights, tokens, beam_size, STEPS, tiny.TGT_VOCAB)
    target = [tiny.TGT_VOCAB.bos, *ids[:-1]] if ids else []
    _, attention = reference.decode(weights, *reference.encode(weights, tokens), target)
    for found_ids, found_attention, found_score in (one, many[row]):
        assert found_ids == ids
        np.testing.assert_allclose(found_score, score, rtol=1e-4)
        if kind[0] == "plain":
            assert found_attention is None
            continue
        assert len(tokens) == 0 or len(found_attention) == len(attention)
        for row_of_weights, expected in zip(found_attention, attention):
            close(row_of_weights[: len(tokens)], expected)
            assert (row_of_weights[len(tokens) :] == 0).all()


# Compiled and eager ------------------------------------------------------------------------------

SMALL = pytest.mark.parametrize(
    "kind", [("plain", 1, False), tiny.PAPER], ids=lambda kind: kind[0]
)


@contextlib.contextmanager
def eagerly(framework, module, monkeypatch):
    """What the library compiles by itself is not compiled within, except for JAX's scans."""
    if framework.name == "mxnet":
        module.hybridize(False)
        with monkeypatch.context() as patch:
            patch.setattr(framework.d2l, "compiled_attend", lambda attention: attention.attend)
            yield
        module.hybridize()
    else:
        yield


def compiled(framework, module, fullgraph=True):
    """A layer or a model, as the framework compiles it; PyTorch may need more than one graph."""
    if framework.name == "pytorch":
        framework.torch.compiler.reset()
        return framework.torch.compile(module, fullgraph=fullgraph, backend="aot_eager")
    if framework.name == "jax":
        from flax import nnx

        graph, weights = nnx.split(module)
        call = framework.jax.jit(lambda weights, *args: nnx.merge(graph, weights)(*args))
        return functools.partial(call, weights)
    if framework.name == "tensorflow":
        return framework.tensorflow.function(module)
    module.hybridize()
    return module


def value_and_gradients(framework, model, loss):
    """The value of loss(), and its gradient for each weight of the model."""
    if framework.name == "tensorflow":
        with framework.tensorflow.GradientTape() as tape:
            value = loss()
        variables = [variable.value for variable in model.trainable_variables]
        gradients = map(framework.array, tape.gradient(value, variables))
    elif framework.name == "mxnet":
        with framework.mxnet.autograd.record():
            value = loss()
        value.backward()
        gradients = [weight.grad() for weight in model.collect_params().values()]
    else:
        value = loss()
        gradients = framework.torch.autograd.grad(value, list(model.parameters()))
    return [framework.numpy(x) for x in (value, *gradients)]


def test_a_compiled_model_learns_as_an_eager_one(framework, monkeypatch):
    if framework.name == "jax":
        pytest.skip(
            "JAX learns compiled only; test_parity compares its gradients with the reference"
        )
    model = tiny.new_model(framework, *tiny.PAPER)
    src, lens, tgt_in = map(framework.array, tiny.batch())

    def loss(call):
        logits, _ = call(src, lens, tgt_in)
        return framework.d2l.masked_loss(logits, tgt_in, lens)

    with eagerly(framework, model, monkeypatch):
        eager = value_and_gradients(framework, model, lambda: loss(model))
    call = compiled(framework, model, fullgraph=False)  # packing wants lengths on the CPU
    found = value_and_gradients(framework, model, lambda: loss(call))
    assert len(found) == 1 + len(framework.d2l.get_weights(model))
    for one, other in zip(found, eager, strict=True):
        assert (other != 0).any()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@SMALL
def test_compiled_parts_give_what_eager_ones_give(framework, kind, monkeypatch):
    """Encoder and decoder by themselves, as a search runs them."""
    model = tiny.new_model(framework, *kind)
    src, lens, tgt_in = map(framework.array, tiny.batch())

    def run(encoder, decoder):
        outputs = encoder(src, lens)
        logits, state, attention = decoder(tgt_in, model.decoder.init_state(outputs, lens))
        results = *outputs, logits, state.hidden, attention
        return [framework.numpy(x) for x in results if x is not None]

    with eagerly(framework, model, monkeypatch):
        eager = run(model.encoder, model.decoder)
    encoder = compiled(framework, model.encoder, fullgraph=False)
    found = run(encoder, compiled(framework, model.decoder))
    for one, other in zip(found, eager, strict=True):
        close(one, other)


@pytest.mark.parametrize(("name", "options"), ATTENTIONS, ids=ATTENTION_NAMES)
def test_compiled_attention_has_the_same_slopes(framework, name, options, monkeypatch):
    """For queries, keys and values, with NaN behind the lengths."""
    attention = test_attention_functions.build(framework, name, options)
    arrays = test_attention_functions.inputs()
    lens = np.array([2, 5, 0], np.int32)
    for array in arrays[1:]:
        array[np.arange(array.shape[1]) >= lens[:, None]] = np.nan
    native, lens = [framework.array(x) for x in arrays], framework.array(lens)
    attention(*native, lens)

    def gradients(call):
        upstream = framework.array(np.arange(1, 3, dtype=np.float32))
        return framework.grad(lambda *arrays: call(*arrays, lens)[0] * upstream, *native)

    with eagerly(framework, attention, monkeypatch):
        eager = gradients(attention)
    for one, other in zip(gradients(compiled(framework, attention)), eager, strict=True):
        assert np.isfinite(other).all() and (other != 0).any()
        close(one, other)


@pytest.mark.parametrize("lens", [None, [2, 5, 0], [[1, 3, 0, 5], [2, 4, 9, 1], [0, 0, 0, 0]]])
def test_compiled_masked_softmax_has_the_same_slopes(framework, lens):
    X = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    if lens is not None:
        X[masked_softmax(X, lens) == 0] = np.nan
        lens = framework.array(np.array(lens), "int32")
    upstream = framework.array(np.arange(5, dtype=np.float32))
    softmax = framework.d2l.masked_softmax
    (found,), (expected,) = (
        framework.grad(lambda X, call=call: call(X, lens) * upstream, X)
        for call in (compiled_function(framework, softmax), softmax)
    )
    assert np.isfinite(expected).all() and (expected != 0).any()
    close(found, expected)
