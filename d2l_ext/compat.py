"""What makes MXNet 1.9.1 and the d2l book's modules run on today's Python and NumPy.

Five functions, of which the generated modules call the first and the last:

- `prepare(framework)` makes sure that a framework can be imported;
- `check_installed(framework)` says what to install if it is missing, and imports nothing;
- `import_mxnet()` imports MXNet 1.9.1 on NumPy 2;
- `import_d2l(framework)` imports the book's own module, `d2l.torch` and so on;
- `fall_through(framework)` is the `__getattr__` that hands unknown names to that module.

Nothing happens when this file is imported. What it lends while others are imported (names to
NumPy, an import function to d2l) is taken back at once, or out of everybody else's sight. What
stays are variables in the environment: one keeps JAX from taking all of a GPU's memory, one keeps
TensorFlow 2.20 from crashing.
"""

import builtins
import contextlib
import importlib
import importlib.util
import os
import random
import sys
import threading
import types
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any, NamedTuple

from d2l_ext import devices, jax_cache

_LOCK = threading.RLock()


class _Framework(NamedTuple):
    """How a framework is spelled, the packages that are imported for it, what installs them."""

    title: str
    packages: tuple[str, ...]
    command: str


_FRAMEWORKS = {
    "torch": _Framework("PyTorch", ("torch",), "pip install -r requirements/pytorch.txt"),
    "mxnet": _Framework(
        "MXNet",
        ("mxnet",),
        "pip install -r requirements/mxnet.txt"
        " && pip install --no-deps -r requirements/mxnet-no-deps.txt",
    ),
    "jax": _Framework("JAX", ("jax", "flax", "optax"), "pip install -r requirements/jax.txt"),
    "tensorflow": _Framework(
        "TensorFlow", ("tensorflow", "keras"), "pip install -r requirements/tensorflow.txt"
    ),
}
_D2L_COMMAND = "pip install --no-deps -r requirements/no-deps.txt"

# Imported by d2l's modules at the top, used by a few of their functions only: what installs each.
_OPTIONAL = {
    "torchvision": "pip install -c requirements/constraints.txt torchvision",
    "tensorflow": _FRAMEWORKS["tensorflow"].command,
    "tensorflow_datasets": "pip install -c requirements/constraints.txt tensorflow-datasets",
}


def prepare(framework: str) -> None:
    """Make sure that `import torch` (or mxnet, jax, tensorflow) works from here on.

    Every generated module calls this before its own imports. For MXNet it does what `import_mxnet`
    does, and calls `npx.set_np()`, without which Gluon's layers take and give arrays of an older
    kind. It imports TensorFlow without the log lines that it writes at its start, and JAX to turn
    on its compilation cache, see `jax_cache`. PyTorch it does not import: it only looks whether it
    is installed.

    All four shall fit into one GPU together, so TensorFlow and JAX are kept from taking all of its
    memory at their start. For JAX the environment variable XLA_PYTHON_CLIENT_PREALLOCATE says so;
    it stays, because JAX reads it when it first computes. TensorFlow 2.20, which Colab has, gets
    TF_ENABLE_ONEDNN_OPTS=0 in the same way: its oneDNN kernels crash the process when our decoder
    is trained on a CPU without AVX-512. A value that was set before is kept.

    Args:
        framework: "torch", "mxnet", "jax" or "tensorflow".

    Raises:
        ImportError: if the framework, or a package that it is used with here (Flax, optax, Keras),
            is not installed; the message holds the command that installs it.
        RuntimeError: if D2L_EXT_DEVICE is cpu, and TensorFlow runs on a GPU already.
        ValueError: if there is no such framework.
    """
    check_installed(framework)
    if framework == "mxnet":
        import_mxnet().npx.set_np()
    elif framework == "jax":
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        jax_cache.turn_on()
    elif framework == "tensorflow":
        _avoid_crash()
        with _LOCK, _silent():
            _share_gpus(importlib.import_module("tensorflow"))


def check_installed(framework: str) -> None:
    """Find out whether a framework and what it is used with are there; nothing is imported.

    Raises what `prepare` does.
    """
    needed = _framework(framework)
    for package in needed.packages:
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            title = needed.title if package == framework else package
            raise _not_installed(title, needed.command, package)


def _avoid_crash():
    """Turn off oneDNN in TensorFlow 2.20; see `prepare`."""
    with contextlib.suppress(metadata.PackageNotFoundError):  # a build of another name
        if metadata.version("tensorflow").startswith("2.20."):
            os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


