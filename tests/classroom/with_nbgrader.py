"""Hands in answers to the exercises and has the real nbgrader grade them, in the class run.

An assignment made for this holds the exercises of all chapters, so that one kernel grades an
answer to each. A student hands in one kind of answer to all: the solutions, nothing, or each one's
n-th right or wrong variant. `make grading` hands in all variants in all frameworks and writes what
came of it into docs/grading.md; tests/classroom/test_with_nbgrader.py hands in some of them.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from benchmarks import NAMES, markdown
from d2l_ext import files
from tabbook import assignments
from tabbook.project import FRAMEWORKS, Project
from tests.classroom import variants
from tests.classroom.small_course import nbgrader_command

ASSIGNMENT = "all_exercises"
PAGE = variants.ROOT / "docs" / "grading.md"
REGION = re.compile(r"(<!-- #region make grading -->\n).*?(<!-- #endregion -->)", re.DOTALL)


def nth(kind, number, framework):
    """Every exercise's right (or wrong) variant of this number: {exercise: text}.

    An exercise that has no more of them, or none in this framework, is not in it.
    """
    found = {}
    for exercise in variants.exercises():
        possible = [
            variant.texts[framework]
            for variant in variants.all_variants()
            if variant.exercise == exercise
            and variant.right == (kind == "right")
            and framework in variant.texts
        ]
        if number < len(possible):
            found[exercise] = possible[number]
    return found


def students(framework, rights, wrongs):
    """Who hands in what: {student: {exercise: text}}."""
    solved = {name: variants.cells(framework, name)["solution"] for name in variants.exercises()}
    handed_in = {"solution": solved, "untouched": {}}
    for kind, count in (("right", rights), ("wrong", wrongs)):
        for number in range(count):
            answers = nth(kind, number, framework)
            if answers:
                handed_in[f"{kind}-{number:02}"] = answers
    return handed_in


def source_notebook(framework):
    """The exercises of all chapters in one source notebook, with all their imports."""
    project = Project(variants.ROOT)
    parts = [assignments.notebook(project, c, framework) for c in variants.chapters()]
    whole, imports = parts[0], parts[0].cells[1]
    imports.source = "\n\n".join(part.cells[1].source for part in parts)
    whole.cells = [imports, *(cell for part in parts for cell in part.cells[2:])]
    return whole


def make_course(course, framework):
    """Write the course and have nbgrader generate the assignment."""
    folder = course / "source" / ASSIGNMENT
    folder.mkdir(parents=True)
    nbformat.write(source_notebook(framework), folder / f"{ASSIGNMENT}.ipynb")
    config = assignments.config(FRAMEWORKS[framework])
    (course / "nbgrader_config.py").write_text(config, encoding="utf-8")
    nbgrader_command(course, "generate_assignment", ASSIGNMENT)


def submit(course, student, answers):
    """Hand in the released notebook with these answers in their cells."""
    released = course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"
    notebook = nbformat.read(released, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers.get(cell.metadata.nbgrader.grade_id, cell.source)
    target = course / "submitted" / student / ASSIGNMENT
    target.mkdir(parents=True)
    nbformat.write(notebook, target / released.name)


def class_run(course):
    """Grade all submissions; every one has to be graded."""
    command = [sys.executable, "-m", "classroom", "grade", ASSIGNMENT, "--course", str(course)]
    done = subprocess.run(command, cwd=variants.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def grades(course):
    """What the gradebook says: {student: {exercise: (points, maximum)}}."""
    found = {}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for submission in book.assignment_submissions(ASSIGNMENT):
            points = found.setdefault(submission.student.id, {})
            for grade in submission.notebooks[0].grades:
                exercise = grade.name.rpartition("-")[0]
                score, maximum = points.get(exercise, (0, 0))
                points[exercise] = (score + grade.auto_score, maximum + grade.max_score)
    return found


def hand_in_and_grade(course, framework, rights, wrongs):
    """Do all of the above.

    Args:
        course: a folder to make.
        framework: its name.
        rights, wrongs: how many variants of each exercise are handed in, at most.

    Returns:
        (handed in, grades, seconds for the solutions alone)
    """
    make_course(course, framework)
    handed_in = students(framework, rights, wrongs)
    submit(course, "solution", handed_in["solution"])
    started = time.perf_counter()
    class_run(course)
    seconds = time.perf_counter() - started
    for student, answers in handed_in.items():
        if student != "solution":
            submit(course, student, answers)
    class_run(course)
    return handed_in, grades(course), seconds


def undeserved(handed_in, graded):
    """Say which answers did not get the points that they deserve."""
    wrong = []
    for student, answers in handed_in.items():
        for exercise in answers or variants.exercises():
            points, maximum = graded[student][exercise]
            kind = student.partition("-")[0]
            fair = {"untouched": points == 0, "wrong": points < maximum}
            if not fair.get(kind, points == maximum):
                wrong.append(f"{student}, {exercise}: {points:g} of {maximum:g}")
    return wrong


def counts(handed_in):
    """How many answers of a kind were graded for each exercise: {(kind, exercise): number}."""
    return Counter(
        (student.partition("-")[0], exercise)
        for student, answers in handed_in.items()
        for exercise in answers or variants.exercises()
    )


def page(results):
    """The region of docs/grading.md.

    Args:
        results: {framework: what `hand_in_and_grade` returns}.
    """
    rows = [["exercise", "chapter", "points", "right answers", "wrong answers"]]
    numbers = {framework: counts(handed_in) for framework, (handed_in, *_) in results.items()}
    for chapter in variants.chapters():
        for name in chapter.exercises():
            tab = chapter.tab(next(iter(results)))
            points = sum(cell.points for cell in tab if cell.exercise == name)
            kinds = [
                " / ".join(str(n[kind, name]) for n in numbers.values())
                for kind in ("right", "wrong")
            ]
            rows.append([f"`{name}`", chapter.name[:2], str(points), *kinds])
    times = [["", *(NAMES[framework] for framework in results)]]
    times.append(["seconds", *(f"{seconds:.0f}" for *_, seconds in results.values())])
    order = ", ".join(NAMES[framework] for framework in results)
    return (
        f"Written by `make grading`; answers are counted for {order}. The right ones and the "
        "solutions\ngot all points, the untouched cells none, the wrong ones less than all.\n\n"
        f"{markdown(rows)}\n\n"
        "To grade the eight solutions in one notebook, more than any assignment holds, kernel,\n"
        f"imports and sandbox included:\n\n{markdown(times)}\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", nargs="*", default=list(FRAMEWORKS))
    results = {}
    for framework in parser.parse_args().framework:
        with tempfile.TemporaryDirectory() as folder:
            results[framework] = hand_in_and_grade(Path(folder) / "course", framework, 99, 99)
        handed_in, graded, seconds = results[framework]
        print(
            f"{framework}: {sum(counts(handed_in).values())} answers, {seconds:.0f} s", flush=True
        )
        if undeserved(handed_in, graded):
            sys.exit("\n".join(undeserved(handed_in, graded)))
    text, found = REGION.subn(rf"\g<1>{page(results)}\g<2>", PAGE.read_text(encoding="utf-8"))
    if found != 1:
        sys.exit(f"{PAGE} has {found} regions '#region make grading'; expected 1")
    files.write_whole(PAGE, text.encode())


if __name__ == "__main__":
    main()
