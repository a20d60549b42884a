"""Assignments: the source notebooks of exercises, and what the real nbgrader makes of them."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import EXERCISE, Toy, make
from nbgrader.nbgraderformat import MetadataValidator
from traitlets.config import PyFileConfigLoader

from tabbook import assignments, source
from tabbook.project import FRAMEWORKS

NAME = "02_toy"
BODY = f"""# Toy

```python
#@save
import math
```

```python
print(math.pi)
```

{EXERCISE}"""
OTHER = EXERCISE.replace("double", "twice").replace("as [above](#scaling)", "again")
IDS = ["double-task", "double", "double-tests", "double-hidden"]


def written(toy: Toy, framework: str = "jax", step: str = "source") -> nbformat.NotebookNode:
    """A notebook in one of the steps of nbgrader's course folder."""
    path = toy.root / "build" / "assignments" / framework / step / NAME / f"{NAME}.ipynb"
    return nbformat.read(path, as_version=4)


def make_assignments(toy: Toy, *arguments: str) -> list[str]:
    """Run the command; what it prints."""
    done = toy.run("assignments", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A toy whose JAX assignment nbgrader has released; not to be changed."""
    toy = make(tmp_path_factory.mktemp("released"))
    toy.write(NAME, BODY)
    make_assignments(toy)
    # nbgrader calls alembic, which lies beside Python
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", "generate_assignment", NAME],
        cwd=toy.root / "build" / "assignments" / "jax",
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr and "WARNING" not in done.stderr, done.stderr
    return toy


def test_source_notebook(released):
    for framework in FRAMEWORKS:
        notebook = written(released, framework)
        nbformat.validate(notebook)
        MetadataValidator().validate_nb(notebook)
        assert notebook.metadata.tabbook.framework == framework
        assert notebook.metadata.kernelspec.name == "python3"
        head, imports, *cells = notebook.cells
        assert [head.id, imports.id] == ["assignment-head", "assignment-imports"]
        assert head.source.startswith("# Exercises: Toy\n\nWrite your code where it says")
        assert "* Twice as much: 5 points" in head.source
        module = FRAMEWORKS[framework].module  # no #@save
        assert imports.source == f"from d2l_ext import {module} as d2l\n\nimport math"
        assert [cell.id for cell in cells] == IDS
        assert [cell.metadata.nbgrader.grade_id for cell in cells] == IDS
        keys = ("grade", "solution", "locked", "points")
        assert [[c.metadata.nbgrader.get(key) for key in keys] for c in cells] == [
            [False, False, True, None],
            [False, True, False, None],
            [True, False, True, 2],
            [True, False, True, 3],
        ]
        solution = "2 * x" if framework == "jax" else "x + x"
        assert f"### BEGIN SOLUTION\n    return {solution}\n    ### END" in cells[1].source
        assert cells[3].source == (
            "# More tests run here when your work is graded.\n### BEGIN HIDDEN TESTS\n"
            'assert double(-1) == -2, "twice -1 is -2"\n### END HIDDEN TESTS'
        )


def test_students_copy(released):
    before, after = written(released).cells, written(released, step="release").cells
    assert [cell.id for cell in after] == [cell.id for cell in before]
    assert [c.metadata.nbgrader.grade_id for c in after[2:]] == IDS
    assert all(len(cell.metadata.nbgrader.checksum) == 32 for cell in after[2:])
    text = "\n".join(cell.source for cell in after)
    for secret in ("2 * x", "twice -1", "SOLUTION", "HIDDEN"):
        assert secret in "\n".join(cell.source for cell in before)
        assert secret not in text
    _, imports, task, solution, tests, hidden = after
    assert hidden.source == "# More tests run here when your work is graded."
    assert solution.metadata.get("editable", True)
    for locked in (imports, task, tests, hidden):
        assert locked.metadata.editable is False
    names = {}
    exec(solution.source, names)
    with pytest.raises(NotImplementedError, match="write it in place of this line"):
        exec(tests.source, names)


def test_again_changes_nothing(released, toy):
    before = released.files()
    assert make_assignments(released) == []
    assert released.files() == before
    toy.write(NAME, BODY)
    make_assignments(toy)
    for framework in FRAMEWORKS:
        assert written(toy, framework) == written(released, framework)


def test_another_text_has_the_same_ids(released, toy):
    changed = BODY.replace("twice 3 is 6", "three").replace("as much", "as many")
    toy.write(NAME, changed.replace("2 * x", "x * 2"))
    make_assignments(toy, "--framework", "jax")
    after = written(toy).cells
    assert [cell.id for cell in after] == [cell.id for cell in written(released).cells]
    assert [cell.source for cell in after] != [cell.source for cell in written(released).cells]
    assert [path.name for path in (toy.root / "build" / "assignments").iterdir()] == ["jax"]


def test_a_chapter_that_has_none_any_more(toy):
    toy.write(NAME, BODY)
    toy.write("03_toy", OTHER)
    out = toy.root / "course"
    make_assignments(toy, "--out", "course")
    own = out / "jax" / "source" / "03_toy" / "own.ipynb"
    nbformat.write(nbformat.v4.new_notebook(), own)
    (out / "jax" / "course_config.py").write_text("# mine\n")
    toy.write("03_toy", "Prose.\n")
    assert make_assignments(toy, "--out", "course", "--chapter", "02") == []
    assert make_assignments(toy, "--out", "course", "--framework", "jax") == [
        "course/jax/source/03_toy/03_toy.ipynb removed"
    ]
    assert own.exists()
    assert (out / "jax" / "course_config.py").read_text() == "# mine\n"
    assert (out / "mxnet" / "source" / "03_toy").exists()
    make_assignments(toy, "--out", "course")
    assert not (out / "mxnet" / "source" / "03_toy").exists()
    assert (out / "mxnet" / "source" / NAME / f"{NAME}.ipynb").exists()


def test_a_chosen_chapter_without_exercises(toy):
    toy.write(NAME, BODY)
    toy.write("03_toy", "Prose.\n")
    done = toy.run("assignments", "--chapter", "03")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "notebooks/03_toy.md: no exercises to write; see docs/authoring.md for how to add one\n"
    )


def test_an_exercise_stands_without_the_others(toy):
    toy.write(NAME, f"{BODY}\n" + OTHER.replace("assert twice(3)", "assert double(3) == twice(3)"))
    done = toy.run("assignments")
    assert done.returncode == 1
    assert "exercise 'twice': Undefined name `double`: only the chapter's first" in done.stderr
    toy.write(NAME, f"{BODY}\n{OTHER}")
    make_assignments(toy)
    assert [cell.id for cell in written(toy).cells][6:] == [
        name.replace("double", "twice") for name in IDS
    ]


def test_mxnet_gets_its_switch(toy):
    switch = '```python tab="mxnet"\nnpx.set_np()  # arrays\n```\n'
    others = '```python tab="pytorch, jax, tensorflow"\nx = 1\n```\n'
    toy.write(NAME, BODY + "\n" + switch + others)
    make_assignments(toy)
    imports = written(toy, "mxnet").cells[1].source
    assert imports.endswith("import math\n\nfrom mxnet import npx\n\nnpx.set_np()")
    assert not any("set_np" in cell.source for cell in written(toy, "jax").cells)
    body = BODY.replace("#@save\nimport math", "import math\n\nfrom mxnet import npx")
    toy.write(NAME, body + "\n" + switch + others)
    make_assignments(toy, "--framework", "mxnet")
    assert written(toy, "mxnet").cells[1].source.endswith("import npx\n\nnpx.set_np()")


def test_course_config(released, tmp_path):
    folder = released.root / "build" / "assignments" / "mxnet"
    text = (folder / "nbgrader_config.py").read_text()
    (tmp_path / "nbgrader_config.py").write_text(text)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(tmp_path)).load_config()
    assert config.CourseDirectory == {
        "course_id": "d2l-ext-mxnet",
        "root": str(tmp_path),
        "db_url": f"sqlite:///{tmp_path}/gradebook.db",
    }
    stub = config.ClearSolutions.code_stub["python"]
    assert stub.startswith("# YOUR CODE HERE\nraise NotImplementedError(")
    (tmp_path / "course_config.py").write_text(
        'c = get_config()\nc.CourseDirectory.course_id = "mine"\n'
    )
    config = PyFileConfigLoader("nbgrader_config.py", path=str(tmp_path)).load_config()
    assert config.CourseDirectory.course_id == "mine"
    assert config.ClearSolutions.code_stub["python"] == stub


@pytest.mark.parametrize(
    ("prose", "expected"),
    [
        ("[four](04_x.md#loss)", "[four](WEB/notebooks/jax/04_x.ipynb#loss)"),
        ("[`f`](../README.md)", "[`f`](WEB/README.md)"),
        ("[d2l](https://d2l.ai/a.md)", "[d2l](https://d2l.ai/a.md)"),
        ("`a[i](x)`, $h[t](x)$", "`a[i](x)`, $h[t](x)$"),
    ],
)
def test_links_of_a_task(toy, prose, expected):
    web = "https://github.com/a/b/blob/dev"
    (toy.root / "pyproject.toml").write_text(
        '[tool.tabbook]\nrepository = "https://github.com/a/b"\nbranch = "dev"\n'
    )
    chapter = source.Chapter(NAME, "", (), {})
    assert assignments.standalone(toy.project, chapter, "jax", prose) == expected.replace(
        "WEB", web
    )
    toy.write(NAME, BODY)
    chapter = source.read(toy.project, NAME)
    head = assignments.notebook(toy.project, chapter, "jax").cells[0].source
    assert f"({web}/notebooks/jax/02_toy.ipynb)" in head