@contextlib.contextmanager
def _silent():
    """Drop what compiled code writes to the process's stderr within a `with` block.

    TensorFlow 2.21 writes lines with times and process numbers there that no setting turns off,
    when it is imported and when it looks for GPUs; a notebook would store them. Errors are raised
    as always.
    """
    try:
        kept = os.dup(2)
    except OSError:  # no stderr to write to, as in a service
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def _share_gpus(tensorflow):
    """Make TensorFlow take a GPU's memory as it needs it, or no GPU if D2L_EXT_DEVICE is cpu.

    It must not have computed anything yet. If it has, its user has had the choice: the memory is
    left as it is.
    """
    config = tensorflow.config
    if devices.requested() == "cpu" and config.get_visible_devices("GPU"):
        try:
            config.set_visible_devices([], "GPU")
        except RuntimeError as error:
            raise RuntimeError(
                f"{devices.VARIABLE} is cpu, but TensorFlow runs on a GPU already: import"
                " d2l_ext.tensorflow before anything is computed"
            ) from error
    for gpu in config.get_visible_devices("GPU"):
        # RuntimeError: started; ValueError: it was divided by its user
        with contextlib.suppress(RuntimeError, ValueError):
            config.experimental.set_memory_growth(gpu, True)


def import_mxnet() -> types.ModuleType:
    """Import MXNet 1.9.1 on NumPy 2 and return it.

    MXNet asks NumPy for names that NumPy 2 has removed. They are lent while MXNet is imported and
    taken back afterwards; the four of its modules that ask for them later, in their functions,
    keep a view of NumPy of their own. Afterwards a plain `import mxnet` works too.

    Returns:
        The module `mxnet`.

    Raises:
        ImportError: if MXNet, or the distutils that it needs (in setuptools < 80 from Python 3.12
            on), is not installed.
    """
    with _LOCK:
        if "mxnet" in sys.modules:
            return sys.modules["mxnet"]
        import numpy

        loans = {name: value for name, value in _loans(numpy).items() if name not in vars(numpy)}
        try:
            with warnings.catch_warnings(), _lent(numpy, loans):
                # distutils' Version classes are deprecated, and MXNet's docstrings hold invalid
                # escapes: neither is for our readers to mend.
                warnings.simplefilter("ignore")
                mxnet = importlib.import_module("mxnet")
        except ModuleNotFoundError as error:
            if error.name not in ("mxnet", "distutils"):
                raise
            missing = "MXNet" if error.name == "mxnet" else "setuptools < 80, which MXNet needs,"
            raise _not_installed(missing, _FRAMEWORKS["mxnet"].command, error.name) from error
        for module, alias in _ASK_LATER:
            setattr(sys.modules[module], alias, _view(numpy, loans))
        return mxnet


def import_d2l(framework: str) -> types.ModuleType:
    """Import the d2l book's own module for a framework and return it.

    d2l 1.0.3 imports torchvision, tensorflow_datasets and, in d2l.jax, TensorFlow for the sake of
    a few functions. They are imported when such a function uses them, not before; one that is
    absent raises an ImportError then. Afterwards a plain `from d2l import torch` works too.

    Args:
        framework: "torch", "mxnet", "jax" or "tensorflow".

    Returns:
        The module `d2l.torch`, `d2l.mxnet`, `d2l.jax` or `d2l.tensorflow`.

    Raises:
        ImportError: if d2l or the framework is not installed.
        ValueError: if there is no such framework.
    """
    prepare(framework)
    name = f"d2l.{framework}"
    with _LOCK:
        if name in sys.modules:
            return sys.modules[name]
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError as error:
            if error.name != "d2l":
                raise
            raise _not_installed("The d2l book's package", _D2L_COMMAND, "d2l") from error
        module = importlib.util.module_from_spec(spec)
        # Import statements call the `__import__` among their own module's builtins. Giving d2l's
        # module one of its own keeps the placeholders out of sys.modules, where others would see
        # them. And d2l.jax draws a random number when it is imported: draw it again afterwards.
        optional = _OPTIONAL.keys() - set(_FRAMEWORKS[framework].packages)
        module.__builtins__ = {**vars(builtins), "__import__": _importer(name, optional)}
        sys.modules[name] = module
        drawn = random.getstate()
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            random.setstate(drawn)
        setattr(sys.modules["d2l"], framework, module)
        return module


