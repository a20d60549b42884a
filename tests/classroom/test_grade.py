"""The class run with the real nbgrader: one class that does its worst, then its grades."""

import csv
import json
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from classroom import damage
from classroom.grade import Row, read_report, size, write_report
from tests.classroom.small_course import (
    ASSIGNMENT,
    RIGHT,
    Submission,
    grade,
    make,
    nbgrader_command,
    source_notebook,
)

WRONG = "def double(x):\n    return x"

SPY = """
import glob, json, os, socket
found = []
for pattern in PATTERNS:
    found += glob.glob(pattern)
for name in ("TEACHERS_SECRET",):
    if name in os.environ:
        found.append(name)
for root, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if (root, f) not in (("/", "proc"), ("/", "sys"), ("/", "usr"))]
    if ".venv" in root:
        folders[:] = []
    found += [os.path.join(root, n) for n in names if n in SECRETS]
try:
    socket.create_connection(("127.0.0.1", PORT), timeout=2)
    found.append("network")
except OSError:
    pass
try:
    open("/usr/lib/x", "w")
    found.append("writes")
except OSError:
    pass
print(json.dumps(found))
"""

CHEAT = """
import builtins, sys, types
import numpy
from classroom import checks
checks.double = lambda function: None
fake = types.ModuleType("classroom.checks")
fake.double = fake.mean = lambda function: None
sys.modules["classroom.checks"] = sys.modules["classroom"].checks = fake
numpy.testing.assert_allclose = lambda *args, **kwargs: None
numpy.allclose = lambda *args, **kwargs: True
builtins.AssertionError = type("Fine", (BaseException,), {})
builtins.abs = builtins.len = lambda x: 0
class np:
    float64 = float
    testing = numpy.testing
"""


def submit_all(course):
    """Hands in one notebook for each kind of student."""
    anna = Submission(course, "anna")
    anna["double"].source += "\n\nimport warnings\nwarnings.warn('right, but loud')"
    anna["mean"].source = "import sys\n" + RIGHT["mean"].replace(
        "    return", "    print('loud', file=sys.stderr)\n    return"
    )
    anna.write()
    Submission(course, "untouched", solved=False).write()

    loop = Submission(course, "loop")
    loop["double"].source = "def double(x):\n    while True:\n        pass"
    loop.write()

    stubborn = Submission(course, "stubborn")
    stubborn["mean"].source += (
        "\nwhile True:\n    try:\n        while True: pass\n    except KeyboardInterrupt: pass"
    )
    stubborn.write()

    hoard = Submission(course, "hoard")
    hoard["double"].source += "\nhoard = []\nwhile True:\n    hoard.append(np.ones(10**7))"
    hoard.write()

    long_list = Submission(course, "long-list")
    long_list["mean"].source = "def mean(x):\n    return [0] * 10**10"
    long_list.write()

    leaves = Submission(course, "leaves")
    leaves["double"].source = "import os\ndef double(x):\n    os._exit(0)"
    leaves["mean"].source = "def mean(x):\n    return total(x) / len(x) if len(x) else 0"
    leaves.cells.insert(2, new_code_cell("def total(x):\n    return sum(x)"))
    leaves.write()

    forks = Submission(course, "forks")
    forks["double"].source = (
        "import os, time\ndef double(x):\n    for _ in range(200):\n        if os.fork() == 0:\n"
        "            time.sleep(60)\n            os._exit(0)\n    time.sleep(2)\n    return 2 * x"
    )
    forks.write()

    deletes = Submission(course, "deletes")
    deletes.cells[deletes.index("double")] = new_code_cell(RIGHT["double"])
    for name in ("double-tests", "double-hidden", "mean-hidden"):
        del deletes.cells[deletes.index(name)]
    deletes.write()

    copies = Submission(course, "copies")
    copies["double"].source = WRONG
    for name in ("mean", "double-tests", "double-hidden"):
        copy = copies[name].copy()
        copy.source = "pass"
        copies.cells.insert(copies.index(name), copy)
    copies.write()

    edits = Submission(course, "edits")
    edits["double"].source = WRONG
    edits["double-tests"].source = "assert True"
    edits["double-hidden"].metadata.tags = ["skip-execution"]
    edits["mean-tests"].metadata.nbgrader.points = 100
    edits["mean-hidden"].metadata.nbgrader.grade = False
    edits.write()

    moves = Submission(course, "moves")
    first, second = moves.index("double-task"), moves.index("mean-task")
    moves.cells[first:] = moves.cells[second:] + moves.cells[first:second]
    moves.write()

    cheat = Submission(course, "cheat")
    cheat["double"].source = WRONG + CHEAT
    cheat["mean"].source = "def mean(x):\n    return 0"
    cheat.write()

    number = Submission(course, "number")
    number["double"].source = (
        "from IPython.core.displayhook import DisplayHook\ndef double(x):\n"
        "    get_ipython().displayhook(3.0)\n    return x"
    )
    number.write()

    prints = Submission(course, "prints")
    prints.cells.insert(2, new_code_cell("while True:\n    print('x' * 10_000)"))
    prints.write()

    spy = Submission(course, "spy")
    spy.cells.append(new_code_cell("pass"))  # its text: see the test
    spy.write()

    Submission(course, "not-json").write(text="<html>The server is down</html>")
    Submission(course, "empty").write(text="")
    Submission(course, "nothing")
    renamed = Submission(course, "renamed")
    renamed.write(f"{ASSIGNMENT}-Copy1.ipynb")
    Submission(course, "other").write(
        text=nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")]))
    )
    link = Submission(course, "link")
    (link.folder / f"{ASSIGNMENT}.ipynb").symlink_to(course / "source" / ASSIGNMENT)


