"""What visitors and tools take from the repository: its citation, its types, its workflow."""

import ast
import re
import tomllib
from datetime import date
from pathlib import PurePath

import pytest
import yaml

import d2l_ext
from tabbook import reference
from tests.processes import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
HAND_WRITTEN = sorted(
    path.stem
    for path in (ROOT / "d2l_ext").glob("[!_]*.py")
    if "Generated from notebooks" not in path.read_text(encoding="utf-8")
)


def test_the_citation_is_of_this_version_and_repository():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors"}  # what the format requires
    assert citation["authors"] == [{"name": "The d2l-ext authors"}]
    assert citation["version"] == d2l_ext.__version__
    assert citation["license"] == SETTINGS["project"]["license"]
    assert citation["repository-code"] == SETTINGS["tool"]["tabbook"]["repository"]


def test_the_change_log_knows_this_version():
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, *released = re.findall(r"^## (.+)$", log, re.MULTILINE)
    assert unreleased == "Unreleased"
    versions = dict(one.split(" - ") for one in released)
    assert next(iter(versions)) == d2l_ext.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert date.fromisoformat(versions[d2l_ext.__version__]) == citation["date-released"]
    kinds = set(re.findall(r"^### (.+)$", log, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_workflow_runs_what_ci_runs():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] <= 120
    assert job["steps"][-1]["run"] == ".ci/run"
    (python,) = (step["with"]["python-version"] for step in job["steps"] if "with" in step)
    assert python == "3.11"


def test_all_that_the_library_is_made_of_ships():
    patterns = SETTINGS["tool"]["setuptools"]["package-data"]["d2l_ext"]
    assert "py.typed" in patterns
    folder = ROOT / "d2l_ext"
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    beside = [path for path in files if path.suffix not in (".py", ".pyc")]
    assert PurePath("py.typed") in beside
    assert [one for one in beside if not any(one.match(p) for p in patterns)] == []


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_public_functions_say_their_types(name):
    module = ast.parse((ROOT / "d2l_ext" / f"{name}.py").read_text(encoding="utf-8"))
    untyped = []
    for node in reference.public(module):
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        for function in inside:
            if not isinstance(function, ast.FunctionDef) or re.match("_[^_]", function.name):
                continue
            arguments = function.args
            every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            every += filter(None, [arguments.vararg, arguments.kwarg])
            untyped += [
                f"{function.name}({argument.arg})"
                for argument in every
                if argument.annotation is None and argument.arg not in ("self", "cls")
            ]
            untyped += [f"{function.name} ->"] * (function.returns is None)
    assert untyped == []


def test_the_modules_without_annotations_are_the_generated_ones():
    assert {"compat", "corpora", "metrics", "plots", "views", "weights"} <= set(HAND_WRITTEN)
    assert not {"torch", "mxnet", "jax", "tensorflow"} & set(HAND_WRITTEN)
