"""The check and nbval: each way in which a derived file can be wrong makes one of them fail."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from conftest import EXERCISE, REPOSITORY

NOTEBOOK = "notebooks/jax/02_toy.ipynb"


def change(toy, edit) -> None:
    """Edit the toy's JAX notebook."""
    path = toy.root / NOTEBOOK
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)


def problems(toy) -> list[str]:
    """What the check says; it says so with exit status 1."""
    done = toy.run("check")
    assert done.returncode == (1 if done.stderr else 0)
    return done.stderr.splitlines()


def test_executed_chapter_passes(executed):
    done = executed.run("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "derived files are what the sources give\n"


def test_library(executed):
    torch, jax = executed.project.library("pytorch"), executed.project.library("jax")
    torch.write_text(torch.read_text() + "# by hand\n")
    jax.unlink()
    assert problems(executed) == [
        "d2l_ext/torch.py: not what the chapters save (edited by hand?); run 'make build'",
        "d2l_ext/jax.py: missing; run 'make build'",
    ]


def test_stale_source(executed):
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace("# Toy", "# Other"))
    found = problems(executed)
    for framework in ("pytorch", "mxnet", "jax", "tensorflow"):
        start = f"notebooks/{framework}/02_toy.ipynb, cell 3: stale: its "
        assert f"{start}source is not the chapter's; run 'make notebooks'" in found
        assert f"{start}id is not the chapter's; run 'make notebooks'" in found


def test_added_cell(executed):
    path = executed.project.source("02_toy")
    path.write_text(path.read_text() + "\n```python\nx = 1\n```\n")
    stale = f"{NOTEBOOK}: stale: 8 cells, the chapter has 9; run 'make notebooks'"
    assert stale in problems(executed)
    executed.run("build")
    never = f"{NOTEBOOK}, cell 9: not executed in order (count never, not 7); run 'make notebooks'"
    assert never in problems(executed)


def test_missing_broken_and_left_over_notebooks(executed):
    (executed.root / NOTEBOOK).unlink()
    (executed.root / "notebooks/mxnet/02_toy.ipynb").write_text("{")
    shutil.copy(
        executed.root / "notebooks/pytorch/02_toy.ipynb",
        executed.root / "notebooks/pytorch/07_gone.ipynb",
    )
    assert problems(executed) == [
        "notebooks/mxnet/02_toy.ipynb: not a notebook; run 'make notebooks'",
        f"{NOTEBOOK}: missing; run 'make notebooks'",
        "notebooks/pytorch/07_gone.ipynb: no chapter gives this notebook; delete it",
    ]


def test_too_much_code_without_a_sentence(executed):
    """Counted as a tab's reader meets it; what is folded, blank or a docstring does not count."""
    path = executed.project.source("02_toy")
    before = path.read_text()
    lines = "\n\n".join(f"x{n} = {n}" for n in range(21))
    function = 'def f():\n    """One.\n\n    Two.\n    """\n    return 1'
    shared, own = f"```python\n{function}\n```\n", f'```python tab="jax"\n{lines}\n```\n'
    others = '```python tab="pytorch, mxnet, tensorflow"\ny = 1\n```\n'

    def found(*cells):
        path.write_text("\n".join([before, "A sentence.\n", *cells]))
        return [line for line in problems(executed) if "without a sentence" in line]

    assert found(shared, own, others, own, others) == [
        "notebooks/02_toy.md, cell 13 (line 69): 44 lines of code without a sentence in tab jax "
        "(40 at most, docstrings not counted); fold, cut or explain"
    ]
    assert found(shared, own, others, "A sentence.\n", own, others) == []
    folded = own.replace('"jax"', '"jax" fold="counting"')
    assert found(shared, own, others, folded, others) == []


def output(text: str, name: str = "stdout"):
    """An edit that gives the print cell another output."""

    def edit(notebook):
        notebook.cells[4].outputs = [nbformat.v4.new_output("stream", name=name, text=text)]

    return edit


def error(notebook):
    notebook.cells[4].outputs = [
        nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
    ]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda notebook: notebook.cells[4].update(execution_count=None),
            "cell 5: not executed in order (count never, not 3); run 'make notebooks'",
        ),
        (
            lambda notebook: notebook.cells[4].update(execution_count=9),
            "cell 5: not executed in order (count 9, not 3); run 'make notebooks'",
        ),
        (
            lambda notebook: notebook.cells[4].update(source="pass"),
            "cell 5: stale: its source is not the chapter's; run 'make notebooks'",
        ),
        (
            lambda notebook: notebook.cells[4].metadata.update(tags=["nbval-ignore-output"]),
            "cell 5: stale: its metadata is not the chapter's; run 'make notebooks'",
        ),
        (error, "cell 5: stored error ValueError: no; mend it and run 'make notebooks'"),
        (
            output("a.py:1: UserWarning: old\n  x\n", "stderr"),
            "cell 5: stored warning 'a.py:1: UserWarning: old'; mend its cause and run 'make note",
        ),
        (
            output("saved to /home/ann/a.txt\n"),
            "cell 5: stored path of a machine '/home/ann/a.txt'; don't print it, and run 'make no",
        ),
        (
            output("<object object at 0x7f0a1b2c3d4e>\n"),
            "cell 5: stored object address 'at 0x7f0a1b2c3d4e'; don't print it, and run 'make not",
        ),
    ],
)
def test_edited_notebook(executed, edit, message):
    change(executed, edit)
    found = problems(executed)
    assert len(found) == 1
    assert found[0].startswith(f"{NOTEBOOK}, {message}")


