"""Do requirement files, environment.yml and pyproject.toml agree, and does what they made work?"""

import functools
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from d2l_ext import compat
from tests import frameworks
from tests.processes import ROOT, output_of

FRAMEWORK_FILES = [f"{name}.txt" for name in frameworks.FRAMEWORKS]
NO_DEPS_FILES = ["no-deps.txt", "mxnet-no-deps.txt"]
PIN_FILES = ["base.txt", *FRAMEWORK_FILES, *NO_DEPS_FILES, "test.txt", "book.txt"]

# Requirements of these two that are not met, on purpose: what d2l_ext.compat is for.
KNOWN_CONFLICTS = {
    "d2l": {
        "jupyter",
        "matplotlib",
        "matplotlib-inline",
        "numpy",
        "pandas",
        "requests",
        "scipy",
    },
    "mxnet": {"graphviz", "numpy"},
}

# How each framework's own users import what the chapters use.
IMPORTS = {
    "torch": "import torch",
    "mxnet": "from d2l_ext import compat; compat.import_mxnet()",
    "jax": "import jax, optax; from flax import nnx",
    "tensorflow": "import tensorflow, keras",
}
HEAVY = {
    *("torch", "torchvision", "mxnet", "jax", "flax", "optax", "tensorflow", "keras"),
    *("tensorflow_datasets", "pandas", "matplotlib", "IPython", "sacrebleu", "pooch", "d2l"),
}


