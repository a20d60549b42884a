"""The contract of the attentions, against NumPy, in every framework."""

import numpy as np
import pytest

from tests.test_masked_softmax import reference as masked_softmax

BATCH, QUERIES, KEYS, SIZE, VALUE_SIZE, HIDDENS = 3, 4, 5, 6, 2, 7
LENGTHS = [
    pytest.param(None, id="none"),
    pytest.param([2, 5, 1], id="one-per-sentence"),
    pytest.param([0, 9, 3], id="empty-and-beyond"),
    pytest.param([[1, 3, 0, 5], [2, 4, 9, 1], [0, 0, 0, 0]], id="one-per-query"),
]
DOT = pytest.param("DotProductAttention", {}, id="scaled")
UNSCALED = pytest.param("DotProductAttention", {"scaled": False}, id="dot")
ADDITIVE = pytest.param("AdditiveAttention", {"num_hiddens": HIDDENS}, id="additive")
BILINEAR = pytest.param("BilinearAttention", {}, id="bilinear")
LUONG = [
    pytest.param(name, {"num_hiddens": HIDDENS, **options}, id=what)
    for what, name, options in (
        ("global-dot", "GlobalAttention", {"score": "dot"}),
        ("global-general", "GlobalAttention", {}),
        ("global-concat", "GlobalAttention", {"score": "concat"}),
        ("monotonic", "LocalAttention", {"alignment": "monotonic", "window": 1, "score": "dot"}),
        ("predictive", "LocalAttention", {"window": 2}),
        ("predictive-concat", "LocalAttention", {"window": 1, "score": "concat"}),
        ("predictive-wide", "LocalAttention", {}),
    )
]
ALL = pytest.mark.parametrize(("name", "options"), [DOT, UNSCALED, ADDITIVE, BILINEAR, *LUONG])
OWN_WEIGHTS = pytest.mark.parametrize(("name", "options"), [ADDITIVE, BILINEAR])
WITH_WEIGHTS = pytest.mark.parametrize(
    ("name", "options"), [ADDITIVE, BILINEAR, *LUONG[1:3], *LUONG[4:6]]
)


def inputs(seed=0, key_size=SIZE):
    """Queries, keys and values in NumPy's float32."""
    rng = np.random.default_rng(seed)
    shapes = (BATCH, QUERIES, SIZE), (BATCH, KEYS, key_size), (BATCH, KEYS, VALUE_SIZE)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def arrays(framework, values):
    return [framework.array(x) for x in values]


def build(framework, name, options, query_size=SIZE, key_size=SIZE):
    """An attention of the library, for queries and keys of these sizes."""
    if name != "DotProductAttention":
        options = {"query_size": query_size, "key_size": key_size, **options}
    return getattr(framework.d2l, name)(**options, **framework.options)


def weights_of(framework, attention):
    """The parameters W_q, W_k and w_v, or W; W_p and v_p: NumPy (inputs, outputs) matrices."""

    def matrix(owner, name):
        layer = getattr(owner, name)
        if framework.name == "pytorch":
            return framework.numpy(layer.weight).T
        if framework.name == "jax":
            return framework.numpy(layer.kernel[...])
        if framework.name == "tensorflow":
            return layer.kernel.numpy()
        return framework.numpy(layer.weight.data()).T

    scorer = getattr(attention, "scorer", attention)
    named = [(scorer, name) for name in ("W_q", "W_k", "w_v", "W")]
    named += [(attention, name) for name in ("W_p", "v_p")]
    return [matrix(owner, name) for owner, name in named if hasattr(owner, name)]


def reference(name, options, weights, queries, keys, values, lens):
    """Output and attention weights in float64, straight from the formulas."""
    queries, keys, values = (x.astype(np.float64) for x in (queries, keys, values))
    score = {"DotProductAttention": "dot", "AdditiveAttention": "concat"}.get(name, "general")
    score = options.get("score", score)
    if score == "dot":
        scores = np.einsum("bqd,bkd->bqk", queries, keys)
        if name == "DotProductAttention" and options.get("scaled", True):
            scores /= np.sqrt(queries.shape[-1])
    elif score == "concat":
        W_q, W_k, w_v = weights[:3]
        hiddens = np.tanh((queries @ W_q)[:, :, None] + (keys @ W_k)[:, None])
        scores = (hiddens @ w_v)[..., 0]
    else:
        scores = np.einsum("bqi,ij,bkj->bqk", queries, weights[0], keys)
    if name == "LocalAttention":
        p = centers(options, weights, queries, keys, lens)
        attention_weights = local_weights(options, scores, p, lens)
    else:
        attention_weights = masked_softmax(scores, lens)
    return attention_weights @ values, attention_weights