def picture(notebook):
    data = {"image/png": "AAAA", "text/plain": "<Figure>"}
    notebook.cells[4].outputs += [nbformat.v4.new_output("display_data", data=data)]


def test_alt_text_of_pictures(executed):
    change(executed, picture)
    missing = (
        f'{NOTEBOOK}, cell 5: a picture without alt text; add alt="..." to its cell in '
        "notebooks/02_toy.md, run 'make build'"
    )
    assert problems(executed) == [missing]
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace("```python\ndef", '```python alt="A bar."\ndef'))
    assert executed.run("build").returncode == 0
    useless = (
        "notebooks/{}/02_toy.ipynb, cell 5: alt text without a picture; take alt out of its cell "
        "in notebooks/02_toy.md, run 'make build'"
    )
    assert problems(executed) == [
        useless.format(name) for name in ("pytorch", "mxnet", "tensorflow")
    ]


def test_seconds_of_a_run_may_be_there_or_not(executed):
    change(executed, lambda notebook: notebook.metadata.tabbook.pop("seconds"))
    assert problems(executed) == []


def test_notebook_of_another_framework(executed):
    shutil.copy(executed.root / "notebooks/mxnet/02_toy.ipynb", executed.root / NOTEBOOK)
    metadata = f"{NOTEBOOK}: its metadata are not 02_toy's in jax; run 'make notebooks'"
    assert metadata in problems(executed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "from d2l_ext import jax as d2l",
            "from d2l_ext import torch as d2l",
            "notebooks/02_toy.md, cell 3 (line 24): tab jax imports d2l_ext.torch; write 'from "
            "d2l_ext import jax as d2l'",
        ),
        (
            "from d2l_ext import jax as d2l",
            "import d2l_ext.tensorflow as d2l",
            "notebooks/02_toy.md, cell 3 (line 24): tab jax imports d2l_ext.tensorflow; write "
            "'from d2l_ext import jax as d2l'",
        ),
        (
            "from d2l_ext import jax as d2l",
            "import math as d2l",
            "notebooks/02_toy.md: tab jax never imports its library; add 'from d2l_ext import jax "
            "as d2l'",
        ),
        (
            "# Toy",
            "# Toy\n\n![Layers](img/layers.svg)",
            "notebooks/02_toy.md, cell 5 (line 31): link to 'img/layers.svg', which is not there; "
            "mend it",
        ),
        (
            'tab = "jax"',
            "tab = 'jax'",
            "notebooks/02_toy.md, cell 8 (line 49): not formatted; run 'python -m tabbook format'",
        ),
        (
            'tab = "jax"',
            'tab = "jax"  # ' + "-" * 80,
            "notebooks/02_toy.md, cell 8 (line 49): E501 Line too long (95 > 79) (ruff)",
        ),
        (
            "print(CORPUS, d2l.scale(0))",
            "print(CORPUS, d2l.scale(nothing))",
            "notebooks/02_toy.md, cell 11 (line 63): F821 Undefined name `nothing` (ruff)",
        ),
    ],
)
def test_chapter(executed, old, new, message):
    path = executed.project.source("02_toy")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    found = problems(executed)
    assert found.count(message) == 1, found


def test_methods_of_two_classes_may_have_one_name(executed):
    """Two functions of a cell may not; that a class has a method twice, the library refuses."""
    path = executed.project.source("02_toy")
    methods = "".join(
        f"\n\n@d2l.add_to_class({name})\ndef call(self):\n    return '{name}'\n" for name in "AB"
    )
    code = f"class A:\n    pass\n\n\nclass B:\n    pass\n{methods}"
    plain = "\n\ndef other():\n    return 1\n" * 2
    text = path.read_text()
    path.write_text(text.replace("print(CORPUS, d2l.scale(0))", code + plain))
    found = [problem for problem in problems(executed) if "F811" in problem]
    assert found and all("`other`" in problem for problem in found), found


def test_source_that_breaks_a_rule(executed):
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace('tab="jax"', 'tab="jaxx"'))
    assert problems(executed)[0].startswith("notebooks/02_toy.md, cell 3 (line 24): unknown tab")


def test_format_mends_what_check_complains_about(executed):
    path = executed.project.source("02_toy")
    before = path.read_text()
    path.write_text(
        before.replace('tab = "jax"\ntab', "tab='jax'\ntab").replace("):  #", " ) :  #")
    )
    assert path.read_text() != before
    assert executed.run("format", "--chapter", "02").stdout == "notebooks/02_toy.md\n"
    assert path.read_text() == before
    assert executed.run("format").stdout == ""


