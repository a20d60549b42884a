"""The class run with the real nbgrader: one class that does its worst, then its grades."""

import json
import shutil
import socket
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook

from classroom import damage
from classroom.grade import Course, GradeError, Row, read_report, size, write_report
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
seen = []
for pattern in ("/*", "/*/*", "/submitted/*", "/submitted/anna/*/*"):
    seen += glob.glob(place["course"] + pattern)
seen += glob.glob(place["home"] + "/*") + glob.glob(place["home"] + "/.ssh")
seen += [name for name in os.environ if "TEACHER" in name]
for root, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if root != "/" or name not in ("proc", "sys", "usr")]
    folders[:] = [name for name in folders if name not in ("site-packages", "lib-dynload")]
    watched = ("gradebook.db", "checks.py", "nbgrader_config.py", "shadow", "id_rsa", "tabbook")
    seen += [os.path.join(root, name) for name in names + folders if name in watched]
try:
    socket.create_connection(("127.0.0.1", place["port"]), timeout=2)
    seen.append("the network")
except OSError:
    pass
for folder in ("/usr/lib", "/opt/classroom", os.path.dirname(os.__file__)):
    try:
        open(os.path.join(folder, "spy"), "w")
        seen.append("can write to " + folder)
    except OSError:
        pass
seen += [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) > 1
         and b"classroom" in open(f"/proc/{pid}/cmdline", "rb").read()
         and int(pid) != os.getpid()]
print(json.dumps(seen))
"""

CHEAT = """
import builtins, sys, types
import numpy
from classroom.zh_CN import checks
checks.double = lambda function: None
fake = types.ModuleType("classroom.checks")
fake.double = fake.mean = lambda function: None
sys.modules["classroom.checks"] = sys.modules["classroom"].checks = fake
numpy.testing.assert_allclose = lambda *args, **kwargs: None
numpy.allclose = lambda *args, **kwargs: True
builtins.AssertionError = type("Fine", (BaseException,), {})
builtins.abs = builtins.sum = lambda x: 0
class np:
    float64 = float
    testing = numpy.testing
