"""The four frameworks: one interface, and the same numbers from the same weights."""

import inspect

import numpy as np
import pytest

from tests import frameworks, tiny

pytestmark = pytest.mark.skipif(
    len(frameworks.UNDER_TEST) == 1, reason="FRAMEWORK leaves nothing to compare with"
)
FIRST = frameworks.UNDER_TEST[0]
OTHERS = pytest.mark.parametrize("other", frameworks.UNDER_TEST[1:], ids=repr)
KINDS = pytest.mark.parametrize("kind", [("attention", 1, True), ("plain", 1, True)], ids=str)

# What a framework needs for itself, beside the names that all four share
OWN = {
    "pytorch": {"LazyLinear", "inference", "oriented", "tensors"},
    "mxnet": {"compiled_attend", "oriented", "tensors"},
    "jax": {"LazyLinear", "round_up", "run_copy", "without_dropout"},
    "tensorflow": {"decode"},
}
CONTRACT = [
    "sequence_mask",
    "masked_softmax",
    "DotProductAttention",
    "AdditiveAttention",
    "BilinearAttention",
    "Seq2SeqEncoder",
    "Seq2SeqDecoder",
    "AttentionDecoder",
    "Seq2SeqAttentionDecoder",
    "Seq2Seq",
    "masked_loss",
    "make_steps",
    "train_seq2seq",
    "EpochRecord",
    "teacher_forcing",
    "translate",
    "Translation",
    "beam_search",
    "get_weights",
    "set_weights",
    "save_model",
    "load_model",
]
SHARED = sorted(set(FIRST.d2l.__all__) - OWN[FIRST.name])


# Numbers -----------------------------------------------------------------------------------------


@OTHERS
@KINDS
def test_the_same_logits_and_attention(kind, other):
    (one, weights), (two, other_weights) = (
        framework.d2l.teacher_forcing(tiny.shared_model(framework, *kind), *tiny.batch())
        for framework in (FIRST, other)
    )
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
    if kind[0] == "attention":
        np.testing.assert_allclose(weights, other_weights, rtol=1e-5, atol=1e-6)


@OTHERS
@KINDS
@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_same_translations(kind, other, beam_size):
    sentences = [s for s in tiny.SENTENCES if s]
    one, two = (
        framework.d2l.translate(
            tiny.shared_model(framework, *kind), sentences, beam_size, tiny.TARGET_STEPS
        )
        for framework in (FIRST, other)
    )
    assert [r.tokens for r in one] == [r.tokens for r in two]
    np.testing.assert_allclose([r.score for r in one], [r.score for r in two], rtol=1e-5)


@pytest.fixture(scope="module")
def training():
    """Train a kind of model in a framework, once: the records and the weights."""
    done = {}

    def train(framework, kind):
        if (framework, kind) not in done:
            model = tiny.new_model(framework, *kind)
            history = framework.d2l.train_seq2seq(
                model,
                tiny.corpus(),
                num_epochs=7,
                batch_size=16,  # 3 batches an epoch, of different sizes
                lr=0.02,
                grad_clip=0.3,
                seed=1,
                progress=False,
            )
            done[framework, kind] = history, framework.d2l.get_weights(model)
        return done[framework, kind]

    return train


@OTHERS
@KINDS
def test_the_same_training(training, kind, other):
    """21 steps of Adam: clipped gradients, a falling learning rate, and no dropout."""
    (one, weights), (two, other_weights) = (training(f, kind) for f in (FIRST, other))
    assert len(one) == len(two) == 7
    np.testing.assert_allclose([r[:2] for r in one], [r[:2] for r in two], rtol=1e-4)
    for name, array in weights.items():
        np.testing.assert_allclose(array, other_weights[name], atol=1e-3, err_msg=name)
    start = tiny.random_weights(*kind)
    moved = {name: np.abs(array - start[name]).max() for name, array in weights.items()}
    idle = {name for name, distance in moved.items() if distance < 0.01}
    if kind[0] == "plain":  # its decoder reads what the encoder's other direction found
        assert idle == {n for n in moved if n.startswith("encoder.gru.0.") and "backward" not in n}
    else:
        assert not idle


# The interface -----------------------------------------------------------------------------------


def test_every_module_exports_the_same_names(framework):
    names = framework.d2l.__all__
    assert len(names) == len(set(names))
    assert sorted(set(names) - OWN[framework.name]) == SHARED
    assert set(CONTRACT) <= set(SHARED)
    for name in names:
        assert getattr(framework.d2l, name).__module__ == framework.d2l.__name__, name


def parameters(value):
    """Names, kinds and defaults of what a function, or a class's constructor, takes."""
    if isinstance(value, type):
        if "__init__" not in vars(value) and not hasattr(value, "_fields"):
            return None  # inherited from the framework
        value = value.__new__ if hasattr(value, "_fields") else value.__init__
    return [(p.name, p.kind, p.default) for p in inspect.signature(value).parameters.values()]


@OTHERS
@pytest.mark.parametrize("name", SHARED)
def test_every_name_takes_the_same(name, other):
    """Flax modules take rngs, at the end; nothing else differs."""
    mine, theirs = (getattr(framework.d2l, name) for framework in (FIRST, other))
    one, two = parameters(mine), parameters(theirs)
    if other.name == "jax" and isinstance(theirs, type) and two and two[-1][0] == "rngs":
        assert two.pop()[2] is None
    assert one == two
    assert getattr(mine, "_fields", None) == getattr(theirs, "_fields", None)


@OTHERS
@pytest.mark.parametrize("name", SHARED)
def test_every_name_is_described_alike(name, other):
    one, two = (
        inspect.getdoc(getattr(framework.d2l, name)).splitlines() for framework in (FIRST, other)
    )
    if name in ("from_numpy", "to_numpy"):  # tensors in one framework are arrays in another
        assert one[0].split()[0] == two[0].split()[0]
    else:
        assert one[0] == two[0]
    headings = "Args:", "Returns:", "Raises:", "Source:"
    assert [h for h in headings if any(line.startswith(h) for line in one)] == [
        h for h in headings if any(line.startswith(h) for line in two)
    ]


@pytest.mark.parametrize("name", CONTRACT)
def test_every_parameter_is_described(framework, name):
    """`sizes` and the like would not do: each parameter has its own line."""
    value = getattr(framework.d2l, name)
    documentation = inspect.getdoc(value)
    if hasattr(value, "_fields"):
        names = value._fields
    else:
        names = [p[0] for p in parameters(value) or [] if p[0] != "self"]
    for parameter in names:
        assert f"{parameter}:" in documentation or f"{parameter}," in documentation, parameter
