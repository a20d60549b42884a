"""The four frameworks: one interface, and the same numbers from the same weights."""

import functools
import inspect
import itertools
import os
import re
from pathlib import Path

import numpy as np
import pytest

from tests import frameworks, parity_page, reference, tiny

pytestmark = pytest.mark.skipif(
    len(frameworks.UNDER_TEST) == 1, reason="FRAMEWORK leaves nothing to compare with"
)
FIRST = frameworks.UNDER_TEST[0]
OTHERS = pytest.mark.parametrize("other", frameworks.UNDER_TEST[1:], ids=repr)

# What a framework needs for itself, beside the names that all four share
OWN = {
    "pytorch": {"drawn", "inference", "oriented", "tensors"},
    "mxnet": {"blocks", "compiled_attend", "drawn", "oriented", "tensors"},
    "jax": {
        "ADAM",
        "draw_with_numpy",
        "glorot",
        "most_probable",
        "place",
        "put_behind",
        "round_up",
        "run_copy",
        "run_steps",
        "select_rows",
        "standard_normal",
        "without_dropout",
    },
    "tensorflow": {"drawn"},
}
CONTRACT = [
    "device",
    "show_attention",
    "sequence_mask",
    "masked_softmax",
    "DotProductAttention",
    "AdditiveAttention",
    "BilinearAttention",
    "GlobalAttention",
    "LocalAttention",
    "Seq2SeqEncoder",
    "Seq2SeqDecoder",
    "AttentionDecoder",
    "Seq2SeqAttentionDecoder",
    "Seq2SeqGlobalDecoder",
    "Seq2Seq",
    "masked_loss",
    "train_seq2seq",
    "EpochRecord",
    "teacher_forcing",
    "translate",
    "Translation",
    "beam_search",
    "get_weights",
    "set_weights",
    "get_config",
    "new_model",
    "save_model",
    "load_model",
]
SHARED = sorted(set(FIRST.d2l.__all__) - OWN[FIRST.name])


# Numbers -----------------------------------------------------------------------------------------
#
# Each framework and the float64 reference compute the quantities below from the same weights and
# the same batch, in float32 and without dropout, for all kinds of models. Every two of them are
# then compared: largest difference over largest value, array by array.

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
REFERENCE = "reference"
COMPUTED_BY = [*(framework.name for framework in frameworks.UNDER_TEST), REFERENCE]
PAIRS = list(itertools.combinations(COMPUTED_BY, 2))
LR, GRAD_CLIP = 0.005, 1.0
NUM_STEPS = int(os.environ.get("PARITY_STEPS", 100))  # fewer for benchmarks/gpu.py
# Weights of standard deviation 1 saturate so many units that rounding alone can turn training.
SCALE = 0.5
WEIGHTS_AFTER = {
    1: "weights after 1 step",
    10: "weights after 10 steps",
    100: "weights after 100 steps",
}
BOUNDS = {
    "logits": 1e-5,
    "attention weights": 1e-5,
    "loss": 1e-5,
    "gradients": 1e-4,
    "weights after 1 step": 1e-4,
    "weights after 10 steps": 1e-4,
    "weights after 100 steps": 1e-3,
    "loss after 100 steps": 1e-3,
    "scores, greedy": 1e-4,
    "scores, beam of 3": 1e-4,
}
SENTENCES = [s for s in tiny.SENTENCES if s]


def computed_by_framework(framework, kind):
    """Quantities of `BOUNDS`, each a dict of arrays, and translations."""
    d2l, batch = framework.d2l, tiny.learning_batch()
    model = tiny.new_model(framework, *kind, scale=SCALE)
    model.src_vocab, model.tgt_vocab = tiny.SRC_VOCAB, tiny.TGT_VOCAB

    def translate(beam_size):
        results = d2l.translate(model, SENTENCES, beam_size, tiny.TARGET_STEPS)
        return [(result.tokens, result.score) for result in results]

    found = translations(translate)
    found["logits"], found["attention weights"] = d2l.teacher_forcing(
        model, batch.src, batch.src_valid_len, batch.tgt_in
    )
    found["loss"], found["gradients"] = framework.loss_and_gradients(model, batch)
    rate = d2l.linear_schedule(LR, NUM_STEPS)
    train_step, evaluate, *_ = model.make_steps(rate, GRAD_CLIP)
    for step in range(1, NUM_STEPS + 1):
        train_step(batch)
        if step in WEIGHTS_AFTER:
            found[WEIGHTS_AFTER[step]] = d2l.get_weights(model)
    found["loss after 100 steps"] = float(evaluate(batch))
    return found


