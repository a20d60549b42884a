"""The real nbgrader gives the exercises' answers the points that they deserve."""

from tests.classroom import with_nbgrader


def test_answers_get_what_they_deserve(framework, tmp_path):
    handed_in, graded, seconds = with_nbgrader.hand_in_and_grade(
        tmp_path / "course", framework.name
    )
    assert with_nbgrader.undeserved(handed_in, graded) == []
    counts = with_nbgrader.counts(handed_in)
    for exercise in with_nbgrader.variants.exercises():
        assert counts["untouched", exercise] == counts["solution", exercise] == 1
        assert counts["right", exercise] >= 3 and counts["wrong", exercise] >= 8
    assert seconds < 60 * len(with_nbgrader.variants.chapters())  # of an assignment each


def test_undeserved_points_are_found():
    kinds = {"a": "solution", "b": "untouched", "c": "right", "d": "wrong", "e": "wrong"}
    handed_in = {label: ("exercise", kind, "") for label, kind in kinds.items()}
    graded = {"a": (5, 6), "b": (1, 6), "c": (0, 6), "d": (6, 6), "e": (2, 6)}
    found = with_nbgrader.undeserved(handed_in, graded)
    assert found == ["a: 5 of 6", "b: 1 of 6", "c: 0 of 6", "d: 6 of 6"]


def test_every_variant_is_handed_in_once_and_nothing_wrong_after_something_right(framework):
    found = list(with_nbgrader.answers(framework.name).values())
    wanted = [
        (variant.exercise, "right" if variant.right else "wrong", variant.texts[framework.name])
        for variant in with_nbgrader.variants.all_variants()
        if framework.name in variant.texts
    ]
    given = [answer for answer in found if answer[1] in ("wrong", "right")]
    assert sorted(given) == sorted(wanted)
    for exercise in with_nbgrader.variants.exercises():
        kinds = [kind for name, kind, _ in found if name == exercise]
        assert kinds[0] == "untouched" and kinds[-1] == "solution"
        assert kinds == sorted(kinds, key=["untouched", "wrong", "right", "solution"].index)


def test_the_page_is_written_by_the_command():
    (found,) = with_nbgrader.REGION.finditer(with_nbgrader.PAGE.read_text(encoding="utf-8"))
    assert "Written by `make grading`" in found[0]
    for exercise in with_nbgrader.variants.exercises():
        assert f"| `{exercise}` |" in found[0]