def test_format_and_check_know_the_cells_of_exercises(toy):
    badly = EXERCISE.replace("x + x", "x+x").replace("double(-1) == -2", "double( -1 )==-2")
    badly = badly.replace("return 2 * x", "return [y*2\n        for y in x]")
    path = toy.write("02_toy", badly)
    assert toy.run("build").returncode == 0
    place = "notebooks/02_toy.md, cell {}: not formatted; run 'python -m tabbook format'"
    assert [line for line in problems(toy) if "formatted" in line] == [
        place.format(f"{cell} (line {line})") for cell, line in [(6, 38), (7, 47), (9, 59)]
    ]
    assert toy.run("format").stdout == "notebooks/02_toy.md\n"
    written = "    ### BEGIN SOLUTION\n    return [y * 2 for y in x]\n    ### END SOLUTION\n"
    assert path.read_text().endswith(
        EXERCISE.replace(
            "    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n", written
        )
    )
    path.write_text(path.read_text().replace("assert double(-1)", "assert doubled(-1)"))
    hidden = "notebooks/02_toy.md, cell 9 (line 58): "
    found = problems(toy)
    assert f"{hidden}F821 Undefined name `doubled` (ruff)" in found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "Write `double(x)`",
            "Write `double(x)` ![of the picture](img/a.svg)",
            "notebooks/02_toy.md, cell 6 (line 38): '![' in a task: students get the notebook "
            "alone; say it in words, and link with [text](file)",
        ),
        (
            "Write `double(x)`",
            'Write `double(x)` <img src="img/a.svg">',
            "notebooks/02_toy.md, cell 6 (line 38): '<img' in a task: students get the notebook "
            "alone; say it in words, and link with [text](file)",
        ),
        (
            "assert double(3) == 6",
            "assert double(three) == 6",
            "notebooks/02_toy.md, cell 9 (line 58): exercise 'double': Undefined name `three`: "
            "only the chapter's first cells of imports and the exercise's own are there; define "
            "it in the exercise",
        ),
    ],
)
def test_exercise_that_a_student_cannot_work_at_alone(toy, old, new, message):
    assert EXERCISE.count(old) == 1
    three = "```python\nthree = 3\n```\n\n"
    toy.write("02_toy", three + EXERCISE.replace(old, new))
    assert toy.run("build").returncode == 0
    assert problems(toy).count(message) == 1
    done = toy.run("assignments")
    assert (done.returncode, done.stderr) == (1, f"{message}\n")
    assert not (toy.root / "build" / "assignments").exists()


def test_nbval_runs_the_notebooks_and_finds_an_altered_output(executed):
    shutil.copy(REPOSITORY / "notebooks" / "conftest.py", executed.project.notebooks)
    path = executed.project.source("02_toy")
    silent = "```python\nd2l.scale(1);\n```\n"
    fails = '```python tags=["raises-exception"] reason="shown"\nd2l.scale("one")\n```\n'
    path.write_text(f"{path.read_text()}\n{silent}\n{fails}")
    assert executed.run("build").returncode == 0
    assert executed.run("execute", "--framework", "jax", "--framework", "mxnet").returncode == 0
    assert not [line for line in problems(executed) if NOTEBOOK in line]
    change(executed, output("1.415\n"))
    done = subprocess.run(
        [
            *[sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-rA", "-q"],
            *["-p", "no:cacheprovider", NOTEBOOK, NOTEBOOK.replace("jax", "mxnet")],
        ],
        cwd=executed.root,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    results = done.stdout.splitlines()
    failed = [line for line in results if line.startswith("FAILED")]
    assert [line.partition(" - ")[0] for line in failed] == [f"FAILED {NOTEBOOK}::Cell 2"]
    assert "'1.415\\n' == '1.414\\n'" in done.stdout
    assert sum(line.startswith("PASSED") for line in results) == 15


def test_claims_and_evidence_belong_together(executed):
    path = executed.project.source("02_toy")
    text = path.read_text()
    cell = "```python\nprint(CORPUS, d2l.scale(0))"
    path.write_text(text.replace(cell, cell.replace("python", 'python evidence="scale"', 1)))
    where = "notebooks/02_toy.md, cell 11 (line 63)"
    lonely = f"{where}: no claim of docs/claims.md names 'evidence-scale'; write it, or take "
    assert problems(executed) == [f"{lonely}evidence out"]
    page = executed.root / "docs" / "claims.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("- It scales: [cell](../notebooks/02_toy.md#evidence-scale), one training.\n")
    assert problems(executed) == []
    path.write_text(text)
    (found,) = problems(executed)
    assert found.startswith("docs/claims.md: 02_toy.md has no 'evidence-scale'; mend the link")


@pytest.mark.parametrize("name", ["", "Two words"])
def test_evidence_has_a_name(toy, name):
    toy.write("05_toy", f'```python evidence="{name}"\n1\n```\n')
    (found,) = problems(toy)
    assert f'evidence="{name}" is no name; write small letters, digits and -' in found