def computed_by_reference(kind):
    """The same in float64."""
    weights, batch = tiny.random_weights(*kind, scale=SCALE), tiny.learning_batch()
    local = tiny.local(kind)

    def translate(beam_size):
        for sentence in SENTENCES:
            source = tiny.SRC_VOCAB[[*sentence.split(), "<eos>"]]
            ids, score = reference.beam_search(
                weights, source, beam_size, tiny.TARGET_STEPS, tiny.TGT_VOCAB, **local
            )
            yield tiny.TGT_VOCAB.to_tokens(ids), score

    found = translations(translate)
    found["logits"], found["attention weights"] = reference.teacher_forcing(
        weights, batch.src, batch.src_valid_len, batch.tgt_in, **local
    )
    found["loss"] = reference.batch_loss(weights, batch, **local)
    found["gradients"] = reference.gradients(weights, batch, **local)
    steps = reference.train(weights, batch, NUM_STEPS, LR, GRAD_CLIP, **local)
    for step, trained in enumerate(steps, start=1):
        if step in WEIGHTS_AFTER:
            found[WEIGHTS_AFTER[step]] = trained
    found["loss after 100 steps"] = reference.batch_loss(trained, batch, **local)
    return found


def translations(translate):
    """Tokens and scores of greedy search and of a beam; `translate` takes the beam's size."""
    greedy, beam = list(translate(1)), list(translate(3))
    return {
        "tokens": [[tokens for tokens, _ in results] for results in (greedy, beam)],
        "scores, greedy": np.array([score for _, score in greedy]),
        "scores, beam of 3": np.array([score for _, score in beam]),
    }


@functools.cache
def computed(name, kind):
    """What a framework, or the reference, computes for a kind of model."""
    if name == REFERENCE:
        return computed_by_reference(kind)
    return computed_by_framework(frameworks.FRAMEWORKS[name], kind)


def difference(one, two):
    """Largest difference over largest value, of arrays or of the worst of several."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        return max(difference(one[name], two[name]) for name in one)
    one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
    assert one.shape == two.shape
    largest = np.abs(two).max()
    return float(np.abs(one - two).max() / (largest or 1))


@pytest.fixture(scope="module")
def page():
    """Largest difference seen for each quantity and pair; written down when all have been."""
    largest = {}
    yield largest
    if "PARITY_PAGE" in os.environ and len(largest) == len(BOUNDS) * len(PAIRS):
        parity_page.write(os.environ["PARITY_PAGE"], largest, BOUNDS, COMPUTED_BY)


@pytest.mark.parametrize("kind", tiny.ALL_KINDS, ids=tiny.kind_name)
@pytest.mark.parametrize(("one", "other"), PAIRS, ids=map(" and ".join, PAIRS))
def test_two_compute_the_same(kind, one, other, page):
    mine, theirs, too_large = computed(one, kind), computed(other, kind), []
    for quantity, bound in BOUNDS.items():
        if NUM_STEPS < 100 and quantity.endswith("100 steps"):
            continue
        if mine[quantity] is None:
            assert theirs[quantity] is None and kind[0] == "plain"
            continue
        found = difference(mine[quantity], theirs[quantity])
        page[quantity, one, other] = max(found, page.get((quantity, one, other), 0))
        if found > bound:
            too_large.append(f"{quantity} differ by {found:.1e}; allowed is {bound:.0e}")
    assert not too_large
    assert mine["tokens"] == theirs["tokens"]


def test_the_translations_give_something_to_compare():
    tokens = [computed(REFERENCE, kind)["tokens"] for kind in tiny.ALL_KINDS]
    assert sum(any(greedy) for greedy, _ in tokens) > len(tokens) / 2
    assert any(greedy != beam for greedy, beam in tokens)


# The interface -----------------------------------------------------------------------------------


def test_every_module_exports_the_same_names(framework):
    names = framework.d2l.__all__
    homes = framework.d2l.__name__, "d2l_ext.common"
    assert len(names) == len(set(names))
    assert sorted(set(names) - OWN[framework.name]) == SHARED
    assert set(CONTRACT) <= set(SHARED)
    for name in SHARED:
        assert getattr(framework.d2l, name).__module__ in homes, name


def parameters(value):
    """Names, kinds and defaults of what a function, or a class's constructor, takes."""
    if isinstance(value, type):
        home = next(base for base in value.__mro__ if "__init__" in vars(base))
        if not home.__module__.startswith("d2l_ext") and not hasattr(value, "_fields"):
            return None  # inherited from the framework
        value = value.__new__ if hasattr(value, "_fields") else value.__init__
    return [(p.name, p.kind, p.default) for p in inspect.signature(value).parameters.values()]