def sizes(keys, lens):
    """The number of real keys (batch, 1 or queries)."""
    lens = np.full(len(keys), keys.shape[1]) if lens is None else np.asarray(lens)
    lens = lens if lens.ndim == 2 else lens[:, None]
    return np.clip(lens, 0, keys.shape[1]).astype(np.int64)


def centers(options, weights, queries, keys, lens, first_step=0):
    """Centers (batch, queries) of the windows of `LocalAttention`."""
    if options.get("alignment") == "monotonic":
        steps = np.reshape(first_step, (-1, 1)) + np.arange(queries.shape[1])
        return np.broadcast_to(steps, queries.shape[:2])
    W_p, v_p = weights[-2:]
    return sizes(keys, lens) / (1 + np.exp(-(np.tanh(queries @ W_p) @ v_p)[..., 0]))


def local_weights(options, scores, p, lens):
    """Weights of `LocalAttention`, computed over all keys and hidden outside the window."""
    window, s = options.get("window", 10), np.arange(scores.shape[2])
    seen = np.abs(s - p[..., None]) <= window
    seen &= s < sizes(scores.swapaxes(1, 2), lens)[..., None]
    powers = np.where(seen, np.exp(scores - scores.max(initial=0)), 0)
    weights = powers / np.maximum(powers.sum(-1, keepdims=True), 1e-300)
    if options.get("alignment") != "monotonic":
        weights = weights * np.exp(-((s - p[..., None]) ** 2) / (2 * (window / 2) ** 2))
    return weights


def expect(framework, name, options, attention, given, lens, result):
    """Compare output and attention weights with the reference."""
    output, attention_weights = result
    weights = weights_of(framework, attention)
    expected = reference(name, options, weights, *given, lens)
    np.testing.assert_allclose(framework.numpy(attention_weights), expected[1], atol=2e-6)
    np.testing.assert_allclose(framework.numpy(output), expected[0], atol=5e-6)


@ALL
@pytest.mark.parametrize("lens", LENGTHS)
def test_attention_gives_the_reference(framework, name, options, lens):
    given = inputs()
    attention = build(framework, name, options)
    native = arrays(framework, given)
    result = attention(*native, None if lens is None else np.array(lens))
    expect(framework, name, options, attention, given, lens, result)
    assert all(framework.is_native(x) for x in result)
    if lens is not None:
        lengths = framework.array(np.array(lens), "int32")
        again = attention(*native, valid_lens=lengths)
        for one, other in zip(result, again):
            np.testing.assert_array_equal(framework.numpy(one), framework.numpy(other))
    for x, before in zip(native, given):
        np.testing.assert_array_equal(framework.numpy(x), before)


@WITH_WEIGHTS
def test_queries_and_keys_may_differ_in_size(framework, name, options):
    given = inputs(key_size=SIZE + 3)
    attention = build(framework, name, options, key_size=SIZE + 3)
    result = attention(*arrays(framework, given), np.array([2, 5, 0]))
    expect(framework, name, options, attention, given, [2, 5, 0], result)


def test_the_dot_product_names_sizes_that_differ(framework):
    given = arrays(framework, inputs(key_size=SIZE + 3))
    with pytest.raises(ValueError, match=f"size {SIZE} .*size {SIZE + 3}") as raised:
        framework.d2l.DotProductAttention()(*given)
    assert "AdditiveAttention" in str(raised.value)


@ALL
@pytest.mark.parametrize("lens", [[1, 2], [[1, 2], [3, 4], [5, 6]], 2])
def test_wrong_lengths_are_named(framework, name, options, lens):
    attention = build(framework, name, options)
    with pytest.raises(ValueError) as raised:
        attention(*arrays(framework, inputs()), np.array(lens))
    assert str(np.shape(lens)) in str(raised.value)


