"""What the tests need to know about a framework: how to make, read and differentiate its arrays.

One small class per framework, with one interface, so that a test body is written once and looped
over all of them (the idea is einops'). None is imported before it is asked for. The environment
variable FRAMEWORK (pytorch, mxnet, jax or tensorflow) narrows the loop to one.
"""

import contextlib
import functools
import importlib
import os

import numpy as np


def batch_loss(d2l, model, src, src_valid_len, tgt_in, tgt_out, tgt_valid_len):
    """A model's loss on a batch of native arrays."""
    logits, _ = model(src, src_valid_len, tgt_in)
    return d2l.masked_loss(logits, tgt_out, tgt_valid_len)


class Framework:
    """One framework, as the tests see it.

    Attributes:
        name: tab, folder and value of FRAMEWORK, e.g. "pytorch".
        library: the module of `d2l_ext` for it, e.g. "torch".
    """

    name = None
    library = None

    def __repr__(self):
        return self.name

    @property
    def d2l(self):
        """The generated module, `d2l_ext.torch` and so on."""
        return importlib.import_module(f"d2l_ext.{self.library}")

    @property
    def options(self):
        """What the library's layers take beside their sizes: random streams in JAX."""
        return {}

    def array(self, values, dtype=None):
        """Make a native array, where PyTorch and MXNet ask for it on the library's `device()`.

        Args:
            values: anything that `numpy.asarray` takes.
            dtype: name of a type, "bfloat16" too; None keeps that of `values`.
        """
        raise NotImplementedError

    def numpy(self, array):
        """Copy a native array into a NumPy one; bfloat16, which NumPy lacks, becomes float32."""
        raise NotImplementedError

    def dtype(self, array):
        """Name of a native array's type, e.g. "float32"."""
        raise NotImplementedError

    def is_native(self, value):
        """Tell whether a value is one of the framework's own arrays."""
        raise NotImplementedError

    def grad(self, function, *inputs):
        """Differentiate the sum of a function's result.

        Args:
            function: takes native arrays, returns one native array.
            inputs: NumPy or native floating-point arrays.

        Returns:
            List of NumPy arrays, the gradient for each input.
        """
        raise NotImplementedError

    def loss_and_gradients(self, model, batch):
        """Differentiate a model's loss.

        Args:
            model: a `Seq2Seq` that has not been differentiated before.
            batch: a `corpora.Batch`.

        Returns:
            The loss, and a dict of the gradients (NumPy) in the exchange format.
        """
        raise NotImplementedError

    def float64(self):
        """Context in which 64-bit numbers stay 64-bit numbers."""
        return contextlib.nullcontext()


class PyTorch(Framework):
    name = "pytorch"
    library = "torch"

    @functools.cached_property
    def torch(self):
        return importlib.import_module("torch")

    def array(self, values, dtype=None):
        if not self.is_native(values):
            values = self.torch.tensor(np.asarray(values), device=self.d2l.device())
        return values if dtype is None else values.to(getattr(self.torch, dtype))

    def numpy(self, array):
        array = array.detach().cpu()
        return (array.float() if array.dtype == self.torch.bfloat16 else array).numpy().copy()

    def dtype(self, array):
        return str(array.dtype).removeprefix("torch.")

    def is_native(self, value):
        return isinstance(value, self.torch.Tensor)

    def grad(self, function, *inputs):
        inputs = [self.array(x).detach().clone().requires_grad_() for x in inputs]
        function(*inputs).sum().backward()
        return [self.numpy(x.grad) for x in inputs]

    def loss_and_gradients(self, model, batch):
        loss = batch_loss(self.d2l, model, *self.d2l.tensors(model, *batch))
        loss.backward()
        gradients = {}
        for name, weight in self.d2l.named_weights(model).items():
            idle = weight.grad is None
            gradient = self.torch.zeros_like(weight) if idle else weight.grad
            gradients[name] = self.numpy(self.d2l.oriented(name, gradient))
        return float(loss.detach()), gradients


