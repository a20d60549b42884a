"""The contract of `sequence_mask` and `masked_softmax`, against NumPy, in every framework."""

import numpy as np
import pytest

# Relative steps between neighboring numbers; a result may be a few of them off.
STEP = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
LENGTHS = [
    pytest.param(None, id="none"),
    pytest.param([2, 2, 2], id="same"),
    pytest.param([1, 2, 3], id="different"),
    pytest.param([0, 5, 3], id="empty-and-full"),
    pytest.param([6, 1000, 2**62], id="beyond-the-keys"),
    pytest.param([-1, 5, 1], id="negative"),
    pytest.param([[1, 3, 0, 5], [2, 4, 9, 1], [0, 0, 0, 0]], id="one-per-query"),
]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def reference(X, valid_lens):
    """The weights, row by row, in float64."""
    X = np.asarray(X, dtype=np.float64)
    weights = np.zeros(X.shape)
    for batch in range(X.shape[0]):
        for query in range(X.shape[1]):
            if valid_lens is None:
                length = X.shape[2]
            else:
                length = np.asarray(valid_lens)[(batch, query)[: np.ndim(valid_lens)]]
            valid = X[batch, query, : max(0, min(length, X.shape[2]))]
            if valid.size:
                exponentials = np.exp(valid - valid.max())
                weights[batch, query, : valid.size] = exponentials / exponentials.sum()
    return weights


def masked(X, valid_lens):
    """Where a score lies behind its row's length."""
    return reference(np.zeros(np.shape(X)), valid_lens) == 0


def scores(seed=0, shape=(3, 4, 5)):
    return np.random.default_rng(seed).normal(size=shape) * 3


def types(framework):
    """The floating-point types that a framework has."""
    return [name for name in STEP if (framework.name, name) != ("mxnet", "bfloat16")]


@pytest.mark.parametrize("lens", LENGTHS)
def test_masked_softmax_gives_the_reference_in_every_type(framework, lens):
    for dtype in types(framework):
        with framework.float64():
            X = framework.array(scores(), dtype)
            weights = framework.d2l.masked_softmax(X, None if lens is None else np.array(lens))
            assert framework.dtype(weights) == dtype
            weights, X = framework.numpy(weights), framework.numpy(X)
        expected = reference(X, lens)
        # 16-bit exponentials of differences up to 20 lose that many steps where the framework
        # computes in 16 bits throughout.
        np.testing.assert_allclose(weights, expected, rtol=0, atol=8 * STEP[dtype], err_msg=dtype)
        assert (weights[masked(X, lens)] == 0).all(), dtype
        nonempty = ~masked(X, lens).all(-1)
        np.testing.assert_allclose(
            weights.astype(np.float64).sum(-1), nonempty, atol=8 * STEP[dtype], err_msg=dtype
        )


@pytest.mark.parametrize("lens", LENGTHS)
def test_masked_softmax_leaves_its_input_alone(framework, lens):
    X = framework.array(scores().astype(np.float32))
    before = framework.numpy(X).copy()
    valid_lens = None if lens is None else framework.array(np.clip(lens, -1, 1000), "int32")
    lens_before = None if lens is None else framework.numpy(valid_lens).copy()
    framework.d2l.masked_softmax(X, valid_lens)
    np.testing.assert_array_equal(framework.numpy(X), before)
    if lens is not None:
        np.testing.assert_array_equal(framework.numpy(valid_lens), lens_before)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("lens", [[1, 2, 5], [[1, 2, 3, 4], [0, 5, 2, 2], [9, 0, 1, 1]]])