"""


def submit_all(course, port):
    """Hands in one notebook for each kind of student; at `port` a server of ours listens."""
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
    stubborn["mean"].source = RIGHT["mean"] + (
        "\nimport signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    pass"
    )
    stubborn.write()

    hoard = Submission(course, "hoard")
    hoard["double"].source = "hoard = []\nwhile True:\n    hoard.append(np.empty(10**7))"
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
        copy = new_code_cell("pass", metadata=copies[name].metadata)
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
    place = {"course": str(course), "port": port, "home": str(Path.home())}
    spy.cells.append(new_code_cell(f"place = {place}\n{SPY}"))
    spy.write()

    Submission(course, "not-json").write(text="<html>The server is down</html>")
    Submission(course, "empty").write(text="")
    Submission(course, "nothing")
    renamed = Submission(course, "renamed")
    renamed.write(f"{ASSIGNMENT} (1).ipynb")
    renamed.write("notes.ipynb", text=nbformat.writes(new_notebook(cells=[new_code_cell("1")])))
    twice = Submission(course, "twice")
    twice.write(f"{ASSIGNMENT} (1).ipynb")
    twice.write(f"{ASSIGNMENT} (2).ipynb")
    beside = Submission(course, "beside")
    beside.write()
    beside.write(f"{ASSIGNMENT} (1).ipynb")

    asks = Submission(course, "asks")
    asks["double"].source = "factor = int(input('by what? '))\n" + RIGHT["double"]
    asks.write()
    window = Submission(course, "window")
    window["double"].source = (
        "import matplotlib.pyplot as plt\nplt.switch_backend('QtAgg')\n" + RIGHT["double"]
    )
    window.write()
    chatter = Submission(course, "chatter")
    chatter["double"].source = "while True:\n    print('x' * 10_000)\n" + RIGHT["double"]
    chatter.write()
    Submission(course, "other").write(
        text=nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")]))
    )
    link = Submission(course, "link")
    (link.folder / f"{ASSIGNMENT}.ipynb").symlink_to(course / "source" / ASSIGNMENT)


EXPECTED = {  # points of 10, and words of the report
    "anna": (10, ""),
    "untouched": (0, ""),
    "loop": (5, "double-tests: stopped after 5 s"),
    "stubborn": (5, "mean: stopped after 5 s, and could only be killed"),
    "hoard": (5, "double: no memory left"),
    "long-list": (5, "mean-tests: no memory left"),
    "leaves": (5, "double-tests: the kernel died"),
    "forks": (5, "double-tests: killed: more than"),
    "deletes": (10, "double-tests was missing"),
    "copies": (5, "double-tests was there 2 times"),
    "edits": (5, "the text of double-tests had been changed"),
    "moves": (10, "had been moved"),
    "cheat": (0, ""),
    "number": (5, ""),
    "prints": (10, "the student's cell 3: RuntimeError: this cell prints more than 1,000,000"),
    "spy": (10, ""),
    "not-json": (None, "not JSON"),
    "empty": (None, "is empty"),
    "nothing": (None, "no notebook at all"),
    "renamed": (10, f"{ASSIGNMENT} (1).ipynb was taken for {ASSIGNMENT}.ipynb"),
    "twice": (None, f"{ASSIGNMENT} (1).ipynb, {ASSIGNMENT} (2).ipynb hold its cells: delete"),
    "beside": (10, f"{ASSIGNMENT} (1).ipynb holds cells of this assignment, too: not graded"),
    "asks": (5, "double: RuntimeError: nobody answers input() while this is graded"),
    "window": (5, "double: ImportError: "),
    "chatter": (5, "double: RuntimeError: this cell prints more than 1,000,000 characters"),
    "other": (None, "holds no cell of this assignment"),
    "link": (None, "is missing"),
}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The course's folder, after the class run; .status and .printed are the run's."""
    folder = tmp_path_factory.mktemp("course")
    make(folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        submit_all(folder, server.getsockname()[1])
        status, printed = grade(folder, "--timeout", "5", "--memory", "1G")
    return folder, status, printed


def points_in_gradebook(folder):
    """{student: points} of all students that the gradebook knows."""
    with Gradebook(f"sqlite:///{folder}/gradebook.db") as book:
        return {line["id"]: line["score"] for line in book.student_dicts()}


def outputs(folder, student, cell=None):
    """The text of a graded notebook's outputs, of all cells or of the one with a grade id."""
    path = folder / "autograded" / student / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(
        output.get("text") or "\n".join(output.get("traceback", ()))
        for each in cells
        if cell in (None, damage.grade_id(each))
        for output in each.get("outputs", ())
    )


def test_everybody_loses_their_own_points_only(course):
    folder, status, printed = course
    report = read_report(folder / f"report-{ASSIGNMENT}.csv")
    assert sorted(report) == sorted(EXPECTED)
    wrong = [
        row
        for name, (points, words) in EXPECTED.items()
        for row in [report[name]]
        if (row.points, row.maximum) != (f"{points or 0}", "10")
        or row.state != ("graded" if points is not None else "NOT GRADED")
        or words not in row.happened
    ]
    assert not wrong, printed
    for row in report.values():
        assert any(
            line.startswith(row.student) and row.state in line and line.endswith(row.happened)
            for line in printed.splitlines()
        )
    assert points_in_gradebook(folder) == {name: p or 0 for name, (p, _) in EXPECTED.items()}
    assert status == 1, "some were not graded"
    with Gradebook(f"sqlite:///{folder}/gradebook.db") as book:  # formgrader asks for these
        waiting = {
            s.student.id for s in book.assignment_submissions(ASSIGNMENT) if s.needs_manual_grade
        }
    assert waiting == {name for name, (points, _) in EXPECTED.items() if points is None}


def test_student_code_sees_nothing_of_the_teacher(course):
    folder, _, printed = course
    if not printed.startswith("Sandbox: bubblewrap"):
        pytest.skip(printed.splitlines()[0])
    assert outputs(folder, "spy").strip() == "[]"


def test_prints_without_end_are_cut(course):
    text = outputs(course[0], "prints")
    assert "this cell prints more than 1,000,000 characters" in text
    assert len(text) < 1_100_000


def test_feedback_gives_the_message_and_keeps_the_checks(course):
    folder = course[0]
    nbgrader_command(folder, "generate_feedback", ASSIGNMENT, "--student", "edits")
    page = folder / "feedback" / "edits" / ASSIGNMENT / f"{ASSIGNMENT}.html"
    page = page.read_text(encoding="utf-8")
    assert "[1, -2] 得到 [ 1. -2.]：不是两倍" in page
    assert "hush" not in page and "allclose(got" not in page


def test_an_earlier_grade_stands_until_a_new_one_is_there(course):
    """After a second, broken submission, and after an --new run, which leaves the others alone."""
    folder = course[0]
    before = points_in_gradebook(folder)
    graded = folder / "autograded" / "anna" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    text = graded.read_text()
    notebook = folder / "submitted" / "anna" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook.write_text("{")
    shutil.rmtree(folder / "submitted" / "untouched" / ASSIGNMENT)
    Submission(folder, "untouched").write()
    status, printed = grade(folder, "--student", "anna", "--student", "untouched")
    assert status == 1 and "the earlier grade stands" in printed
    assert points_in_gradebook(folder) == {**before, "untouched": 10}
    assert graded.read_text() == text

    for name in ("anna", "not-json", "empty", "nothing", "twice", "other", "link"):
        shutil.rmtree(folder / "submitted" / name)
    status, printed = grade(folder, "--new")
    assert status == 0 and "nothing submitted" in printed
    assert points_in_gradebook(folder) == {**before, "untouched": 10}
    assert len(read_report(folder / f"report-{ASSIGNMENT}.csv")) == len(EXPECTED)


def test_without_sandbox_it_says_so_and_grades(course):
    folder = course[0]
    status, printed = grade(folder, "--no-sandbox", "--student", "deletes")
    assert status == 0
    assert printed.startswith("NO SANDBOX, as you asked: students' code can read")
    assert read_report(folder / f"report-{ASSIGNMENT}.csv")["deletes"].points == "10"


def test_imports_that_fail_here_cost_nobody_points(course):
    folder = course[0]
    release = folder / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    good = release.read_text()
    release.write_text(good.replace("import numpy as np", "import a_missing_framework"))
    try:
        status, printed = grade(folder, "--student", "moves")
    finally:
        release.write_text(good)
    assert status == 1
    assert "the assignment's imports fail here: ModuleNotFoundError" in printed
    assert "the earlier grade stands" in printed
    assert points_in_gradebook(folder)["moves"] == 10


def test_a_course_that_is_not_ready(course, tmp_path):
    with pytest.raises(GradeError, match="there is no such folder"):
        Course(tmp_path / "none", ASSIGNMENT)
    with pytest.raises(GradeError, match="run there: nbgrader generate_assignment 02_other"):
        Course(course[0], "02_other")


# --- Parts --------------------------------------------------------------------------------------


def test_mend_leaves_a_good_notebook_alone():
    release = source_notebook()
    notebook, notes = damage.mend(source_notebook().cells, release)
    assert notes == []
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in release.cells]


