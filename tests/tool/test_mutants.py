"""`make mutants`: its data fit the library as it is now, and its verdicts are right."""

import ast
import os
import subprocess
import sys

import pytest

from tests import mutants
from tests.processes import ROOT

DATA = mutants.read(mutants.DATA.read_text(encoding="utf-8"))


# The data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("framework", mutants.MODULES)
def test_every_mutant_changes_the_library_as_it_is(framework):
    """The text to replace is there, and what comes out is another program."""
    source = mutants.joined(mutants.modules(ROOT, framework))
    stale, programs = [], {source}
    for mutant in DATA:
        if framework not in mutant.edits:
            continue
        try:
            changed, chapter = mutants.mutate(source, mutant.edits[framework])
        except mutants.StaleData as problem:
            stale.append(f"{mutant.name}: {problem}")
            continue
        assert chapter in mutants.FIRST, mutant.name
        for text in changed.split(mutants.SEPARATOR):
            ast.parse(text)
        assert changed not in programs, mutant.name
        programs.add(changed)
    assert not stale, "tests/mutants.toml is out of date:\n" + "\n".join(stale)
    assert len(programs) > 25


def test_what_cannot_be_done_has_a_reason():
    for mutant in DATA:
        assert mutant.edits.keys() | mutant.impossible.keys() == mutants.MODULES.keys()
        assert len(mutant.edits) >= 1
        assert all(len(reason) > 15 for reason in mutant.impossible.values())


def test_the_page_shows_every_mutant_as_caught():
    text = mutants.PAGE.read_text(encoding="utf-8")
    found = mutants.read_table(text)
    assert text == mutants.page(DATA, found), "bring it up to date: make mutants"
    for mutant in DATA:
        for framework in mutant.edits:
            result = found.get((mutant.name, framework), "not run")
            assert result == "timeout" or "::test_" in result, (
                f"{framework}: {mutant.name}: {result}"
            )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('mistake = "x"\npytorch.find = "a"\npytorch.put = "b"', "m, mxnet: needs find and put"),
        ('mistake = "x"\nall.find = "a"', "m, pytorch: needs find and put"),
        ('mistake = "x"\nall.find = "a"\nall.puts = "b"', "m, pytorch: .*'puts'"),
        ('all.find = "a"\nall.put = "b"', "m: needs a mistake"),
        ('mistake = "x"\ntorch.find = "a"', r"m: .*unknown: \['torch'\]"),
    ],
)
def test_entries_that_say_too_little_are_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        mutants.read(f"[m]\n{entry}")


# The mistake -------------------------------------------------------------------------------------

SOURCE = """\
# From notebooks/02_masks.md, section "One"
def one(x):
    if x:
        y = x + 1
    return y


class Model:
    # From notebooks/04_models.md, section "Two"
    def two(self, x):
        return x + 1
"""


def test_text_is_replaced_and_indented():
    source, chapter = mutants.mutate(SOURCE, [("y = x + 1", "y = x\nif y:\n    y += 2", 1)])
    assert source == SOURCE.replace("y = x + 1", "y = x\n        if y:\n            y += 2")
    assert chapter == "02"
    source, chapter = mutants.mutate(SOURCE, [("return x", "return 2 * x", 1), ("x + 1", "x", 2)])
    assert source == SOURCE.replace("return x", "return 2 * x").replace("x + 1", "x")
    assert chapter == "04"


def test_a_mistake_may_be_in_what_all_frameworks_share(tmp_path):
    (tmp_path / "d2l_ext").mkdir()
    paths = mutants.modules(tmp_path, "pytorch")
    for path, text in zip(paths, (SOURCE, SOURCE.replace("x + 1", "x - 1"))):
        path.write_text(text)
    source, chapter = mutants.mutate(mutants.joined(paths), [("return x - 1", "return x", 1)])
    assert chapter == "04"
    own, shared = source.split(mutants.SEPARATOR)
    assert own == SOURCE and shared.endswith("        return x\n")


@pytest.mark.parametrize(("find", "there"), [("x + 1", 2), ("x + 2", 0)])
def test_text_that_is_not_there_once_is_named(find, there):
    with pytest.raises(mutants.StaleData, match=rf"is there {there} times instead of 1: x \+"):
        mutants.mutate(SOURCE, [(find, "x", 1)])


