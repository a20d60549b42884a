"""Grades a class: `python -m classroom grade ASSIGNMENT --course FOLDER`.

Every submission is graded by nbgrader in a process of its own, one after the other, and students'
code runs in a sandbox (`classroom.sandbox`). Whatever one submission does, the others get their
points, and an earlier grade stands until a new one is there.
"""

import argparse
import csv
import hashlib
import io
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import psutil
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps import NbGrader
from sqlalchemy.exc import SAWarning

from classroom import autograde
from classroom.autograde import START, become_reaper, kill
from classroom.sandbox import CHECKS, choose, make_library
from d2l_ext import files


class GradeError(Exception):
    """The course is not ready for grading; the message says what to do."""


@dataclass
class Row:
    """A line of the report. `points` is what the gradebook says after the run, or empty."""

    student: str
    points: str
    maximum: str
    state: str  # graded, NOT GRADED, nothing submitted
    happened: str = ""
    submission: str = ""  # what was graded: a hash of its files


class Course:
    """An nbgrader course and one of its assignments.

    Args:
        folder: the course's folder.
        assignment: the assignment's name.

    Raises:
        GradeError: nbgrader has not generated the assignment.
    """

    def __init__(self, folder, assignment):
        self.folder, self.assignment = Path(folder).resolve(), assignment
        if not self.folder.is_dir():
            raise GradeError(f"{folder}: there is no such folder; --course names the course's")
        app = NbGrader()
        app.initialize(["--log-level=ERROR"], root=str(self.folder))
        self.directory = app.coursedir
        self.directory.root = str(self.folder)
        self.database = self.directory.db_url
        ready = any(self.path("release", ".").glob("*.ipynb"))
        try:
            with self.gradebook() as book:
                book.find_assignment(assignment)
        except MissingEntry:
            ready = False
        if not ready:
            raise GradeError(
                f"{assignment}: not generated yet in {folder}; run there: "
                f"nbgrader generate_assignment {assignment}"
            )
        self.report = self.folder / f"report-{assignment}.csv"

    def gradebook(self):
        return Gradebook(self.database, self.directory.course_id)

    def path(self, step, student, below=None):
        """The folder of a step (release, submitted, autograded) for a student."""
        name = str(below / step) if below else getattr(self.directory, f"{step}_directory")
        return Path(self.directory.format_path(name, student, self.assignment))

    def students(self):
        """All students: those with a submission, and those that the gradebook knows."""
        with self.gradebook() as book:
            names = {student.id for student in book.students}
        for folder in self.path("submitted", "*").parent.parent.glob("*"):
            if folder.is_dir() and not folder.name.startswith("."):
                names.add(folder.name)
        return sorted(names)

    def grades(self, student):
        """The points of each test, by (notebook, cell): (auto_score, needs_manual_grade)."""
        with self.gradebook() as book:
            try:
                submission = book.find_submission(self.assignment, student)
            except MissingEntry:
                return {}
            return {
                (notebook.name, grade.name): (grade.auto_score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }

    def points(self, student):
        """(points, maximum), as text."""
        with self.gradebook() as book:
            maximum = book.find_assignment(self.assignment).max_score
            try:
                score = book.find_submission(self.assignment, student).score
            except MissingEntry:
                return "", f"{maximum:g}"
            return f"{score:g}", f"{maximum:g}"

    def keep(self, student, before):
        """Puts the earlier grades back; where there are none, the teacher is asked to grade."""
        with self.gradebook() as book:
            book.update_or_create_student(student)
            submission = book.update_or_create_submission(self.assignment, student)
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    grade.auto_score, grade.needs_manual_grade = before.get(
                        (notebook.name, grade.name), (None, True)
                    )
            book.db.commit()


def fingerprint(folder):
    """A short hash of a submission's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                digest.update(str(path.relative_to(folder)).encode("utf-8", "surrogateescape"))
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def replace_folder(new, old):
    """Puts a folder in another's place; the old one goes when the new one is there."""
    aside = old.with_name(f".{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    old.parent.mkdir(parents=True, exist_ok=True)
    coming = old.with_name(f".{old.name}.new")
    shutil.rmtree(coming, ignore_errors=True)
    shutil.copytree(new, coming)
    if old.exists():
        old.rename(aside)
    coming.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def one(course, student, sandbox, folder, timeout, total):
    """Grades one submission in a process of its own.

    Args:
        folder: a private folder, which is made here.
        timeout, total: seconds for a cell and for a notebook.

    Returns:
        {"graded": bool, "notes": [sentences]}
    """
    folder.mkdir()
    order = {
        "course": str(course.folder),
        "assignment": course.assignment,
        "student": student,
        "folder": str(folder),
        "sandbox": sandbox.as_dict(),
        "timeout": timeout,
        "total": total,
    }
    notebooks = len(list(course.path("release", ".").glob("*.ipynb")))
    limit = notebooks * (total + 2 * START) + 60
    others = set(psutil.Process().children())
    # forked, so that nbgrader is imported once for all students
    process = multiprocessing.get_context("fork").Process(target=autograde.work, args=(order,))
    process.start()
    try:
        process.join(limit)
        late = process.is_alive()
    finally:
        for left in set(psutil.Process().children()) - others:
            # the process itself, or what it left behind, which comes to us, its reaper
            for process_below in (*family(left), left):
                kill(process_below)
        process.join()
    if late:
        return {"graded": False, "notes": [f"not finished after {limit:.0f} s; killed"]}
    try:
        return json.loads((folder / "result.json").read_text())
    except (OSError, ValueError):
        last = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
        why = f"grading stopped with status {process.exitcode}: {' '.join(last)}"
        return {"graded": False, "notes": [why]}


def family(process):
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def grade_student(course, student, sandbox, folder, timeout, total):
    """Grades a student's submission and gives the line of the report."""
    submission = course.path("submitted", student)
    if not submission.is_dir():
        others = sorted(p.name for p in submission.parent.glob("*") if p.is_dir())
        there = f"submitted are: {', '.join(others)}" if others else ""
        return Row(student, *course.points(student), "nothing submitted", there)
    before = course.grades(student)
    mark = fingerprint(submission)
    result = one(course, student, sandbox, folder, timeout, total)
    notes = list(result["notes"])
    if result["graded"]:
        replace_folder(
            course.path("autograded", student, folder), course.path("autograded", student)
        )
    else:
        course.keep(student, before)
        if any(score is not None for score, _ in before.values()):
            notes.append("the earlier grade stands")
    state = "graded" if result["graded"] else "NOT GRADED"
    return Row(student, *course.points(student), state, "; ".join(notes), mark)


def read_report(path):
    """The rows of an earlier report, by student; none if there is no report."""
    if not path.exists():
        return {}
    names = [field.name for field in fields(Row)]
    with path.open(newline="", encoding="utf-8") as file:
        return {
            line["student"]: Row(**{name: line.get(name) or "" for name in names})
            for line in csv.DictReader(file)
        }


def write_report(path, rows):
    """Writes the report whole, or leaves the old one as it is."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(Row)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    files.write_whole(path, text.getvalue().encode())


def grade_class(course, students, sandbox, folder, timeout, total, new=False, say=print):
    """Grades students one after the other; the report on disk is up to date after each.

    Args:
        course: a Course.
        students: names.
        folder: an existing private folder.
        new: leave out submissions that the report knows as graded and that have not changed.

    Returns:
        the students' rows.
    """
    known = read_report(course.report)
    rows = []
    for number, student in enumerate(students, 1):
        earlier = known.get(student)
        submission = course.path("submitted", student)
        if (
            new
            and earlier
            and earlier.state == "graded"
            and submission.is_dir()
            and earlier.submission == fingerprint(submission)
        ):
            rows.append(earlier)
            continue
        say(f"[{number}/{len(students)}] {student}", flush=True)
        private = folder / f"{number}"
        try:
            row = grade_student(course, student, sandbox, private, timeout, total)
        except Exception as error:  # the next student's turn comes, whatever it was
            row = Row(student, "", "", "NOT GRADED", f"{type(error).__name__}: {error}"[:300])
        shutil.rmtree(private, ignore_errors=True)
        rows.append(row)
        known[student] = row
        write_report(course.report, [known[name] for name in sorted(known)])
    return rows


def table(rows):
    """The rows as lines of text."""
    width = max([len(row.student) for row in rows] + [7])
    lines = [f"{'student':<{width}}  points      state              what happened"]
    for row in rows:
        points = f"{row.points or '-':>4} of {row.maximum}" if row.maximum else ""
        line = f"{row.student:<{width}}  {points:<10}  {row.state:<17}  {row.happened}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def size(text):
    """Bytes from "4G", "512M" or a plain number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)I?B?", text.strip().upper())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r}: write it as 4G or 512M")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2] or " "))