@pytest.mark.parametrize("kept", [(), ("mean-tests",), ("double", "mean-hidden"), ("mean-task",)])
def test_mend_puts_every_missing_cell_in_its_place(kept):
    release = source_notebook()
    names = [damage.grade_id(cell) for cell in release.cells if damage.grade_id(cell)]
    cells = [cell for cell in source_notebook().cells if damage.grade_id(cell) in (None, *kept)]
    if not kept:
        with pytest.raises(damage.Damage, match="no cell of this assignment"):
            damage.mend(cells, release)
        return
    notebook, _ = damage.mend(cells, release)
    assert [damage.grade_id(cell) for cell in notebook.cells if damage.grade_id(cell)] == names


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "is empty"),
        ("\ufeff[1]", "no notebook"),
        ("[" * 100_000, "not JSON"),
        ('{"cells": 3}', "no notebook"),
        ('{"nbformat": 3, "worksheets": 7}', "broken"),
    ],
)
def test_read_says_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "a.ipynb"
    path.write_text(text)
    with pytest.raises(damage.Damage, match=words):
        damage.read(path)


def test_read_takes_what_is_valid(tmp_path):
    path = tmp_path / "a.ipynb"
    good = {"cell_type": "code", "source": ["a = 1\n", "a"], "metadata": {"tags": 7}, "id": "x y"}
    broken = [None, {}, {"cell_type": "poem", "source": ""}, {"cell_type": "code", "source": 1}]
    path.write_text(json.dumps({"cells": [good, *broken, good]}))
    cells, notes = damage.read(path)
    assert [cell.source for cell in cells] == ["a = 1\na"] * 2
    assert notes == ["4 broken cells were left out"]


def test_report_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "report.csv"
    row = Row("a, b", "3", "10", "graded", 'says "x"; stopped', "0123")
    write_report(path, [row])
    assert read_report(path) == {"a, b": row}
    with pytest.raises(UnicodeEncodeError):
        write_report(path, [row, Row("\ud800", "", "", "")])
    assert read_report(path) == {"a, b": row}


def test_sizes():
    assert [size(text) for text in ("4G", "512m", "1.5GiB", "1000")] == [
        4 * 2**30,
        512 * 2**20,
        3 * 2**29,
        1000,
    ]
