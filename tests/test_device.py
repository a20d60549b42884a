"""Is the device decided in one place, and does everything lie where it says?

Tested without a GPU. What a framework sees is faked for the decision; for the rest each has
something that tells a second device from the first: MXNet, JAX and TensorFlow a second CPU
(`tests.second_device`), PyTorch its meta device, whose tensors have a shape and no numbers.
"""

import re
import types
from pathlib import Path

import numpy as np
import pytest

from d2l_ext import compat, devices
from tests import frameworks, tiny
from tests.processes import output_of
from tests.second_device import attentions
from tests.test_compat import needs

ROOT = Path(__file__).parents[1]


class GPU:
    platform = "gpu"


def let_see(framework, monkeypatch, found):
    """Make a framework see a GPU, or none; returns what `device()` should say for GPU and CPU."""
    if framework.name == "pytorch":
        torch = framework.torch
        monkeypatch.setattr(torch.cuda, "is_available", lambda: found)
        return torch.device("cuda:0"), torch.device("cpu")
    if framework.name == "mxnet":
        mxnet = framework.mxnet
        monkeypatch.setattr(framework.d2l.npx, "num_gpus", lambda: int(found))
        return mxnet.gpu(0), mxnet.cpu(0)
    if framework.name == "jax":
        gpus, cpus = [GPU(), GPU()], framework.jax.local_devices(backend="cpu")
        monkeypatch.setattr(
            framework.jax,
            "local_devices",
            lambda backend=None: gpus if found and backend is None else cpus,
        )
        return gpus[0], cpus[0]
    config = framework.tensorflow.config
    monkeypatch.setattr(config, "get_visible_devices", lambda kind: ["a GPU"] if found else [])
    return "GPU:0", "CPU:0"


@pytest.mark.parametrize(
    ("found", "variable", "expected"),
    [
        (False, None, "cpu"),
        (True, None, "gpu"),
        (False, "", "cpu"),
        (True, "", "gpu"),
        (True, "gpu", "gpu"),
        (True, "cpu", "cpu"),
        (False, "cpu", "cpu"),
    ],
)
def test_the_device_is_the_first_gpu_or_the_cpu(framework, monkeypatch, found, variable, expected):
    gpu, cpu = let_see(framework, monkeypatch, found)
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(devices.VARIABLE, variable)
    assert framework.d2l.device() == (gpu if expected == "gpu" else cpu)


def test_a_gpu_that_is_not_there(framework, monkeypatch):
    let_see(framework, monkeypatch, found=False)
    monkeypatch.setenv(devices.VARIABLE, "gpu")
    title = compat._FRAMEWORKS[framework.library].title
    with pytest.raises(RuntimeError, match=f"D2L_EXT_DEVICE is gpu, but {title} sees no GPU"):
        framework.d2l.device()


@pytest.mark.parametrize("found", [False, True])
@pytest.mark.parametrize("wrong", ["GPU", "cuda:1", "0"])
def test_another_device_than_cpu_and_gpu(framework, monkeypatch, wrong, found):
    let_see(framework, monkeypatch, found)
    monkeypatch.setenv(devices.VARIABLE, wrong)
    with pytest.raises(ValueError, match=f"D2L_EXT_DEVICE is '{wrong}'; set it to cpu or gpu"):
        framework.d2l.device()


def test_nothing_but_device_looks_for_gpus():
    """Each framework's question stands once, in chapter 02; TensorFlow's set-up has its own."""
    asks = re.compile(
        r"cuda\.is_available|num_gpus\(|npx\.gpu\(|\.cuda\(|platform ==|get_visible_devices"
        r"|list_physical_devices"
    )
    files = [
        *ROOT.glob("notebooks/*.md"),
        *ROOT.glob("d2l_ext/*.py"),
        *ROOT.glob("benchmarks/*.py"),
    ]
    found = {
        str(path.relative_to(ROOT)): asks.findall(path.read_text())
        for path in files
        if asks.search(path.read_text())
    }
    assert found == {
        "notebooks/02_masked_softmax.md": [
            "cuda.is_available",
            "num_gpus(",
            "npx.gpu(",
            "platform ==",
            "get_visible_devices",
        ],
        "d2l_ext/torch.py": ["cuda.is_available"],
        "d2l_ext/mxnet.py": ["num_gpus(", "npx.gpu("],
        "d2l_ext/jax.py": ["platform =="],
        "d2l_ext/tensorflow.py": ["get_visible_devices"],
        "d2l_ext/compat.py": 2 * ["get_visible_devices"],
    }


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=needs(n)) for n in ("mxnet", "jax", "tensorflow")]
)
def test_everything_lies_and_computes_on_a_second_device(name):
    code = f"from tests import second_device; second_device.check('{name}')"
    assert output_of(code, timeout=900) == "everything is there"