def lines_of(name):
    """The lines of a requirement file, without comments."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pins_of(name):
    """The pins of a requirement file itself: {package: version}."""
    pins = {}
    for line in lines_of(name):
        if not line.startswith("-"):
            package, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
            assert canonicalize_name(package) not in pins, f"{name} pins {package} twice"
            pins[canonicalize_name(package)] = version
    return pins


@functools.cache
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@functools.cache
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


def extra(name):
    return [Requirement(text) for text in project()["optional-dependencies"][name]]


def files_under_test():
    """The requirement files of which `make test` has installed everything."""
    names = [framework.name for framework in frameworks.UNDER_TEST]
    files = ["base.txt", "test.txt", "book.txt", "no-deps.txt", *(f"{name}.txt" for name in names)]
    return [*files, "mxnet-no-deps.txt"] if "mxnet" in names else files


# --- The files agree ---------------------------------------------------------


def test_every_file_in_requirements_is_known():
    files = {path.name for path in (ROOT / "requirements").iterdir()}
    assert files == {"constraints.txt", "colab.txt", *PIN_FILES}


def test_each_package_is_pinned_in_one_file():
    pinned = [package for name in PIN_FILES for package in pins_of(name)]
    assert len(pinned) == len(set(pinned))


@pytest.mark.parametrize("name", ["base.txt", *FRAMEWORK_FILES, "test.txt", "book.txt"])
def test_pins_are_those_of_the_constraints(name):
    constraints = pins_of("constraints.txt")
    assert {package: constraints.get(package) for package in pins_of(name)} == pins_of(name)


@pytest.mark.parametrize("name", NO_DEPS_FILES)
def test_what_has_no_dependencies_stands_in_no_other_file(name):
    assert not pins_of(name).keys() & pins_of("constraints.txt").keys()


def test_files_include_each_other():
    options = {
        name: [line for line in lines_of(name) if line.startswith("-")]
        for name in [*PIN_FILES, "constraints.txt", "colab.txt"]
    }
    expected = {name: ["-r base.txt"] for name in FRAMEWORK_FILES}
    expected |= {name: ["-c constraints.txt"] for name in ("base.txt", "test.txt", "book.txt")}
    expected |= {name: [] for name in [*NO_DEPS_FILES, "constraints.txt", "colab.txt"]}
    assert options == expected


def test_environment_yml_uses_the_same_files():
    *conda, pip = environment()["dependencies"]
    assert environment()["channels"] == ["conda-forge", "nodefaults"]
    assert [Requirement(text).name for text in conda] == ["python", "pip"]
    assert set(pip["pip"]) == {
        f"-r requirements/{name}" for name in [*FRAMEWORK_FILES, "test.txt", "book.txt"]
    }


def test_environment_yml_spells_out_the_second_step():
    text = (ROOT / "environment.yml").read_text()
    comments = " ".join(line[1:].strip(" \\") for line in text.splitlines() if line[:1] == "#")
    command = "pip install --no-deps " + "".join(f"-r requirements/{f} " for f in NO_DEPS_FILES)
    assert f"conda run -n {environment()['name']} {command}-e ." in comments


def test_python_versions_agree():
    python = Requirement(environment()["dependencies"][0])
    assert python.specifier == SpecifierSet(project()["requires-python"])
    admitted = [minor for minor in range(8, 20) if f"3.{minor}.5" in python.specifier]
    assert admitted == [11, 12, 13]


@pytest.mark.parametrize("each", frameworks.FRAMEWORKS.values(), ids=repr)
def test_pyproject_extras_are_the_frameworks_files(each):
    if each.name == "mxnet":
        assert "mxnet" not in project()["optional-dependencies"]  # pip could not resolve it
    else:
        names = {canonicalize_name(requirement.name) for requirement in extra(each.library)}
        assert names == pins_of(f"{each.name}.txt").keys()


def test_pyproject_ranges_admit_the_pins_and_colabs_versions():
    pins, colab = pins_of("constraints.txt"), pins_of("colab.txt")
    requirements = [Requirement(text) for text in project()["dependencies"]]
    for name in project()["optional-dependencies"]:
        requirements += extra(name)
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        assert pins[name] in requirement.specifier, f"{requirement} does not admit {pins[name]}"
        # Colab does not have these: pip installs the newest
        if name not in ("sacrebleu", "rouge-score"):
            assert colab[name] in requirement.specifier, f"{requirement} does not admit Colab's"
    # Colab's runtime of July 2026 still had NumPy 2.0.2
    assert "2.0.2" in next(r for r in requirements if r.name == "numpy").specifier


def test_commands_in_messages_name_files_that_exist():
    commands = [framework.command for framework in compat._FRAMEWORKS.values()]
    commands += [compat._D2L_COMMAND, *compat._OPTIONAL.values()]
    for command in commands:
        for name in re.findall(r"-[rc] (\S+)", command):
            assert (ROOT / name).is_file(), command


def test_colabs_first_cell_installs_the_same_versions():
    """What stands in no extra of pyproject.toml, and so by name in the cell."""
    text = (ROOT / "tabbook" / "colab_cell.py").read_text()
    pins = {**pins_of("no-deps.txt"), **pins_of("mxnet-no-deps.txt")}
    alone = re.findall(r"^ALONE \+?= \[(.*)\]", text, re.MULTILINE)
    assert alone == [f'"{name}=={version}"' for name, version in pins.items()]
    beside = [Requirement(part) for part in re.findall(r'"([^"]+)"', _line(text, "LIBRARY += "))]
    assert {each.name for each in beside} == pins_of("mxnet.txt").keys()
    for each in beside:
        assert pins_of("colab.txt")[each.name] in each.specifier
        assert pins_of("mxnet.txt")[each.name] in each.specifier


def _line(text, start):
    return next(line for line in text.splitlines() if line.startswith(start))


# --- What was installed is what the files say --------------------------------


@functools.cache
def needed():
    """Every package that the requirement files bring in, as {name: version installed}."""
    found = {}
    wanted = [(name, "") for file in files_under_test() for name in pins_of(file)]
    wanted.append(("d2l-ext", ""))
    seen = set()
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        distribution = metadata.distribution(name)
        found[name] = distribution.version
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                package = canonicalize_name(requirement.name)
                wanted += [(package, chosen) for chosen in ["", *requirement.extras]]
    return found


def test_installed_versions_are_the_pins():
    pins = {name: pin for file in files_under_test() for name, pin in pins_of(file).items()}
    installed = {name: Version(needed()[name]).public for name in pins}
    assert installed == pins


def test_constraints_hold_everything_that_came_along():
    constraints = pins_of("constraints.txt")
    # The project, the two without dependencies, and torch's CUDA libraries
    free = re.compile("d2l-ext|d2l|mxnet|nvidia-.*|cuda-.*|triton")
    for name, version in needed().items():
        if not free.fullmatch(name):
            assert constraints.get(name) == Version(version).public, f"{name} {version}"


def test_nothing_conflicts_but_what_compat_is_for():
    done = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, timeout=120
    )
    expected = {
        (name, other)
        for name, others in KNOWN_CONFLICTS.items()
        if any(name in pins_of(file) for file in files_under_test())
        for other in others
    }
    found = set()
    for line in done.stdout.splitlines():
        conflict = re.match(r"(\S+) \S+ (?:has requirement|requires) ([\w.-]+)", line)
        assert conflict, line
        found.add(conflict.groups())
    assert found == expected


# --- Everything imports ------------------------------------------------------


def orders():
    """The frameworks under test in two orders: as they stand, and turned round."""
    libraries = [framework.library for framework in frameworks.UNDER_TEST]
    return {"forwards": libraries, "backwards": libraries[::-1]}


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_everything_imports_and_computes_in_one_process(order):
    """All frameworks, d2l's modules and ours; and no package comes from outside the files."""
    libraries = orders()[order]
    code = """
import importlib
from importlib import metadata
from tests import frameworks
from d2l_ext import compat
known = metadata.packages_distributions()  # now: setuptools will add what it carries inside
by_library = {framework.library: framework for framework in frameworks.FRAMEWORKS.values()}
for library in libraries:
    framework = by_library[library]
    assert framework.d2l.__name__ == f"d2l_ext.{library}"
    assert framework.numpy(framework.array([[3.0]]) @ framework.array([[5.0]])) == [[15.0]]
    assert framework.d2l.show_heatmaps is compat.import_d2l(library).show_heatmaps
for name in list(sys.modules):
    print(*known.get(name, []))
"""
    packages = output_of(f"libraries = {libraries}" + code).split()
    venvs_own = {"pip", "setuptools"}
    assert {canonicalize_name(name) for name in packages} <= needed().keys() | venvs_own


def test_a_framework_comes_alone(framework):
    """Our module loads what the framework itself loads, nothing else heavy, no other of ours."""
    report = f"""
print(*{HEAVY} & set(sys.modules))
print(*(name for name in {list(IMPORTS)} if f"d2l_ext.{{name}}" in sys.modules))
"""
    theirs = output_of(IMPORTS[framework.library] + report)
    ours, modules = output_of(f"import d2l_ext.{framework.library}" + report).splitlines()
    assert {framework.library} <= set(ours.split()) <= set(theirs.split())
    assert modules == framework.library


@pytest.mark.parametrize(
    "name", ["compat", "corpora", "devices", "metrics", "plots", "tasks", "weights"]
)
def test_hand_written_modules_need_no_framework(name):
    assert output_of(f"import d2l_ext.{name}\nprint(*{HEAVY} & set(sys.modules))") == ""