def test_the_tests_of_a_chapter_come_first_and_none_is_forgotten():
    files = mutants.ordered("04")
    assert files[0] == "tests/test_seq2seq.py"
    with_models = {
        f"tests/{path.name}"
        for path in (ROOT / "tests").glob("test_*.py")
        if "framework.d2l" in path.read_text(encoding="utf-8")
    } - {f"tests/test_{name}.py" for name in ("environment", "device", "views")}
    # imports, places, pages: no values
    files = [name.partition("::")[0] for name in files]  # of the workers' tests, one
    assert set(files) == with_models and len(files) == len(with_models)
    assert set(mutants.FIRST.values()) <= set(mutants.TESTS)


def test_what_caught_a_mutant_before_is_tried_first():
    test = "test_masked_softmax.py::test_masked_softmax_leaves_its_input_alone"
    gone = "test_masked_softmax.py::test_that_nobody_kept"
    assert mutants.likely_test({("m", "jax"): test}, "m", "jax") == f"tests/{test}"
    found = {("m", "jax"): gone, ("m", "mxnet"): test, ("n", "jax"): "survived"}
    assert mutants.likely_test(found, "m", "jax") == f"tests/{test}"
    assert mutants.likely_test(found, "n", "jax") is None


# The verdict -------------------------------------------------------------------------------------

PASSES = "def test_a():\n    pass\n"
VERDICTS = {
    "survived": (PASSES, ""),
    "caught": (f"{PASSES}\ndef test_b():\n    assert 1 == 2\n", "test_toy.py::test_b"),
    "timeout": (f"{PASSES}\ndef test_b():\n    import time\n    time.sleep(60)\n", ""),
    "broken": (f"import nowhere\n\n{PASSES}", ""),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_tests_give_the_verdict(tmp_path, verdict):
    """A mutant counts as caught if a test fails, not if the tests cannot run."""
    text, test = VERDICTS[verdict]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").touch()  # as in the project
    (tmp_path / "tests" / "test_toy.py").write_text(text)
    limit = 3 if verdict == "timeout" else 60
    worker = mutants.Worker(tmp_path, "pytorch", {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    outcome = worker.run(["tests/test_toy.py"], limit)
    assert (outcome.verdict, outcome.test) == (verdict, test), outcome.output
    # The next mutant, in the same process unless that had to be ended
    (tmp_path / "tests" / "test_toy.py").write_text(f"# {verdict}\n{PASSES}")
    outcome = worker.run(["tests/test_toy.py"], 60)
    worker.close()
    assert (outcome.verdict, outcome.test) == ("survived", ""), outcome.output


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("FAILED tests/test_x.py::test_y[jax-1] - assert 1 == 2", ("caught", "test_x.py::test_y")),
        (
            "FAILED tests/test_x.py::test_y[a b] - AssertionError: ",
            ("caught", "test_x.py::test_y"),
        ),
        ("FAILED tests/test_x.py::test_y - Failed: DID NOT", ("caught", "test_x.py::test_y")),
        ("ERROR tests/test_x.py::test_y - AssertionError: ", ("caught", "test_x.py::test_y")),
        ("FAILED tests/test_x.py::test_y - NameError: name", ("broken", "")),
        ("FAILED tests/test_x.py::test_y[a b] - ValueError: x", ("broken", "")),
        ("no summary at all", ("broken", "")),
    ],
)
def test_a_mutant_that_crashes_is_broken(line, verdict):
    assert mutants.judge(1, f"...\n{line}\n1 failed") == verdict


def test_an_interrupt_ends_the_tests_and_removes_the_copies(tmp_path):
    code = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(ROOT)!r})
from tests import mutants
def slow(worker, *args):
    (worker.root / "tests/test_slow.py").write_text(
        "def test_slow():\\n    import time\\n    time.sleep(100)\\n"
    )
    threading.Timer(4, os.kill, [os.getpid(), signal.SIGTERM]).start()
    return worker.run(["tests/test_slow.py"], 100)
mutants.run_mutant = slow
signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGINT may be ignored here
mutant = mutants.Mutant("m", "", {{"pytorch": []}}, {{}})
mutants.run_all([mutant], ["pytorch"], 1, False, {{}})
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "KeyboardInterrupt" in done.stderr, done.stderr
    assert list(tmp_path.iterdir()) == []