def main(argv=None):
    """The command; returns its exit status: 1 if a submission needs the teacher's eye."""
    parser = argparse.ArgumentParser(prog="python -m classroom", description=__doc__)
    command = parser.add_subparsers(required=True).add_parser(
        "grade", help="autograde all submissions of an assignment", description=__doc__
    )
    command.add_argument("assignment", help="the assignment's name, such as 02_masked_softmax")
    command.add_argument("--course", required=True, help="the nbgrader course's folder")
    command.add_argument("--timeout", type=float, default=30, help="seconds for a cell (30)")
    command.add_argument("--total", type=float, default=600, help="seconds for a notebook (600)")
    command.add_argument("--memory", type=size, default="4G", help="data of a process (4G)")
    command.add_argument("--student", action="append", help="this one only; may be given again")
    command.add_argument("--new", action="store_true", help="only what is new or was not graded")
    command.add_argument(
        "--checks",
        type=Path,
        default=CHECKS,
        help="the file that notebooks import as classroom.checks (the one of this package)",
    )
    command.add_argument("--no-sandbox", action="store_true", help="do without bubblewrap")
    options = parser.parse_args(argv)

    # nbgrader runs the command alembic, also where the environment has not been activated
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    warnings.simplefilter("ignore", SAWarning)  # nbgrader's own
    become_reaper()
    try:
        course = Course(options.course, options.assignment)
        students = course.students()
        unknown = set(options.student or ()) - set(students)
        if unknown:
            raise GradeError(f"{', '.join(sorted(unknown))}: no such student in {options.course}")
    except GradeError as error:
        print(error, file=sys.stderr)
        return 2
    base = None if len(tempfile.gettempdir()) < 60 else "/tmp"  # a socket's path is short
    with tempfile.TemporaryDirectory(prefix="grade-", dir=base) as name:
        folder = Path(name)
        make_library(folder / "library", options.checks)
        sandbox, sentence = choose(
            str(folder / "library"),
            (str(course.folder), str(Path.home())),
            options.memory,
            folder,
            wanted=not options.no_sandbox,
        )
        print(sentence, flush=True)
        rows = grade_class(
            course,
            options.student or students,
            sandbox,
            folder,
            options.timeout,
            options.total,
            options.new,
        )
    print(f"\n{table(rows)}\n\n{course.report}")
    return 1 if any(row.state == "NOT GRADED" for row in rows) else 0
