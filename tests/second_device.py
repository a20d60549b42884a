"""Runs the library on a second device, for machines without a GPU.

MXNet knows `cpu(1)`, JAX and TensorFlow can divide a CPU into two. On the second of them, which
`device()` is made to return, everything must lie and compute as it would on a GPU. `check` wants a
process of its own: it changes the library, and JAX divides the CPU only before it starts.
"""

import os
import tempfile
from pathlib import Path

import numpy as np

from tests import frameworks, tiny

# JAX and TensorFlow take long to compile a model, and place all kinds by the same few lines.
ONE_KIND = [tiny.PAPER]
ALL_KINDS = [("plain", 2, False), tiny.PAPER, ("predictive", 1, True), ("monotonic", 1, False)]


class MXNet:
    def __init__(self, framework):
        self.first, self.second = framework.mxnet.cpu(0), framework.mxnet.cpu(1)
        forbid_mixing(framework.mxnet)

    def where(self, x):
        return set(x.list_ctx()) if hasattr(x, "list_ctx") else {x.ctx}

    kinds = ALL_KINDS
    results_follow = True


class JAX:
    def __init__(self, framework):
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
        self.first, self.second = framework.jax.devices()

    def where(self, x):
        return x[...].devices()

    kinds = ONE_KIND
    results_follow = True


class TensorFlow:
    """Its operations run on the first device, wherever the inputs lie; variables stay in place."""

    def __init__(self, framework):
        config = framework.tensorflow.config
        cpus = config.list_physical_devices("CPU")
        config.set_logical_device_configuration(cpus[0], 2 * [config.LogicalDeviceConfiguration()])
        self.first, self.second = "CPU:0", "CPU:1"

    def where(self, x):
        return {getattr(x, "value", x).device[-5:]}

    kinds = ONE_KIND
    results_follow = False


def forbid_mixing(mxnet):
    """Make MXNet complain when an operator's inputs lie on different devices.

    With a GPU it does so by itself; between CPUs it would compute.
    """
    from mxnet._ffi.function import Function
    from mxnet.ndarray import register

    def complain(arrays):
        devices = {a.ctx for a in arrays if isinstance(a, mxnet.nd.NDArray)}
        assert len(devices) <= 1, f"inputs on {devices}"

    invoke, call = register._imperative_invoke, Function.__call__

    def checked_invoke(handle, arrays, *rest):
        complain(arrays)
        return invoke(handle, arrays, *rest)

    def checked_call(self, *args):
        complain([a for arg in args for a in (arg if isinstance(arg, (tuple, list)) else [arg])])
        return call(self, *args)

    register._imperative_invoke, Function.__call__ = checked_invoke, checked_call
    try:
        mxnet.np.ones(1, ctx=mxnet.cpu(0)) + mxnet.np.ones(1, ctx=mxnet.cpu(1))
    except AssertionError:
        return
    raise RuntimeError("two devices were mixed, and nobody noticed")


def attentions(framework):
    """One of each kind, for queries and keys of size 4."""
    d2l, options = framework.d2l, framework.options
    return {
        "dot": d2l.DotProductAttention(),
        "additive": d2l.AdditiveAttention(4, 4, 5, **options),
        "bilinear": d2l.BilinearAttention(4, 4, **options),
        "general": d2l.GlobalAttention(4, 4, 5, "general", **options),
        "predictive": d2l.LocalAttention(4, 4, 5, "predictive", window=1, **options),
        "monotonic": d2l.LocalAttention(4, 4, 5, "monotonic", window=1, **options),
    }


def run(framework, stand_in, device, results_follow):
    """Use the whole library on a device.

    Returns:
        Dict of results that depend on no random number, NumPy arrays and tokens.
    """
    d2l, found = framework.d2l, {}
    d2l.device = lambda: device

    def lies_there(what, *arrays):
        for array in arrays:
            assert stand_in.where(array) == {device}, f"{what}: {stand_in.where(array)}"

    def results(what, *arrays):
        if results_follow:
            lies_there(what, *arrays)
        found[what] = [d2l.to_numpy(array) for array in arrays]

    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 3, 4)).astype("float32")
    x = d2l.from_numpy(values)
    lies_there("from_numpy", x)
    assert (d2l.to_numpy(x) == values).all()
    for lens in (np.array([2, 3]), d2l.from_numpy(np.array([2, 3], "int32"))):
        results("sequence_mask", d2l.sequence_mask(x, lens))
        results("masked_softmax", d2l.masked_softmax(x, lens))
        for name, attention in attentions(framework).items():
            output, weights = attention(x, x, x, lens)
            if results_follow:
                lies_there(name, output, weights)
    if results_follow:
        lies_there("GRUCell", d2l.GRUCell(4, 4, **framework.options)(x[:, 0], x[:, 1]))

    for kind in stand_in.kinds:
        model = tiny.new_model(framework, *kind)
        lies_there(f"weights of {kind}", *d2l.named_weights(model).values())
        model.src_vocab, model.tgt_vocab = tiny.SRC_VOCAB, tiny.TGT_VOCAB
        found[kind, "teacher forcing"] = d2l.teacher_forcing(model, *tiny.batch())
        results((kind, "logits"), model(*map(d2l.from_numpy, tiny.batch()))[0])
        train_step, evaluate, *_ = model.make_steps(lambda step: 0.005, 1.0)
        batch = tiny.learning_batch()
        losses = [train_step(batch), train_step(batch), evaluate(batch)]
        results((kind, "losses"), *losses)
        lies_there(f"trained weights of {kind}", *d2l.named_weights(model).values())
        found[kind, "trained"] = d2l.get_weights(model)
        for beam_size in (1, 3):
            translations = d2l.translate(model, ["a b c d", "e f"], beam_size, 5)
            found[kind, beam_size] = [(t.tokens, t.score) for t in translations]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            d2l.save_model(model, path)
            loaded = d2l.load_model(path)
        lies_there(f"loaded weights of {kind}", *d2l.named_weights(loaded).values())
        for name, weight in d2l.get_weights(loaded).items():
            assert (weight == found[kind, "trained"][name]).all()
    return found


def flatten(found):
    """Yield the numbers and tokens of nested dicts, lists and tuples."""
    if isinstance(found, dict):
        found = [found[name] for name in found]
    if isinstance(found, (list, tuple)):
        for value in found:
            yield from flatten(value)
    else:
        yield found


def check(name):
    """Compare a framework's results on the second device with those on the first.

    Args:
        name: "mxnet", "jax" or "tensorflow".
    """
    framework = frameworks.FRAMEWORKS[name]
    stand_in = {"mxnet": MXNet, "jax": JAX, "tensorflow": TensorFlow}[name](framework)
    follow = stand_in.results_follow
    expected = run(framework, stand_in, stand_in.first, follow)
    found = [run(framework, stand_in, stand_in.second, follow)]
    if not follow:  # TensorFlow's choice for its operations, as it is a GPU where there is one
        with framework.tensorflow.device(stand_in.second):
            found.append(run(framework, stand_in, stand_in.second, True))
    for results in found:
        compared = list(zip(flatten(expected), flatten(results), strict=True))
        assert len(compared) > 25
        for one, other in compared:
            if isinstance(one, (float, np.ndarray)):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
            else:
                assert one == other
    print("everything is there")
