"""Does d2l_ext.compat make MXNet and d2l import, hand names on, and leave nothing behind?"""

import ast
import inspect
import random
import sys

import numpy as np
import pytest

from d2l_ext import compat
from tests import frameworks
from tests.processes import output_of, python


def needs(name):
    """Mark a test that is only about one framework."""
    return pytest.mark.skipif(
        frameworks.FRAMEWORKS[name] not in frameworks.UNDER_TEST, reason="FRAMEWORK is another"
    )


# Run around an import; what it prints are the changes that others could notice.
WATCH = """
import builtins, logging, os, random, types, warnings
import numpy

def state():
    return {
        "numpy": {k: v for k, v in vars(numpy).items() if not isinstance(v, types.ModuleType)},
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "finders": list(map(id, sys.meta_path)),
        "import": builtins.__import__,
        "builtins": dict(vars(builtins)),
        "handlers": list(logging.root.handlers),
        "random": random.getstate(),
        "numpy.random": numpy.random.get_state()[1].tolist(),
    }
"""


@needs("mxnet")
@pytest.mark.parametrize("first", ["", "import torch", "import jax", "import tensorflow"])
def test_importing_mxnet_leaves_nothing_behind(first):
    if first.partition(" ")[2] not in {"", *(f.library for f in frameworks.UNDER_TEST)}:
        pytest.skip("FRAMEWORK is another")
    code = f"""
{first}
from d2l_ext import compat
import setuptools  # brings distutils to MXNet, and a finder for it
before = state()
mxnet = compat.import_mxnet()
after = state()
print([key for key in before if before[key] != after[key]])
print([name for name in compat._loans(numpy) if name in after["numpy"].keys() - before["numpy"]])
import mxnet as again
assert again is mxnet is compat.import_mxnet()
"""
    assert output_of(WATCH + code).splitlines() == ["[]", "[]"]


@needs("mxnet")
def test_importing_mxnet_is_quiet():
    done = python("from d2l_ext import compat\ncompat.import_mxnet()", "-Walways")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs("mxnet")
def test_mxnet_imported_by_others_is_taken_as_it_is():
    code = """
import types
sys.modules["mxnet"] = theirs = types.ModuleType("mxnet")
calls = []
theirs.npx = types.SimpleNamespace(set_np=lambda: calls.append("set_np"))
from d2l_ext import compat
assert compat.import_mxnet() is theirs
compat.prepare("mxnet")
assert calls == ["set_np"]
"""
    output_of(code)


@needs("mxnet")
def test_threads_get_one_mxnet_and_numpy_is_clean_afterwards():
    code = """
import threading
from concurrent.futures import ThreadPoolExecutor
from d2l_ext import compat
before = state()
barrier = threading.Barrier(4)

def load(_):
    barrier.wait()
    return compat.import_mxnet()

with ThreadPoolExecutor(4) as pool:
    modules = set(pool.map(load, range(4)))
assert modules == {sys.modules["mxnet"]}
assert before["numpy"] == state()["numpy"]
"""
    output_of(WATCH + code)


@needs("mxnet")
def test_an_import_that_fails_takes_the_names_back():
    code = """
from d2l_ext import compat
hide("distutils", "_distutils_hack", "setuptools")
for name in [name for name in sys.modules if name.startswith(("distutils", "_distutils_hack"))]:
    del sys.modules[name]
before = state()
try:
    compat.import_mxnet()
except ImportError as error:
    print(error)
assert before["numpy"] == state()["numpy"]
assert "mxnet" not in sys.modules
"""
    assert output_of(WATCH + code) == (
        "setuptools < 80, which MXNet needs, is not installed: run `pip install -r"
        " requirements/mxnet.txt && pip install --no-deps -r requirements/mxnet-no-deps.txt` in"
        " the project's folder"
    )


@needs("mxnet")
def test_everything_mxnet_asks_numpy_for_is_there():
    compat.import_mxnet()
    loans = compat._loans(np)
    asked_later = set()
    for name, module in list(sys.modules.items()):
        if not name.startswith("mxnet.") or not getattr(module, "__file__", "").endswith(".py"):
            continue
        for asked, alias, in_function in _asked_of_numpy(module):
            if hasattr(np, asked):
                continue
            assert asked in loans, f"{name} asks for numpy.{asked}"
            if in_function:
                asked_later.add((name, alias))
    assert asked_later == set(compat._ASK_LATER)


def _asked_of_numpy(module):
    """Yield (name, alias of NumPy, whether inside a function) for all that a module asks of it."""
    tree = ast.parse(inspect.getsource(module))
    aliases = {
        name.asname or name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
        if name.name == "numpy"
    }
    inside = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.Lambda)
        for part in (node.body if isinstance(node.body, list) else [node.body])
        for inner in ast.walk(part)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in aliases
        ):
            yield node.attr, node.value.id, node in inside