@ALL
def test_keys_projected_once_serve_every_step(framework, name, options):
    """As a decoder uses them: one query a step, and attend before any other call."""
    given = inputs()
    queries, keys, values = arrays(framework, given)
    lens = np.array([2, 5, 1])
    attention = build(framework, name, options)
    projected_keys = attention.project_keys(keys)
    steps = [
        attention.attend(
            queries[:, t : t + 1],
            projected_keys,
            values,
            lens,
            *([t] if name == "LocalAttention" else []),
        )
        for t in range(QUERIES)
    ]
    outputs = np.concatenate([framework.numpy(output) for output, _ in steps], axis=1)
    expected, _ = attention(queries, keys, values, lens)
    np.testing.assert_allclose(outputs, framework.numpy(expected), atol=2e-6)
    assert steps[0][1].shape == (BATCH, 1, KEYS)


@ALL
@pytest.mark.parametrize("lens", [[1, 3, 0], [[1, 2, 1, 0], [3, 1, 1, 2], [0, 0, 0, 0]]])
def test_nan_in_the_padding_reaches_nothing(framework, name, options, lens):
    queries, keys, values = inputs()
    attention = build(framework, name, options)
    longest = np.array(lens).reshape(BATCH, -1).max(1)
    padding = np.arange(KEYS) >= longest[:, None]
    keys[padding], values[padding] = np.nan, np.inf

    def output(*native):
        return attention(*native, np.array(lens))[0]

    clean = [
        queries,
        np.where(padding[..., None], 0, keys),
        np.where(padding[..., None], 0, values),
    ]
    result = attention(*arrays(framework, (queries, keys, values)), np.array(lens))
    expect(framework, name, options, attention, clean, lens, result)
    for gradient in framework.grad(output, queries, keys, values):
        assert np.isfinite(gradient).all()


@ALL
def test_padding_changes_no_sentence(framework, name, options):
    """More padding, and other sentences beside it, leave a sentence's numbers as they are."""
    queries, keys, values = inputs()
    lens = np.array([2, 4, 3])
    attention = build(framework, name, options)
    output, weights = attention(*arrays(framework, (queries, keys, values)), lens)
    for row, length in enumerate(lens):
        alone = [x[row : row + 1] for x in (queries, keys[:, :length], values[:, :length])]
        output_alone, weights_alone = attention(*arrays(framework, alone))
        np.testing.assert_allclose(
            framework.numpy(output)[row], framework.numpy(output_alone)[0], atol=2e-6
        )
        np.testing.assert_allclose(
            framework.numpy(weights)[row, :, :length], framework.numpy(weights_alone)[0], atol=2e-6
        )


@OWN_WEIGHTS
def test_weights_start_from_glorots_uniform_distribution(framework, name, options):
    options = {"num_hiddens": 120} if options else {}
    attention = build(framework, name, options, query_size=80, key_size=100)
    for matrix in weights_of(framework, attention):
        limit = np.sqrt(6 / sum(matrix.shape))
        assert np.abs(matrix).max() <= limit * (1 + 1e-6)
        if matrix.size > 1000:
            assert np.abs(matrix).max() > 0.99 * limit
            assert abs(matrix.std() - limit / np.sqrt(3)) < 0.03 * limit


@WITH_WEIGHTS
def test_parameters_learn(framework, name, options):
    """Every parameter of a model gets a gradient, through the framework's own means."""
    attention = build(framework, name, options)
    given = arrays(framework, inputs())
    lens = np.array([2, 5, 3])
    if framework.name == "pytorch":
        (attention(*given, lens)[0] ** 2).sum().backward()
        gradients = [p.grad.numpy() for p in attention.parameters()]
    elif framework.name == "mxnet":
        with framework.mxnet.autograd.record():
            loss = (attention(*given, lens)[0] ** 2).sum()
        loss.backward()
        gradients = [p.grad().asnumpy() for p in attention.collect_params().values()]
    elif framework.name == "jax":
        from flax import nnx

        tree = nnx.grad(lambda attention: (attention(*given, lens)[0] ** 2).sum())(attention)
        gradients = [np.array(g) for g in framework.jax.tree.leaves(tree)]
    else:
        with framework.tensorflow.GradientTape() as tape:
            loss = framework.tensorflow.reduce_sum(attention(*given, lens)[0] ** 2)
        variables = attention.trainable_variables
        gradients = [np.array(g) for g in tape.gradient(loss, variables)]
    assert len(gradients) == len(weights_of(framework, attention))
    assert all((np.abs(gradient) > 0).any() for gradient in gradients)