# PyTorch -----------------------------------------------------------------------------------------


def parts(d2l):
    """One of each class with weights, but for `Seq2Seq`."""
    sizes = dict(vocab_size=9, embed_size=5, num_hiddens=7, num_layers=2)
    return [
        d2l.AdditiveAttention(2, 4, 3),
        d2l.BilinearAttention(2, 4),
        d2l.GlobalAttention(2, 4, 3, "concat"),
        d2l.LocalAttention(2, 4, 3, "predictive"),
        d2l.GRUCell(2, 3),
        d2l.Seq2SeqEncoder(**sizes),
        d2l.Seq2SeqEncoder(**sizes, bidirectional=True),
        d2l.Seq2SeqDecoder(**sizes),
        d2l.Seq2SeqAttentionDecoder(**sizes),
        d2l.Seq2SeqGlobalDecoder(**sizes, local="predictive"),
    ]


@needs("pytorch")
def test_torch_makes_arrays_and_weights_on_the_device(monkeypatch):
    import torch

    from d2l_ext import torch as d2l

    meta = torch.device("meta")
    monkeypatch.setattr(d2l, "device", lambda: meta)
    assert d2l.from_numpy(np.ones(2)).device == meta
    for part in parts(d2l):
        assert {weight.device for weight in part.parameters()} == {meta}, part


@needs("pytorch")
def test_torch_moves_a_whole_model_to_the_device(monkeypatch):
    """Also one whose decoder, a reader's, has not thought of it."""
    import torch

    from d2l_ext import torch as d2l

    class Part(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, 2))

    meta = torch.device("meta")
    monkeypatch.setattr(d2l, "device", lambda: meta)
    model = d2l.Seq2Seq(Part(), Part())
    seen = [weight.device for weight in model.parameters()]
    seen.extend(array.device for array in d2l.tensors(model, *tiny.batch()))
    assert seen == 5 * [meta]


@pytest.fixture
def meta(monkeypatch):
    """The meta device as what `device()` says; operators' inputs must be on one device.

    Among its tensors, which have no numbers, nothing can be packed by lengths: the padded batch
    takes the place of the packed one.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    class OneDevice(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
            copies = function.overloadpacket in copying
            to_cpu = torch.device("cpu") in (*args[1:], *kwargs.values())
            if copies and to_cpu and tensors[0].is_meta:
                return torch.ones(tensors[0].shape, dtype=tensors[0].dtype)
            devices = {x.device for x in tensors}
            assert copies or len(devices) < 2, f"{function} of tensors on {devices}"
            return function(*args, **kwargs)

    def pack(inputs, lengths, **_):
        assert (inputs.device, lengths.device) == (device, torch.device("cpu"))
        return inputs

    copying = torch.ops.aten._to_copy, torch.ops.aten.to, torch.ops.aten.copy_
    device = torch.device("meta")
    monkeypatch.setattr(frameworks.FRAMEWORKS["pytorch"].d2l, "device", lambda: device)
    monkeypatch.setattr(torch.nn.utils.rnn, "pack_padded_sequence", pack)
    monkeypatch.setattr(torch.nn.utils.rnn, "pad_packed_sequence", lambda x, **_: (x, None))
    with OneDevice():
        with pytest.raises(AssertionError, match="of tensors on"):
            torch.ones(2, device=device) @ torch.ones(2)
        yield device


@needs("pytorch")
@pytest.mark.parametrize("name", ["dot", "additive", "bilinear", "predictive", "monotonic"])
def test_torch_attends_on_another_device(name, meta):
    import torch

    from d2l_ext import torch as d2l

    attention = attentions(frameworks.FRAMEWORKS["pytorch"])[name]
    x, lens = torch.ones(2, 3, 4, device=meta), np.array([2, 3])
    for valid_lens in (None, lens, torch.tensor(lens), torch.tensor([[1, 2, 3]] * 2, device=meta)):
        output, weights = attention(x, x, x, valid_lens)
        assert output.device == weights.device == meta
        assert d2l.masked_softmax(x, valid_lens).device == meta


@needs("pytorch")
@pytest.mark.parametrize("kind", tiny.ALL_KINDS, ids=tiny.kind_name)
def test_torch_models_compute_on_another_device(kind, meta, monkeypatch):
    from d2l_ext import torch as d2l

    model = tiny.new_model(frameworks.FRAMEWORKS["pytorch"], *kind)
    src, src_len, tgt_in, tgt_out, tgt_len = d2l.tensors(model, *tiny.learning_batch())
    logits, weights = model(src, src_len, tgt_in)
    loss = d2l.masked_loss(logits, tgt_out, tgt_len)
    loss.backward()
    arrays = [src, logits, loss, *model.parameters()] + ([] if weights is None else [weights])
    batch = tiny.learning_batch()
    state = model.start_decoding(batch.src, batch.src_valid_len)
    arrays.append(state.hidden)
    monkeypatch.setattr(d2l, "to_numpy", arrays.append)  # what would leave the device
    *_, state = model.decode(batch.tgt_in[:3, :1], state, np.array([1, 0, 0]))
    arrays.append(state.hidden)
    assert {array.device for array in arrays} == {meta}


@needs("pytorch")
def test_torch_takes_results_and_weights_from_and_to_the_cpu(monkeypatch):
    """`to_numpy` fetches; `set_weights` copies into weights that stay where they are."""
    import torch

    from d2l_ext import torch as d2l

    class OnGPU:
        def detach(self):
            return self

        def cpu(self):
            return torch.ones(2)

    assert (d2l.to_numpy(OnGPU()) == np.ones(2)).all()
    model = tiny.new_model(frameworks.FRAMEWORKS["pytorch"], *tiny.PAPER)
    before = {name: weight.data_ptr() for name, weight in d2l.named_weights(model).items()}
    d2l.set_weights(model, tiny.random_weights(*tiny.PAPER, seed=5))
    after = {name: weight.data_ptr() for name, weight in d2l.named_weights(model).items()}
    assert before == after


# Memory ------------------------------------------------------------------------------------------

WATCH_ENVIRONMENT = """
import os
os.environ.pop("XLA_PYTHON_CLIENT_PREALLOCATE", None)
before = dict(os.environ)
import d2l_ext.jax
print({name: value for name, value in os.environ.items() if before.get(name) != value})
"""


@needs("jax")
def test_jax_does_not_take_a_whole_gpu():
    code = """
