"""tests/colab_check.py: its pages and its judgement; it runs for hours, so not it itself."""

import json
import subprocess
import sys

import pytest

from tests import colab_check, frameworks
from tests.processes import ROOT


def test_page_holds_the_figures():
    results = json.loads(colab_check.RESULTS.read_text())
    page = colab_check.PAGE.read_text(encoding="utf-8")
    assert colab_check.REGION.findall(page) == [colab_check.table(results)]


@pytest.mark.parametrize("version", colab_check.ENVIRONMENTS)
@pytest.mark.parametrize("framework", frameworks.FRAMEWORKS)
def test_figures_are_good(version, framework):
    found = json.loads(colab_check.RESULTS.read_text())[version][framework]
    assert {chapter[:2] for chapter in found["chapters"]} >= {"01", "02", "03"}
    assert [one["error"] for one in found["chapters"].values() if one["error"]] == []
    assert {"d2l", "d2l-ext", "sacrebleu"} <= found["added"].keys()
    assert found["changed"] == []


def test_table_of_what_went_wrong():
    one = {"seconds": 9.6, "install": 20.0, "error": "", "fresh": True}
    again = {"seconds": 5.0, "install": 1.9, "error": "NameError", "fresh": False}
    found = {"chapters": {"01_a": one, "02_b": again}, "added": {"d2l": "1"}, "changed": []}
    other = {"chapters": {"01_a": one}, "added": {}, "changed": ["numpy 2.1.3 -> 2.4.6"]}
    assert colab_check.table({"3.13": {"jax": other, "pytorch": found}}).splitlines() == [
        "| Python 3.13 | PyTorch | JAX |",
        "| --- | --- | --- |",
        "| 01_a | ok, 10 s | ok, 10 s |",
        "| 02_b | FAILED | not run |",
        "| first cell installs | 20 s | 20 s |",
        "| first cell again | 2 s | - |",
        "| packages added | d2l | none |",
        "| packages changed | none | numpy 2.1.3 -> 2.4.6 |",
    ]


def test_older_runtime_differs_in_numpy_only():
    new, old = colab_check.pins("3.13"), colab_check.pins("3.12")
    assert {name for name in new if new[name] != old[name]} == {"numpy"}
    assert (new["ipython"], new["ipykernel"]) == ("7.34.0", "6.17.1")


def test_changes_name_the_versions(monkeypatch):
    monkeypatch.setattr(colab_check, "installed", lambda python: {"a": "1", "b": "3", "new": "1"})
    found = colab_check.changes("python", {"a": "1", "b": "2", "c": "1"})
    assert found == ["b 2 -> 3", "c 1 -> gone"]


def test_restore_refuses_an_environment_that_has_changed(monkeypatch):
    monkeypatch.setattr(colab_check, "installed", lambda python: {"a": "2"})
    with pytest.raises(RuntimeError, match="python has changed: delete its folder"):
        colab_check.restore("python", {"a": "1"})


def test_command_line_knows_its_environments():
    done = subprocess.run(
        [sys.executable, "-m", "tests.colab_check", "--python", "3.9"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "'3.13', '3.12'" in done.stderr or "3.13, 3.12" in done.stderr