@needs("mxnet")
def test_mxnet_functions_that_use_the_borrowed_names():
    compat.prepare("mxnet")
    import mxnet

    assert mxnet.util.is_np_shape() and mxnet.util.is_np_array()
    values = np.array([[3.0, 1.0], [2.0, 4.0]], dtype=np.float32)
    array = mxnet.np.array(values)
    for mine, numpys in [
        (mxnet.np.pad(array, ((1, 1), (0, 2))), np.pad(values, ((1, 1), (0, 2)))),
        (mxnet.np.in1d(array, mxnet.np.array([2.0])), [False, False, True, False]),
        (mxnet.np.msort(array), np.sort(values, axis=0)),
        (mxnet.np.trapz(array), np.trapezoid(values)),
        (mxnet.np.alltrue(array), True),
        (np.prod(array), 24.0),
        (np.any(array), True),
        (np.round(array), values),
    ]:
        np.testing.assert_array_equal(np.asarray(mine), numpys)
    assert mxnet.np.PZERO == mxnet.np.NZERO == 0
    assert mxnet.np.PINF == -mxnet.np.NINF == np.inf
    assert np.isnan([mxnet.np.NAN, mxnet.np.NaN]).all()
    with pytest.raises(NotImplementedError, match=r"npv has left NumPy; numpy_financial\.npv"):
        mxnet.np.npv(0.1, array)


@needs("mxnet")
def test_mxnet_estimator_uses_the_borrowed_infinity():
    mxnet = compat.import_mxnet()
    loss = mxnet.metric.Loss()
    from mxnet.gluon.contrib.estimator import EarlyStoppingHandler

    handler = EarlyStoppingHandler(monitor=loss, mode="min")
    handler.train_begin(None)
    assert handler.best == np.inf


def test_importing_d2l_leaves_nothing_behind(framework):
    code = f"""
from d2l_ext import compat
compat.prepare("{framework.library}")
import pandas, requests, scipy.spatial, IPython.display, matplotlib_inline.backend_inline
import matplotlib.pyplot as plt
for package in compat._FRAMEWORKS["{framework.library}"].packages:
    __import__(package)
if "{framework.library}" == "jax":
    import flax.linen, flax.training.train_state
before, style = state(), dict(plt.rcParams)
book = compat.import_d2l("{framework.library}")
after = state()
print([key for key in before if before[key] != after[key]], style == dict(plt.rcParams))
print([name for name, module in sys.modules.items() if isinstance(module, compat._LateModule)])
print([name for name in ("torchvision", "tensorflow_datasets") if name in sys.modules])
print("tensorflow" in sys.modules)
from d2l import {framework.library} as again
assert again is book is compat.import_d2l("{framework.library}")
assert book.Vocab("abc") and book.d2l is book
"""
    in_use = str(framework.name == "tensorflow")
    assert output_of(WATCH + code).splitlines() == ["[] True", "[]", "[]", in_use]


@needs("pytorch")
def test_an_absent_optional_module_says_so_when_it_is_used():
    code = """
hide("torchvision")
from d2l_ext import compat
book = compat.import_d2l("torch")
for use in (lambda: book.torchvision.datasets, lambda: book.transforms.Resize):
    try:
        use()
    except ImportError as error:
        print(error.name, "|", error)
"""
    message = (
        "torchvision | torchvision, which d2l.torch uses here, is not installed: run `pip install"
        " -c requirements/constraints.txt torchvision` in the project's folder"
    )
    assert output_of(code).splitlines() == [message, message]


@needs("pytorch")
def test_an_optional_module_is_imported_when_it_is_used(tmp_path):
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("datasets = 'the real datasets'")
    (package / "transforms.py").write_text("Resize = 'the real Resize'")
    code = """
from d2l_ext import compat
book = compat.import_d2l("torch")
print("torchvision" in sys.modules)
print(book.torchvision.datasets, book.transforms.Resize, sep=", ")
print("torchvision" in sys.modules)
"""
    expected = ["False", "the real datasets, the real Resize", "True"]
    assert output_of(code, path=tmp_path).splitlines() == expected


@needs("pytorch")
def test_an_optional_module_that_is_broken_shows_its_own_error(tmp_path):
    (tmp_path / "torchvision.py").write_text("import a_library_that_is_not_there")
    code = """
from d2l_ext import compat
try:
    compat.import_d2l("torch").torchvision.datasets
except ImportError as error:
    print(error)
"""
    expected = "No module named 'a_library_that_is_not_there'"
    assert output_of(code, path=tmp_path) == expected


@needs("pytorch")
def test_an_import_of_d2l_that_fails_can_be_repeated():
    code = """
from d2l_ext import compat
finders = list(sys.meta_path)
hide("pandas")
try:
    compat.import_d2l("torch")
except ImportError as error:
    print(error)
assert "d2l.torch" not in sys.modules
sys.meta_path[:] = finders
compat.import_d2l("torch").Vocab
"""
    assert output_of(code) == "No module named 'pandas'"