from jaxlib import xla_client
print(xla_client.generate_pjrt_gpu_plugin_options()["preallocate"])
"""
    assert output_of(WATCH_ENVIRONMENT + code).splitlines() == [
        "{'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}",
        "False",
    ]


@needs("jax")
def test_who_wants_jax_to_take_a_whole_gpu_is_heard(monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    compat.prepare("jax")
    assert compat.os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"


class FakeConfig:
    """`tensorflow.config` with two GPUs; `refuses` is the error that changes raise."""

    def __init__(self, refuses=None):
        self.visible, self.growing, self.refuses = ["GPU 0", "GPU 1"], [], refuses
        self.experimental = types.SimpleNamespace(set_memory_growth=self.grow)

    def change(self):
        if self.refuses:
            raise self.refuses("cannot be modified after being initialized")

    def get_visible_devices(self, kind):
        assert kind == "GPU"
        return self.visible

    def set_visible_devices(self, visible, kind):
        self.change()
        self.visible = visible

    def grow(self, gpu, wanted):
        self.change()
        self.growing.append((gpu, wanted))


def shared(config):
    compat._share_gpus(types.SimpleNamespace(config=config))
    return config


def test_tensorflow_does_not_take_whole_gpus(monkeypatch):
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    config = shared(FakeConfig())
    assert config.growing == [("GPU 0", True), ("GPU 1", True)]
    assert config.visible == ["GPU 0", "GPU 1"]


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_tensorflow_that_has_started_is_left_as_it_is(monkeypatch, error):
    monkeypatch.delenv(devices.VARIABLE, raising=False)
    assert shared(FakeConfig(error)).growing == []


def test_tensorflow_sees_no_gpu_if_the_cpu_is_wanted(monkeypatch):
    monkeypatch.setenv(devices.VARIABLE, "cpu")
    config = shared(FakeConfig())
    assert (config.visible, config.growing) == ([], [])
    shared(config)  # again, without a complaint
    with pytest.raises(RuntimeError, match="D2L_EXT_DEVICE is cpu, but TensorFlow runs on a GPU"):
        shared(FakeConfig(RuntimeError))


@needs("tensorflow")
def test_tensorflow_is_told_before_it_starts():
    code = """
import tensorflow
from tensorflow.python.eager import context
calls = []
tensorflow.config.get_visible_devices = lambda kind: ["GPU 0"]
tensorflow.config.experimental.set_memory_growth = lambda *given: calls.append(
    (*given, context.context()._context_handle)
)
import d2l_ext.tensorflow
print(calls)
"""
    assert output_of(code) == "[('GPU 0', True, None)]"