class MXNet(Framework):
    name = "mxnet"
    library = "mxnet"

    @functools.cached_property
    def mxnet(self):
        from d2l_ext import compat

        compat.prepare("mxnet")
        return importlib.import_module("mxnet")

    def array(self, values, dtype=None):
        if self.is_native(values):
            return values if dtype is None else values.astype(dtype)
        values = np.asarray(values)
        dtype = dtype or values.dtype
        return self.mxnet.np.array(values, dtype=dtype, ctx=self.d2l.device())

    def numpy(self, array):
        return array.asnumpy()

    def dtype(self, array):
        return np.dtype(array.dtype).name

    def is_native(self, value):
        return isinstance(value, self.mxnet.np.ndarray)

    def grad(self, function, *inputs):
        inputs = [self.array(x).copy() for x in inputs]
        for x in inputs:
            x.attach_grad()
        with self.mxnet.autograd.record():
            result = function(*inputs).sum()
        result.backward()
        return [self.numpy(x.grad) for x in inputs]

    def loss_and_gradients(self, model, batch):
        with self.mxnet.autograd.record(train_mode=False):
            loss = batch_loss(self.d2l, model, *self.d2l.tensors(model, *batch))
        loss.backward()
        named = self.d2l.named_weights(model).items()
        return loss.item(), {n: self.numpy(self.d2l.oriented(n, w.grad())) for n, w in named}


class JAX(Framework):
    name = "jax"
    library = "jax"

    @functools.cached_property
    def jax(self):
        return importlib.import_module("jax")

    @property
    def options(self):
        from flax import nnx

        return {"rngs": nnx.Rngs(0)}

    def array(self, values, dtype=None):
        return self.jax.numpy.asarray(values, dtype=dtype)

    def numpy(self, array):
        array = array.astype("float32") if self.dtype(array) == "bfloat16" else array
        return np.array(array)

    def dtype(self, array):
        return array.dtype.name

    def is_native(self, value):
        return isinstance(value, self.jax.Array)

    def grad(self, function, *inputs):
        inputs = [self.array(x) for x in inputs]
        gradient = self.jax.grad(
            lambda *xs: function(*xs).sum(), argnums=tuple(range(len(inputs)))
        )
        return [self.numpy(g) for g in gradient(*inputs)]

    def loss_and_gradients(self, model, batch):
        from flax import nnx

        @nnx.jit
        @nnx.value_and_grad
        def differentiate(model):
            return batch_loss(self.d2l, model, *map(self.array, batch))

        loss, gradients = differentiate(model)
        holder = nnx.clone(model)
        nnx.update(holder, gradients)
        return float(loss), self.d2l.get_weights(holder)

    def float64(self):
        if hasattr(self.jax, "enable_x64"):
            return self.jax.enable_x64(True)
        from jax.experimental import enable_x64  # where JAX 0.7 has it

        return enable_x64()


class TensorFlow(Framework):
    name = "tensorflow"
    library = "tensorflow"

    @functools.cached_property
    def tensorflow(self):
        return importlib.import_module("tensorflow")

    def array(self, values, dtype=None):
        array = self.tensorflow.convert_to_tensor(values)
        return array if dtype is None else self.tensorflow.cast(array, dtype)

    def numpy(self, array):
        array = self.tensorflow.convert_to_tensor(array)
        if array.dtype == self.tensorflow.bfloat16:
            array = self.tensorflow.cast(array, "float32")
        return np.array(array)

    def dtype(self, array):
        return array.dtype.name

    def is_native(self, value):
        return isinstance(value, self.tensorflow.Tensor)

    def grad(self, function, *inputs):
        inputs = [self.array(x) for x in inputs]
        with self.tensorflow.GradientTape() as tape:
            tape.watch(inputs)
            result = self.tensorflow.reduce_sum(function(*inputs))
        gradients = tape.gradient(result, inputs, unconnected_gradients="zero")
        return [self.numpy(g) for g in gradients]

    def loss_and_gradients(self, model, batch):
        with self.tensorflow.GradientTape() as tape:
            loss = batch_loss(self.d2l, model, *map(self.array, batch))
        named = self.d2l.named_weights(model)
        variables = [variable.value for variable in named.values()]
        gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
        return float(loss), {n: self.numpy(g) for n, g in zip(named, gradients)}


FRAMEWORKS = {kind.name: kind() for kind in (PyTorch, MXNet, JAX, TensorFlow)}


def under_test(requested):
    """Choose the frameworks to test.

    Args:
        requested: value of the environment variable FRAMEWORK, one name or several with commas,
            or "" for all four.

    Returns:
        List of `Framework`.

    Raises:
        ValueError: if `requested` names no framework.
    """
    if not requested:
        return list(FRAMEWORKS.values())
    names = requested.split(",")
    if not FRAMEWORKS.keys() >= set(names):
        raise ValueError(f"FRAMEWORK={requested}: it must be one of {', '.join(FRAMEWORKS)}")
    return [FRAMEWORKS[name] for name in names]


UNDER_TEST = under_test(os.environ.get("FRAMEWORK", ""))