KEYWORD = inspect.Parameter.KEYWORD_ONLY
# Keras is told in each call whether it is training
MODE = {"tensorflow": [("training", inspect.Parameter.POSITIONAL_OR_KEYWORD, False)]}


@OTHERS
@pytest.mark.parametrize("name", SHARED)
def test_every_name_takes_the_same(name, other):
    """Flax modules take rngs, at the end; nothing else differs."""
    mine, theirs = (getattr(framework.d2l, name) for framework in (FIRST, other))
    one, two = parameters(mine), parameters(theirs)
    if other.name == "jax" and isinstance(theirs, type) and two and two[-1][0] == "rngs":
        without_weights = name in ("Attention", "DotProductAttention")
        assert two.pop()[1:] == (KEYWORD, None if without_weights else inspect.Parameter.empty)
    assert one == two
    assert getattr(mine, "_fields", None) == getattr(theirs, "_fields", None)


def description(value):
    """What a docstring says, in words that fit every framework; the parameter rngs is JAX's."""
    text = re.sub(r"\n    rngs: .*(\n        .*)*", "", inspect.getdoc(value))
    text = " ".join(text.split())
    text = re.sub(r"\b(an MXNet|a JAX|a tensor) or NumPy array", "an array", text)
    return text.replace("New tensor", "New array").replace(" Also a Symbol.", "")


def methods(value):
    """The methods that a class has and that it, or a class of ours before it, documents.

    The one behind a call has a name in each framework.
    """
    if not isinstance(value, type) or hasattr(value, "_fields"):
        return {}
    calls = {"forward": "call", "hybrid_forward": "call", "__call__": "call"}
    ours = [cls for cls in value.__mro__ if cls.__module__.startswith("d2l_ext.")]
    return {
        calls.get(name, name): method
        for name, method in vars(value).items()
        if inspect.isfunction(method)
        and any(getattr(vars(cls).get(name), "__doc__", None) for cls in ours)
        and not calls.get(name, name).startswith("_")
    }


@OTHERS
@pytest.mark.parametrize("name", SHARED)
def test_every_name_is_described_alike(name, other):
    """Word for word: shapes, defaults, errors and sources are the same in all four."""
    mine, theirs = (getattr(framework.d2l, name) for framework in (FIRST, other))
    if name in ("from_numpy", "to_numpy"):  # what PyTorch and JAX add concerns them alone
        assert description(mine).split()[0] == description(theirs).split()[0]
    else:
        assert description(mine) == description(theirs)
    one, two = methods(mine), methods(theirs)
    for method in one.keys() & two.keys():
        assert description(one[method]) == description(two[method])
        if method != "call":  # whose parameters are tested by calling it
            found = [p for p in parameters(two[method]) if p not in MODE.get(other.name, ())]
            assert parameters(one[method]) == found


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


# The page ----------------------------------------------------------------------------------------


def test_the_page_has_every_pair_and_keeps_the_bounds():
    table, _ = parity_page.read()
    allowed = table.pop("**allowed**")
    assert allowed == BOUNDS
    everything = [*frameworks.FRAMEWORKS, REFERENCE]
    assert set(table) == {", ".join(pair) for pair in itertools.combinations(everything, 2)}
    for differences in table.values():
        assert set(differences) == set(BOUNDS)
        assert all(found <= BOUNDS[quantity] for quantity, found in differences.items())


def test_the_page_was_measured_with_the_pinned_versions():
    pins = "".join(file.read_text() for file in REQUIREMENTS.glob("*.txt"))
    for package, version in parity_page.read()[1].items():
        assert re.search(rf"^{package}=={re.escape(version)}\b", pins, re.MULTILINE), package