@ALL
def test_dropout_acts_in_training_only_and_spares_the_weights(framework, name, options):
    attention = build(framework, name, options | {"dropout": 0.5})
    given = inputs()
    native = arrays(framework, given)
    lens = [2, 5, 1]

    def call(training):
        if framework.name in ("pytorch", "jax"):
            attention.train() if training else attention.eval()
            return attention(*native, np.array(lens))
        if framework.name == "tensorflow":
            return attention(*native, np.array(lens), training=training)
        with framework.mxnet.autograd.record(train_mode=training):
            return attention(*native, np.array(lens))

    result = call(training=False)
    expect(framework, name, options, attention, given, lens, result)
    outputs = []
    for _ in range(3):
        output, attention_weights = call(training=True)
        np.testing.assert_allclose(
            framework.numpy(attention_weights), framework.numpy(result[1]), atol=1e-6
        )
        outputs.append(framework.numpy(output))
    assert not np.allclose(outputs[0], framework.numpy(result[0]))
    assert not np.allclose(outputs[0], outputs[1]) and not np.allclose(outputs[1], outputs[2])


@ALL
@pytest.mark.parametrize("lens", LENGTHS)
def test_attention_runs_compiled(framework, name, options, lens):
    attention = build(framework, name, options)
    given = inputs()
    native = arrays(framework, given)
    if lens is not None:
        native.append(framework.array(np.array(lens), "int32"))
    if framework.name == "pytorch":
        framework.torch.compiler.reset()  # other tests compiled it for other shapes
        call = framework.torch.compile(attention, fullgraph=True, backend="aot_eager")
    elif framework.name == "jax":
        from flax import nnx

        call = nnx.jit(attention)
    elif framework.name == "tensorflow":
        call = framework.tensorflow.function(attention)
    else:
        attention.hybridize()
        call = attention
    result = call(*native)
    expect(framework, name, options, attention, given, lens, result)


def test_a_hybridized_parent_may_hold_attentions(framework):
    """Gluon: a block that attends step by step compiles as a whole."""
    if framework.name != "mxnet":
        pytest.skip("only Gluon compiles blocks by handing them placeholders")
    mx, d2l = framework.mxnet, framework.d2l

    class Decoder(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.additive = d2l.AdditiveAttention(SIZE, SIZE, HIDDENS)
            self.dot = d2l.DotProductAttention()

        def hybrid_forward(self, F, queries, keys, values, valid_lens):
            projected_keys = self.additive.project_keys(keys)
            output, _ = self.additive.attend(queries, projected_keys, values, valid_lens)
            return output + self.dot(queries, keys, values, valid_lens)[0]

    decoder, native = Decoder(), arrays(framework, inputs())
    lens = framework.array(np.array([2, 0, 9]), "int32")
    compiled = Decoder()
    expected = decoder(*native, lens)
    decoder.hybridize()
    np.testing.assert_allclose(
        framework.numpy(decoder(*native, lens)), framework.numpy(expected), atol=1e-6
    )
    compiled.hybridize()  # never called before
    assert compiled(*native, lens).shape == expected.shape


def test_the_four_have_the_same_signatures(framework):
    """Flax adds rngs by keyword, where there are weights to draw without a default."""
    import inspect

    empty = inspect.Parameter.empty
    sizes = {"query_size": empty, "key_size": empty}
    wanted = {
        "DotProductAttention": {"dropout": 0, "scaled": True},
        "AdditiveAttention": {**sizes, "num_hiddens": empty, "dropout": 0},
        "BilinearAttention": {**sizes, "dropout": 0},
        "GlobalAttention": {**sizes, "num_hiddens": empty, "score": "general", "dropout": 0},
        "LocalAttention": {
            **sizes,
            "num_hiddens": empty,
            "alignment": "predictive",
            "window": 10,
            "score": "general",
            "dropout": 0,
        },
    }
    for name, parameters in wanted.items():
        signature = inspect.signature(getattr(framework.d2l, name).__init__)
        found = {p.name: p.default for p in list(signature.parameters.values())[1:]}
        if framework.name == "jax":
            rngs = None if name == "DotProductAttention" else empty
            parameters = parameters | {"rngs": rngs}
        assert list(found.items()) == list(parameters.items())