@needs("jax")
def test_the_book_draws_seeds_from_a_range_given_in_floats():
    """d2l.jax calls randint(0, 1e6), which Python's own refuses from 3.12 on."""
    book = compat.import_d2l("jax")
    random.seed(1)
    expected = random.randint(0, 10**6)
    random.seed(1)
    assert book.get_seed() == expected
    assert book.random is not random
    assert book.random.getstate() == random.getstate()


def test_names_fall_through_to_the_book(framework):
    lookup = compat.fall_through(framework.library)
    book = compat.import_d2l(framework.library)
    assert lookup("show_heatmaps") is book.show_heatmaps
    assert lookup("ProgressBoard") is book.ProgressBoard
    message = (
        rf"neither 'd2l_ext\.{framework.library}' nor the book's 'd2l\.{framework.library}'"
        r" has an attribute 'show_heatmap'"
    )
    with pytest.raises(AttributeError, match=message):
        lookup("show_heatmap")


def test_probing_a_module_does_not_import_the_book(framework):
    names = ["__path__", "__wrapped__", "_repr_html_", "_ipython_display_", "_private"]
    code = f"""
from d2l_ext import compat
lookup = compat.fall_through("{framework.library}")
for name in {names}:
    try:
        lookup(name)
    except AttributeError as error:
        print(error)
print([name for name in sys.modules if name.startswith("d2l.") or name == "pandas"])
"""
    *errors, loaded = output_of(code).splitlines()
    expected = f"module 'd2l_ext.{framework.library}' has no attribute"
    assert errors == [f"{expected} '{name}'" for name in names]
    assert loaded == "[]"


def test_the_book_not_installed(framework):
    code = f"""
hide("d2l")
from d2l_ext import compat
try:
    compat.fall_through("{framework.library}")("Vocab")
except ImportError as error:
    print(error.name, "|", error)
"""
    assert output_of(code) == (
        "d2l | The d2l book's package is not installed: run `pip install --no-deps -r"
        " requirements/no-deps.txt` in the project's folder"
    )


@pytest.mark.parametrize(
    ("library", "package", "message"),
    [
        ("torch", "torch", "PyTorch is not installed: run `pip install -r requirements/pytorch."),
        ("jax", "jax", "JAX is not installed: run `pip install -r requirements/jax.txt`"),
        ("jax", "flax", "flax is not installed: run `pip install -r requirements/jax.txt`"),
        ("tensorflow", "keras", "keras is not installed: run `pip install -r requirements/tensor"),
        ("mxnet", "mxnet", "MXNet is not installed: run `pip install -r requirements/mxnet.txt"),
    ],
)
def test_a_framework_not_installed(library, package, message):
    code = f"""
import types
hide("{package}")
for other in set(compat._FRAMEWORKS["{library}"].packages) - {{"{package}"}}:
    sys.modules[other] = types.ModuleType(other)  # whatever else is missing here
for call in (compat.prepare, compat.import_d2l, lambda name: compat.fall_through(name)("Vocab")):
    try:
        call("{library}")
    except ImportError as error:
        print(error.name, error)
"""
    lines = output_of("from d2l_ext import compat\n" + code).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{package} {message}") for line in lines)


@pytest.mark.parametrize("call", [compat.prepare, compat.import_d2l, compat.fall_through])
def test_an_unknown_framework_is_refused(call):
    with pytest.raises(ValueError, match="no framework 'pytorch'; it is one of torch, mxnet, jax"):
        call("pytorch")


@needs("pytorch")
def test_preparing_torch_imports_nothing():
    code = """
from d2l_ext import compat
compat.prepare("torch")
print([name for name in ("torch", "mxnet", "jax", "tensorflow", "numpy") if name in sys.modules])
"""
    assert output_of(code) == "[]"


@needs("tensorflow")
@pytest.mark.parametrize("stderr", ["open", "closed"])
def test_importing_tensorflow_is_quiet_and_gives_stderr_back(stderr):
    code = """
import os
from d2l_ext import compat
compat.prepare("tensorflow")
assert "tensorflow" in sys.modules
"""
    if stderr == "open":
        done = python(code + "os.write(2, b'heard')")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "heard")
    else:
        assert output_of("import os\nos.close(2)" + code + "print('imported')") == "imported"


@needs("tensorflow")
@pytest.mark.parametrize(
    ("version", "before", "after"),
    [("2.20.0", None, "0"), ("2.20.0", "1", "1"), ("2.21.0", None, None), (None, None, None)],
)
def test_tensorflow_2_20_computes_without_onednn(monkeypatch, version, before, after):
    compat.prepare("tensorflow")  # the real import, before anything is pretended

    def installed(name):
        if version is None:
            raise compat.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(compat.metadata, "version", installed)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if before:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", before)
    monkeypatch.setattr(compat, "_share_gpus", lambda tensorflow: None)
    compat.prepare("tensorflow")
    assert compat.os.environ.get("TF_ENABLE_ONEDNN_OPTS") == after
    compat.os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
