"""A small nbgrader course, NumPy only: two exercises, and a class that does its worst.

The hidden tests of `double` are those in Chinese, as in a Chinese assignment.
"""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ASSIGNMENT = "01_small"

CHECKS = """
import numpy
import numpy.testing


def double(function):
    got = function(numpy.array([1.0, -2.0]))
    assert numpy.allclose(got, [2.0, -4.0]), f"[1, -2] gives {got}: not twice as much"  # hush


def mean(function):
    numpy.testing.assert_allclose(function([2, 4, 9]), 5)
    assert function([]) == 0, "the mean of nothing is 0"
"""

CHINESE = """
msgid "[1, -2] gives {got}: not twice as much"
msgstr "[1, -2] 得到 {got}：不是两倍"
"""

SOLUTIONS = {
    "double": "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION",
    "mean": "def mean(x):\n    ### BEGIN SOLUTION\n    return sum(x) / len(x) if len(x) else 0\n"
    "    ### END SOLUTION",
}
VISIBLE = {
    "double": "assert double(np.float64(3)) == 6",
    "mean": "np.testing.assert_allclose(mean([1, 2, 6]), 3)",
}
RIGHT = {
    "double": "def double(x):\n    return x + x",
    "mean": "def mean(x):\n    return np.mean(x) if len(x) else 0",
}


def nbgrader(name, **facts):
    facts = {"grade": False, "locked": False, "solution": False, "task": False, **facts}
    return {"nbgrader": {"grade_id": name, "schema_version": 3, **facts}}


def source_notebook():
    """The teacher's notebook: 2 exercises, each of 2 visible and 3 hidden points."""
    cells = [new_markdown_cell("# Small"), new_code_cell("import numpy as np")]
    for name, package in zip(SOLUTIONS, ("classroom.zh_CN", "classroom")):
        hidden = (
            f"# hidden tests\n### BEGIN HIDDEN TESTS\nfrom {package} import checks\n\n"
            f"checks.{name}({name})\n### END HIDDEN TESTS"
        )
        tests = {"grade": True, "locked": True}
        cells += [
            new_markdown_cell(f"### {name}", metadata=nbgrader(f"{name}-task", locked=True)),
            new_code_cell(SOLUTIONS[name], metadata=nbgrader(name, solution=True)),
            new_code_cell(VISIBLE[name], metadata=nbgrader(f"{name}-tests", points=2, **tests)),
            new_code_cell(hidden, metadata=nbgrader(f"{name}-hidden", points=3, **tests)),
        ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def make(folder):
    """Writes the course and has nbgrader generate the assignment."""
    source = folder / "source" / ASSIGNMENT
    source.mkdir(parents=True)
    nbformat.write(source_notebook(), source / f"{ASSIGNMENT}.ipynb")
    (folder / "nbgrader_config.py").write_text(
        'c = get_config()\nc.CourseDirectory.course_id = "x"\n'
    )
    (folder / "checks.py").write_text(CHECKS)
    (folder / "zh_CN").mkdir()
    (folder / "zh_CN" / "checks.po").write_text(CHINESE, encoding="utf-8")
    nbgrader_command(folder, "generate_assignment", ASSIGNMENT)


def nbgrader_command(folder, *arguments):
    """Runs nbgrader in the course's folder."""
    ran = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stderr


def grade(folder, *arguments):
    """Runs the class run; gives (status, what it printed)."""
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "classroom", "grade", ASSIGNMENT, "--course", str(folder)]
    ran = subprocess.run(
        [*command, "--checks", str(folder / "checks.py"), *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        env={**os.environ, "TEACHERS_SECRET": "secret-of-the-teacher"},
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, ran.stdout + ran.stderr


class Submission:
    """A student's notebook, from the release, both exercises solved."""

    def __init__(self, course, student, solved=True):
        self.folder = course / "submitted" / student / ASSIGNMENT
        self.folder.mkdir(parents=True)
        release = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
        self.cells = deepcopy(nbformat.read(release, as_version=4).cells)
        for name in RIGHT if solved else ():
            self[name].source = RIGHT[name]

    def __getitem__(self, name):
        return self.cells[self.index(name)]

    def index(self, name):
        """Where the cell with this grade id stands."""
        names = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in self.cells]
        return names.index(name)

    def write(self, name=f"{ASSIGNMENT}.ipynb", text=None):
        """Hands it in; `text` instead of the notebook."""
        if text is None:
            text = json.dumps(new_notebook(cells=self.cells))
        (self.folder / name).write_text(text)