EXPECTED = {  # points of 10, and words of the report
    "anna": (10, ""),
    "untouched": (0, ""),
    "loop": (5, "double-tests: stopped after 3 s"),
    "stubborn": (5, "mean: stopped after 3 s, and could only be killed"),
    "hoard": (5, "double: no memory left"),
    "long-list": (5, "mean-tests: no memory left"),
    "leaves": (5, "double-tests: the kernel died"),
    "forks": (5, ""),
    "deletes": (10, "double-tests was missing"),
    "copies": (5, "double-tests was there 2 times"),
    "edits": (5, "the text of double-tests had been changed"),
    "moves": (10, "had been moved"),
    "cheat": (0, ""),
    "number": (5, ""),
    "prints": (10, ""),
    "spy": (10, ""),
    "not-json": (None, "not JSON"),
    "empty": (None, "is empty"),
    "nothing": (None, "no notebook at all"),
    "renamed": (None, f"there is {ASSIGNMENT}-Copy1.ipynb: rename it"),
    "other": (None, "holds no cell of this assignment"),
    "link": (None, "is missing"),
}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course's folder, after the class run; .status and .printed are the run's."""
    folder = tmp_path_factory.mktemp("course")
    make(folder)
    submit_all(folder)
    status, printed = grade(folder, "--timeout", "3", "--memory", "1G")
    return folder, status, printed


def gradebook(folder):
    """{student: points} as nbgrader exports them."""
    nbgrader_command(folder, "export", "--to", "grades.csv")
    with (folder / "grades.csv").open() as file:
        return {line["student_id"]: float(line["score"]) for line in csv.DictReader(file)}


def test_everybody_loses_their_own_points_only(course):
    folder, status, printed = course
    report = read_report(folder / f"report-{ASSIGNMENT}.csv")
    assert sorted(report) == sorted(EXPECTED)
    wrong = {
        name: report[name]
        for name, (points, words) in EXPECTED.items()
        if report[name].points != f"{points or 0}"
        or report[name].maximum != "10"
        or report[name].state != ("graded" if points is not None else "NOT GRADED")
        or words not in report[name].happened
    }
    assert not wrong, printed
    assert status == 1  # some were not graded
    for name, row in report.items():
        assert any(line.split()[0] == name and row.state in line for line in printed.splitlines()[2:]
                   if line.split())
    assert gradebook(folder) == {name: points or 0 for name, (points, _) in EXPECTED.items()}
