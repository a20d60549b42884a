"""Hands in answers to the exercises and has the real nbgrader grade them, in the class run.

The assignment made for this holds each exercise of all chapters once for each answer, so that one
kernel grades all of them. An exercise's untouched cell stands first, then the wrong answers, then
the right ones, so that what an answer leaves behind gives none after it points that it does not
deserve. `make grading` writes what came of it into docs/grading.md.
"""

import argparse
import copy
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook

from benchmarks import NAMES, markdown
from d2l_ext import files
from tabbook import assignments
from tabbook.project import FRAMEWORKS, Project
from tests.classroom import variants
from tests.classroom.small_course import nbgrader_command

ASSIGNMENT, STUDENT = "all_exercises", "student"
PAGE = variants.ROOT / "docs" / "grading.md"
REGION = re.compile(r"(<!-- #region make grading -->\n).*?(<!-- #endregion -->)", re.DOTALL)


def answers(framework):
    """What is handed in for a framework of this name, in the order in which it is graded.

    Returns:
        {label: (exercise, kind, text)}; the kinds are "untouched" (the text is None), "wrong",
        "right" and "solution".
    """
    found = {}
    for exercise in variants.exercises():
        texts = {"wrong": [], "right": []}
        for variant in variants.all_variants():
            if variant.exercise == exercise and framework in variant.texts:
                texts["right" if variant.right else "wrong"].append(variant.texts[framework])
        found[f"{exercise}-untouched"] = (exercise, "untouched", None)
        for kind in texts:
            for number, text in enumerate(texts[kind]):
                found[f"{exercise}-{kind}-{number:02}"] = (exercise, kind, text)
        solution = variants.cells(framework, exercise)["solution"]
        found[f"{exercise}-solution"] = (exercise, "solution", solution)
    return found


def source_notebook(framework, handed_in):
    """The exercises of all chapters in one source notebook, once for each answer.

    Args:
        framework: its name.
        handed_in: as from `answers`. The labels stand for the exercises' names in the grade ids.
    """
    project = Project(variants.ROOT)
    parts = [assignments.notebook(project, c, framework) for c in variants.chapters()]
    whole, imports = parts[0], parts[0].cells[1]
    imports.source = "\n\n".join(part.cells[1].source for part in parts)
    given = [cell for part in parts for cell in part.cells[2:]]
    whole.cells = [imports]
    for label, (exercise, *_) in handed_in.items():
        for cell in copy.deepcopy(given):
            name, dash, part = cell.metadata.nbgrader.grade_id.partition("-")
            if name == exercise:
                cell.metadata.nbgrader.grade_id = f"{label}{dash}{part}"
                cell.id = new_code_cell().id
                whole.cells.append(cell)
    return whole


def hand_in(course, framework, handed_in):
    """Have nbgrader generate the assignment, and hand in the answers.

    Args:
        course: a folder to make.
        framework: its name.
        handed_in: as from `answers`.
    """
    name = f"{ASSIGNMENT}/{ASSIGNMENT}.ipynb"
    (course / "source" / ASSIGNMENT).mkdir(parents=True)
    nbformat.write(source_notebook(framework, handed_in), course / "source" / name)
    config = assignments.config(FRAMEWORKS[framework])
    (course / "nbgrader_config.py").write_text(config, encoding="utf-8")
    nbgrader_command(course, "generate_assignment", ASSIGNMENT)
    notebook = nbformat.read(course / "release" / name, as_version=4)
    for cell in notebook.cells:
        facts = cell.metadata.get("nbgrader", {})
        if facts.get("solution") and handed_in[facts.grade_id][2] is not None:
            cell.source = handed_in[facts.grade_id][2]
    (course / "submitted" / STUDENT / ASSIGNMENT).mkdir(parents=True)
    nbformat.write(notebook, course / "submitted" / STUDENT / name)


def hand_in_and_grade(course, framework):
    """Hand in all answers and grade them, all of which has to be possible.

    Args:
        course: a folder to make.
        framework: its name.

    Returns:
        (handed in, as from `answers`; {label: (points, maximum)}; seconds that grading took)
    """
    handed_in = answers(framework)
    hand_in(course, framework, handed_in)
    command = [sys.executable, "-m", "classroom", "grade", ASSIGNMENT, "--course", str(course)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=variants.ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stdout + done.stderr
    graded = {}
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        for grade in book.find_submission(ASSIGNMENT, STUDENT).notebooks[0].grades:
            label = grade.name.rpartition("-")[0]
            score, maximum = graded.get(label, (0, 0))
            graded[label] = (score + grade.auto_score, maximum + grade.max_score)
    return handed_in, graded, seconds


def undeserved(handed_in, graded):
    """Say which answers did not get the points that they deserve."""
    found = []
    for label, (_, kind, _) in handed_in.items():
        points, maximum = graded[label]
        fair = {"untouched": points == 0, "wrong": points < maximum}
        if not fair.get(kind, points == maximum):
            found.append(f"{label}: {points:g} of {maximum:g}")
    return found


def counts(handed_in):
    """How many answers of a kind were graded for each exercise: {(kind, exercise): number}."""
    return Counter((kind, exercise) for exercise, kind, _ in handed_in.values())


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
        "To grade all of them in one notebook, kernel, imports and sandbox included:\n\n"
        f"{markdown(times)}\n"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", nargs="*", default=list(FRAMEWORKS))
    results = {}
    for framework in parser.parse_args().framework:
        with tempfile.TemporaryDirectory() as folder:
            results[framework] = hand_in_and_grade(Path(folder) / "course", framework)
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
