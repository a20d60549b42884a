"""The chapters' exercises: right answers get all points, wrong ones do not and are told why.

Quick, in this process and without notebooks; what nbgrader makes of the same answers is tested
elsewhere.
"""

import ast
import functools
import re
import time

import numpy
import pytest

from classroom import checks, zh_CN
from tests.classroom import variants
from tests.classroom.variants import all_variants, cells, exercises, stub

pytestmark = pytest.mark.filterwarnings("ignore")  # wrong answers overflow and divide by 0

EXERCISES = exercises()
RIGHT = [variant for variant in all_variants() if variant.right]
WRONG = [variant for variant in all_variants() if not variant.right]


def identify(variant):
    return f"{variant.exercise}-{variant.name}"


@functools.cache
def imported(framework, text):
    """What a notebook knows after its imports."""
    names = {"d2l": framework.d2l, "numpy": numpy}
    exec(text, names)
    return names


def notebook(framework, exercise):
    """What a student's notebook knows before the exercise: names of its own."""
    return dict(imported(framework, cells(framework.name, exercise)["imports"]))


def grade(framework, exercise, answer):
    """Run an answer and its tests, as a notebook would.

    Returns:
        {"tests", "hidden": None if they pass, else the exception}.
    """
    names = notebook(framework, exercise)
    texts = cells(framework.name, exercise)
    exec(answer, names)
    verdicts = {}
    for part in ("tests", "hidden"):
        try:
            exec(texts[part], names)
            verdicts[part] = None
        except Exception as error:
            verdicts[part] = error
    return verdicts


# The data ----------------------------------------------------------------------------------------


def test_the_exercises_are_those_of_the_checks():
    """At least six in chapters 02 to 09, each with a check of its name."""
    named = {name for name in vars(checks) if name in EXERCISES}
    assert len(EXERCISES) == len(named) >= 6
    chapters = {chapter.name[:2] for chapter in variants.chapters()}
    assert chapters == {"02", "03", "04", "05", "06", "07", "09"}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_exercise_has_enough_variants(framework, exercise):
    def possible(kind):
        return [v for v in kind if v.exercise == exercise and framework.name in v.texts]

    assert len(possible(RIGHT)) >= 3
    assert len(possible(WRONG)) >= 8


def test_variants_are_of_exercises_and_differ(framework):
    texts = [
        (variant.exercise, ast.dump(ast.parse(variant.texts[framework.name])))
        for variant in all_variants()
        if framework.name in variant.texts
    ]
    assert {exercise for exercise, _ in texts} == set(EXERCISES)
    assert len(texts) == len(set(texts))
    assert all(len(reason) > 15 for v in all_variants() for reason in v.impossible.values())


@pytest.mark.parametrize("exercise", EXERCISES)
def test_visible_tests_are_half_of_the_points_at_most(exercise):
    for framework in ("pytorch", "mxnet", "jax", "tensorflow"):
        (chapter,) = (c for c in variants.chapters() if exercise in c.exercises())
        points = {c.part: c.points for c in chapter.tab(framework) if c.exercise == exercise}
        assert 5 <= sum(points.values()) <= 10
        assert points["tests"] <= points["hidden"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[x.right.a]\nabout='b'", "x.right.a: needs"),
        ("[x.right.a]\nabout='b'\nall='c'\nsays='d'", "x.right.a: needs"),
        ("[x.wrong.a]\nabout='b'\nall='c'", "x.wrong.a: needs"),
        ("[x.wrong.a]\nabout='b'\nall='c'\nsays='d'\ntorch='e'", "x.wrong.a: unknown.*torch"),
        ("[x.so.a]\nabout='b'\nall='c'", "x.so.a: unknown.*so"),
    ],
)
def test_entries_that_say_too_little_are_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        variants.read(entry)


# The answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_solution_gets_all_points(framework, exercise):
    answer = cells(framework.name, exercise)["solution"]
    assert grade(framework, exercise, answer) == {"tests": None, "hidden": None}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_untouched_cell_gets_nothing(framework, exercise):
    answer = stub(cells(framework.name, exercise)["solution"])
    verdicts = grade(framework, exercise, answer)
    assert isinstance(verdicts["tests"], NotImplementedError)
    assert "is not written yet" in str(verdicts["hidden"])


@pytest.mark.parametrize("variant", RIGHT, ids=identify)
def test_other_right_answers_get_all_points(framework, variant):
    if framework.name in variant.impossible:
        pytest.skip(variant.impossible[framework.name])
    verdicts = grade(framework, variant.exercise, variant.texts[framework.name])
    assert verdicts == {"tests": None, "hidden": None}


@pytest.mark.parametrize("variant", WRONG, ids=identify)
def test_wrong_answers_lose_points_and_are_told_why(framework, variant):
    """They may pass the visible tests; the hidden ones catch them all, and name the problem."""
    if framework.name in variant.impossible:
        pytest.skip(variant.impossible[framework.name])
    verdicts = grade(framework, variant.exercise, variant.texts[framework.name])
    assert type(verdicts["hidden"]) is AssertionError
    assert re.search(variant.says, str(verdicts["hidden"]))


@pytest.mark.parametrize("variant", WRONG, ids=identify)
def test_wrong_answers_are_told_why_in_chinese(framework, variant):
    """In whole sentences: what is English are single words of code and what Python says."""
    if framework.name in variant.impossible:
        pytest.skip(variant.impossible[framework.name])
    names = notebook(framework, variant.exercise)
    exec(variant.texts[framework.name], names)
    with pytest.raises(AssertionError) as raised:
        getattr(zh_CN.checks, variant.exercise)(names[variant.exercise], framework.d2l)
    words = re.sub(r"`.*?`|\([\w ,*/+]+\)|(?<=抛出).*", "", str(raised.value), flags=re.DOTALL)
    assert re.search("[\u4e00-\u9fff]{2}", words)
    assert not re.search("[A-Za-z]{2,} [A-Za-z]{2,}", words), raised.value


@pytest.mark.parametrize("exercise", EXERCISES)
def test_complaints_show_nothing_of_the_check(framework, exercise):
    """A traceback ends in the line that raises the complaint and has no cause."""

    def clumsy(*args):
        return {}[exercise]

    with pytest.raises(
        AssertionError, match=r"clumsy raises KeyError in `return {}\[exercise\]` for "
    ) as raised:
        getattr(checks, exercise)(clumsy, framework.d2l)
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    frames = [entry.name for entry in raised.traceback if "checks.py" in str(entry.path)]
    assert frames == ["checked"]


@pytest.mark.parametrize("nothing", [None, "text", object()], ids=["None", "text", "object"])
@pytest.mark.parametrize("exercise", EXERCISES)
def test_results_that_are_no_result_are_told_so(framework, exercise, nothing):
    with pytest.raises(AssertionError) as raised:
        getattr(checks, exercise)(lambda *args: nothing, framework.d2l)
    assert type(raised.value) is AssertionError and len(str(raised.value)) > 20


def test_hidden_tests_are_quick(framework):
    """All exercises of a framework, though one chapter's are what a student hands in."""
    answers = {}
    for exercise in EXERCISES:
        names = notebook(framework, exercise)
        exec(cells(framework.name, exercise)["solution"], names)
        answers[exercise] = names[exercise]
    start = time.perf_counter()
    for exercise, answer in answers.items():
        getattr(checks, exercise)(answer, framework.d2l)
    assert time.perf_counter() - start < 40  # a quiet machine takes a third of it
