"""The real nbgrader gives the exercises' answers the points that they deserve."""

import pytest

from tests.classroom import with_nbgrader

RIGHT, WRONG = 3, 8  # answers of each exercise that are graded here; `make grading` grades all


def test_answers_get_what_they_deserve(framework, tmp_path):
    handed_in, graded, seconds = with_nbgrader.hand_in_and_grade(
        tmp_path / "course", framework.name, RIGHT, WRONG
    )
    assert with_nbgrader.undeserved(handed_in, graded) == []
    counts = with_nbgrader.counts(handed_in)
    for exercise in with_nbgrader.variants.exercises():
        kinds = [counts[kind, exercise] for kind in ("solution", "untouched", "right", "wrong")]
        assert kinds == [1, 1, RIGHT, WRONG]
    assert seconds < 60 * len(with_nbgrader.variants.chapters())  # a minute an assignment


def test_undeserved_points_are_found():
    graded = {
        "solution": {"a": (5, 6)},
        "untouched": dict.fromkeys(with_nbgrader.variants.exercises(), (1, 6)),
        "right-00": {"a": (6, 6), "b": (0, 6)},
        "wrong-00": {"a": (6, 6), "b": (2, 6)},
    }
    handed_in = {"solution": {"a": ""}, "untouched": {}, "right-00": {"a": "", "b": ""}}
    found = with_nbgrader.undeserved({**handed_in, "wrong-00": {"a": "", "b": ""}}, graded)
    assert [text for text in found if "untouched" not in text] == [
        "solution, a: 5 of 6",
        "right-00, b: 0 of 6",
        "wrong-00, a: 6 of 6",
    ]
    assert sum("untouched" in text for text in found) == len(with_nbgrader.variants.exercises())


@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_every_variant_is_handed_in_once(framework, kind):
    texts = [
        text
        for number in range(99)
        for text in with_nbgrader.nth(kind, number, framework.name).values()
    ]
    wanted = [
        variant.texts[framework.name]
        for variant in with_nbgrader.variants.all_variants()
        if variant.right == (kind == "right") and framework.name in variant.texts
    ]
    assert sorted(texts) == sorted(wanted)


def test_the_page_is_written_by_the_command():
    (found,) = with_nbgrader.REGION.finditer(with_nbgrader.PAGE.read_text(encoding="utf-8"))
    assert "Written by `make grading`" in found[0]
    for exercise in with_nbgrader.variants.exercises():
        assert f"| `{exercise}` |" in found[0]