def fall_through(framework: str) -> Callable[[str], Any]:
    """Make the module-level `__getattr__` (PEP 562) that hands unknown names to the d2l book.

    Names that begin with an underscore are never looked up there: Python, IPython and pytest probe
    modules for many of them, and none is the book's.

    Args:
        framework: "torch", "mxnet", "jax" or "tensorflow".

    Returns:
        A function of a name: the attribute of that name of `d2l.<framework>`, which is imported at
        the first call. It raises AttributeError if the book does not have the name either, and
        ImportError if the book's package is not installed.
    """
    _framework(framework)

    def __getattr__(name):
        if name.startswith("_"):
            raise AttributeError(f"module 'd2l_ext.{framework}' has no attribute '{name}'")
        book = import_d2l(framework)
        try:
            return getattr(book, name)
        except AttributeError:
            raise AttributeError(
                f"neither 'd2l_ext.{framework}' nor the book's 'd2l.{framework}' has an attribute"
                f" '{name}'"
            ) from None

    return __getattr__


def _framework(name):
    if name not in _FRAMEWORKS:
        raise ValueError(f"no framework {name!r}; it is one of {', '.join(_FRAMEWORKS)}")
    return _FRAMEWORKS[name]


def _not_installed(missing, command, package):
    """Make the error for something that is not installed, with the command that installs it."""
    return ModuleNotFoundError(
        f"{missing} is not installed: run `{command}` in the project's folder", name=package
    )


# Modules of MXNet whose functions ask NumPy for a removed name when they are called, and what they
# call NumPy: np.compat in pad, np.Inf in the estimator's handlers, np.int in a test helper.
_ASK_LATER = (
    ("mxnet.ndarray.numpy._op", "_np"),
    ("mxnet.symbol.numpy._symbol", "_np"),
    ("mxnet.gluon.contrib.estimator.event_handler", "np"),
    ("mxnet.test_utils", "np"),
)


def _loans(np):
    """Everything that MXNet 1.9.1 asks for and some NumPy 2 does not have."""
    return {
        "Inf": np.inf,
        "NAN": np.nan,
        "NINF": -np.inf,
        "NZERO": -0.0,
        "NaN": np.nan,
        "PINF": np.inf,
        "PZERO": 0.0,
        "alltrue": np.all,
        "compat": types.SimpleNamespace(basestring=str),
        "in1d": lambda ar1, ar2, **options: np.isin(np.ravel(ar1), ar2, **options),
        "int": int,
        "msort": lambda a: np.sort(a, axis=0),
        "product": np.prod,
        "round_": np.round,
        "sometrue": np.any,
        "trapz": getattr(np, "trapezoid", None),
        # Gone since NumPy 1.20; MXNet re-exports them.
        **{name: _financial(name) for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")},
    }


def _financial(name):
    def removed(*args, **kwargs):
        raise NotImplementedError(
            f"{name} has left NumPy; numpy_financial.{name} does the same on NumPy arrays"
        )

    return removed


@contextlib.contextmanager
def _lent(module, names):
    """Give a module some names for the length of a `with` block."""
    vars(module).update(names)
    try:
        yield
    finally:
        for name in names:
            delattr(module, name)


def _view(module, names):
    """A second module with everything that a module has, and some names more."""
    view = types.ModuleType(module.__name__, module.__doc__)
    vars(view).update(vars(module), **names)
    return view


def _importer(user, optional):
    """An `__import__` for one module, which puts off the import of its optional packages.

    It also hands out a `random` whose `randint` takes whole floats, as Python's did before 3.12:
    d2l.jax calls `random.randint(0, 1e6)`.
    """

    def randint(a, b):
        return random.randint(int(a), int(b))

    def __import__(name, globals=None, locals=None, fromlist=(), level=0):
        if name == "random":
            return _view(random, {"randint": randint})
        if level or name not in optional:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = _LateModule(name, user)
        for submodule in fromlist or ():
            setattr(module, submodule, _LateModule(f"{name}.{submodule}", user))
        return module

    return __import__


class _LateModule(types.ModuleType):
    """Stands in for an optional module, and imports it when an attribute of it is first used."""

    def __init__(self, name, user):
        super().__init__(name)
        self._user = user

    def __getattr__(self, attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        package = self.__name__.partition(".")[0]
        try:
            module = importlib.import_module(self.__name__)
            if package == "tensorflow":  # beside JAX, say, on the same GPU
                _share_gpus(sys.modules[package])
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            missing = f"{package}, which {self._user} uses here,"
            raise _not_installed(missing, _OPTIONAL[package], package) from error
        return getattr(module, attribute)