def test_lengths_of_any_integer_type_native_or_numpy(framework, lens, dtype):
    X = framework.array(scores().astype(np.float32))
    lens = np.array(lens, dtype=dtype)
    expected = reference(framework.numpy(X), lens.astype(np.int64))
    given = [lens]
    if not (framework.name == "mxnet" and dtype in ("int16", "uint16", "uint32", "uint64")):
        given.append(framework.array(lens))  # MXNet's arrays have no such types
    for valid_lens in given:
        weights = framework.numpy(framework.d2l.masked_softmax(X, valid_lens))
        np.testing.assert_allclose(weights, expected, atol=1e-6)
        rows = framework.d2l.masked_softmax(framework.array(np.zeros((3, 4, 5))), valid_lens)
        masked_rows = framework.d2l.sequence_mask(rows, valid_lens) if lens.ndim == 1 else rows
        assert masked_rows.shape == rows.shape


def test_small_integers_count_beyond_their_range(framework):
    """300 keys are more than uint8 can number."""
    X = scores(shape=(2, 1, 300)).astype(np.float32)
    lens = np.array([200, 255], np.uint8)
    weights = framework.numpy(framework.d2l.masked_softmax(framework.array(X), lens))
    np.testing.assert_allclose(weights, reference(X, lens), atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("lens", LENGTHS)
def test_what_lies_behind_the_mask_reaches_nothing(framework, lens, bad):
    if lens is None:
        lens = [5, 5, 4]
    X = scores().astype(np.float32)
    hidden = masked(X, lens)
    upstream = np.random.default_rng(1).normal(size=X.shape).astype(np.float32)
    dirty = np.where(hidden, np.float32(bad), X)

    def loss(X):
        weights = framework.d2l.masked_softmax(X, np.array(lens))
        return weights * framework.array(upstream)

    weights = framework.numpy(framework.d2l.masked_softmax(framework.array(dirty), np.array(lens)))
    np.testing.assert_allclose(weights, reference(X, lens), atol=1e-6)
    assert (weights[hidden] == 0).all()

    (gradient,) = framework.grad(loss, dirty)
    assert (gradient[hidden] == 0).all()
    p = reference(X, lens)
    expected = p * (upstream - (p * upstream).sum(-1, keepdims=True))
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_a_row_of_length_0_has_zero_gradients(framework):
    X = scores().astype(np.float32)
    upstream = framework.array(scores(1).astype(np.float32))
    (gradient,) = framework.grad(
        lambda X: framework.d2l.masked_softmax(X, np.array([0, 5, 0])) * upstream, X
    )
    assert (gradient[[0, 2]] == 0).all()
    assert (gradient[1] != 0).all()


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
def test_who_hunts_nan_finds_none_in_a_row_of_length_0(framework):
    """Not even on the way to the result, where it would set off the framework's own alarm."""
    if framework.name == "pytorch":
        alarm = framework.torch.autograd.detect_anomaly()
    elif framework.name == "jax":
        alarm = framework.jax.debug_nans(True)
    else:
        pytest.skip("the framework has no alarm, or one that rings at infinity as well")
    X, lens = scores(shape=(3, 1, 5)), np.array([0, 5, 2])
    try:
        with alarm:
            framework.grad(lambda X: framework.d2l.masked_softmax(X, lens), X)
    except (RuntimeError, FloatingPointError) as found:
        pytest.fail(str(found))


@pytest.mark.parametrize(
    ("dtype", "size"), [("float16", 1e4), ("float16", 6e4), ("float32", 1e30), ("float32", 3e38)]
)
def test_extreme_scores_stay_finite(framework, dtype, size):
    signs = np.array([[[1, -1, 1, -1], [-1, -1, 1, 1], [-1, 1, 1, 1], [-1, -1, -1, -1]]])
    lens = np.array([[4, 2, 1, 0]])
    X = framework.array(signs * size, dtype)
    weights = framework.numpy(framework.d2l.masked_softmax(X, lens))
    expected = [[[0.5, 0, 0.5, 0], [0.5, 0.5, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]]
    np.testing.assert_array_equal(weights, expected)
    (gradient,) = framework.grad(lambda X: framework.d2l.masked_softmax(X, lens), X)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_long_rows_sum_to_one(framework, dtype):
    """Sums of thousands of small exponentials overflow or stall in 16 bits."""
    X = framework.array(np.zeros((1, 2, 100_000)), dtype)
    weights = framework.numpy(framework.d2l.masked_softmax(X, np.array([[100_000, 5000]])))
    sums = weights.astype(np.float64).sum(-1)
    # 1e-5 is a denormal float16, a step of which is 6e-8.
    np.testing.assert_allclose(sums, 1, atol=1e-2 if dtype == "float16" else 1e-4)


def test_minus_infinity_among_the_valid_scores(framework):
    X = framework.array(np.array([[[-np.inf, 0, 0, 7]], [[-np.inf, -np.inf, 1, 1]]], np.float32))
    weights = framework.numpy(framework.d2l.masked_softmax(X, np.array([3, 2])))
    np.testing.assert_allclose(weights[0], [[0, 0.5, 0.5, 0]])
    # Nothing but -inf is an overflow upstream, not a mask: it shows, as in any softmax.
    assert np.isnan(weights[1, 0, :2]).all()
    assert (weights[1, 0, 2:] == 0).all()


def test_nan_among_the_valid_scores_is_not_hidden(framework):
    X = framework.array(np.array([[[np.nan, 0, 0]], [[1, 2, 3]]], np.float32))
    weights = framework.numpy(framework.d2l.masked_softmax(X, np.array([2, 3])))
    assert np.isnan(weights[0, 0, 0])
    np.testing.assert_allclose(weights[1], reference([[[1, 2, 3]]], None)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "lens"),
    [
        ((3, 4, 5), [1, 2]),
        ((3, 4, 5), [[1], [2], [3]]),
        ((3, 4, 5), [[1, 2, 3, 4]]),
        ((3, 4, 5), [[1, 2, 3, 4, 5]] * 3),
        ((3, 4, 5), 2),
        ((3, 4, 5), [[[1]]]),
        ((4, 5), [1, 2, 3, 4]),
        ((4, 5), None),
        ((2, 3, 4, 5), [1, 2]),
    ],
)
def test_wrong_shapes_are_named(framework, shape, lens):
    X = framework.array(np.zeros(shape, np.float32))
    with pytest.raises(ValueError) as raised:
        framework.d2l.masked_softmax(X, None if lens is None else np.array(lens))
    assert str(tuple(shape)) in str(raised.value)
    if len(shape) == 3:
        assert str(np.shape(lens)) in str(raised.value)


@pytest.mark.parametrize("lens", LENGTHS)
def test_masked_softmax_runs_compiled(framework, lens):
    d2l, X = framework.d2l, framework.array(scores().astype(np.float32))
    valid_lens = None if lens is None else framework.array(np.clip(lens, -1, 1000), "int32")
    weights = framework.numpy(compiled(framework, d2l.masked_softmax)(X, valid_lens))
    np.testing.assert_allclose(weights, reference(framework.numpy(X), lens), atol=1e-6)


def test_sequence_mask_runs_compiled(framework):
    X = framework.array(np.ones((3, 4, 2), np.float32))
    lens = framework.array(np.array([0, 2, 9]), "int32")
    result = framework.numpy(compiled(framework, framework.d2l.sequence_mask)(X, lens))
    np.testing.assert_array_equal(result[:, :, 0], [[0] * 4, [1, 1, 0, 0], [1] * 4])


def compiled(framework, function):
    """The function of arrays as the framework compiles it."""
    if framework.name == "pytorch":
        framework.torch.compiler.reset()  # other tests compiled the same code for other shapes
        return framework.torch.compile(function, fullgraph=True, backend="aot_eager")
    if framework.name == "jax":
        return framework.jax.jit(function)
    if framework.name == "tensorflow":
        return framework.tensorflow.function(function)

    class Block(framework.mxnet.gluon.HybridBlock):
        def hybrid_forward(self, F, *arrays):
            assert F is framework.mxnet.symbol
            return function(*arrays)

    block = Block()
    block.hybridize()
    return block


def test_one_compiled_function_takes_batches_of_any_size(framework):
    d2l = framework.d2l
    softmax, mask = compiled(framework, d2l.masked_softmax), compiled(framework, d2l.sequence_mask)
    if framework.name == "tensorflow":  # one graph for all sizes, none of which it knows
        tf = framework.tensorflow
        signature = [tf.TensorSpec((None, None, None)), tf.TensorSpec((None,), tf.int32)]
        softmax = tf.function(d2l.masked_softmax, input_signature=signature)
        mask = tf.function(d2l.sequence_mask, input_signature=signature)
    for size in ((2, 3, 4), (3, 1, 6)):
        X, lens = scores(shape=size).astype(np.float32), np.arange(size[0]) + 1
        given = framework.array(X), framework.array(lens, "int32")
        weights = framework.numpy(softmax(*given))
        np.testing.assert_allclose(weights, reference(X, lens), atol=1e-6)
        assert mask(*given).shape == size


def test_mapped_over_one_more_axis(framework):
    if framework.name == "mxnet":
        pytest.skip("MXNet has no vmap")
    X = scores(shape=(2, 3, 4, 5)).astype(np.float32)
    lens = np.array([[1, 0, 5], [2, 2, 9]])
    softmax, arrays = framework.d2l.masked_softmax, (framework.array(X), framework.array(lens))
    if framework.name == "tensorflow":
        weights = framework.tensorflow.vectorized_map(lambda pair: softmax(*pair), arrays)
    else:
        vmap = framework.torch.vmap if framework.name == "pytorch" else framework.jax.vmap
        weights = vmap(softmax)(*arrays)
    expected = [reference(x, n) for x, n in zip(X, lens)]
    np.testing.assert_allclose(framework.numpy(weights), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32"])
@pytest.mark.parametrize("tail", [(), (2,), (2, 3)])
def test_sequence_mask(framework, tail, dtype):
    X = (np.random.default_rng(0).normal(size=(5, 4, *tail)) * 9).astype(dtype)
    given = framework.array(X)
    lens = [0, 1, 4, 1000, -2]
    for value in (0, -7):
        result = framework.d2l.sequence_mask(given, np.array(lens), value=value)
        expected = X.copy()
        for row, length in zip(expected, lens):
            row[max(0, length) :] = value
        assert framework.dtype(result) == dtype
        np.testing.assert_array_equal(framework.numpy(result), expected)
    np.testing.assert_array_equal(framework.numpy(given), X)


def test_sequence_mask_stops_nan_in_both_directions(framework):
    X = np.ones((2, 3, 2), np.float32)
    X[0, 1:] = np.nan
    lens = np.array([1, 3])
    (gradient,) = framework.grad(lambda X: framework.d2l.sequence_mask(X, lens) ** 2, X)
    np.testing.assert_array_equal(gradient[:, :, 0], [[2, 0, 0], [2, 2, 2]])


@pytest.mark.parametrize(
    ("shape", "lens"), [((3, 4), [1, 2]), ((3, 4), [[1, 2, 3]]), ((3,), [1, 2, 3]), ((3, 4), 2)]
)
def test_sequence_mask_names_wrong_shapes(framework, shape, lens):
    X = framework.array(np.zeros(shape, np.float32))
    with pytest.raises(ValueError) as raised:
        framework.d2l.sequence_mask(X, np.array(lens))
    assert str(shape) in str(raised.value) and str(np.shape(lens)) in str(raised.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
def test_numpy_arrays_survive_the_way_there_and_back(framework, dtype):
    x = (np.random.default_rng(0).normal(size=(2, 3)) * 9).astype(dtype)
    there = framework.d2l.from_numpy(x)
    assert framework.is_native(there)
    back = framework.d2l.to_numpy(there)
    assert type(back) is np.ndarray and back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)


def test_to_numpy_takes_results_that_have_a_gradient(framework):
    if framework.name != "pytorch":
        pytest.skip("only PyTorch refuses to hand out such numbers")
    x = framework.torch.ones(2, requires_grad=True) * 2
    np.testing.assert_array_equal(framework.d2l.to_numpy(x), [2, 2])
