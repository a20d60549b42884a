"""Reading a chapter: cells, places, ids, and the message of each broken rule."""

import re

import jupytext
import pytest
from conftest import EXERCISE

from tabbook import source
from tabbook.project import FRAMEWORKS, TabbookError

FOUR = ("pytorch", "mxnet", "jax", "tensorflow")


def code(text: str, attributes: str = "") -> str:
    """A code cell's Markdown."""
    return f"```python {attributes}".rstrip() + f"\n{text}\n```\n"


def read_problems(toy) -> list[str]:
    """The problems of the toy's chapter."""
    with pytest.raises(TabbookError) as caught:
        source.read(toy.project, "05_toy")
    return caught.value.problems


def test_cells_know_their_place_tabs_and_section(toy):
    path = toy.write(
        "05_toy",
        "# Title\n\nProse.\n\n## Section\n\n"
        + code("x = 1\n\ny = 2")
        + '\n<!-- #region tab="jax" -->\nFor JAX.\n<!-- #endregion -->\n\n'
        + code('"""\n```\n"""', 'tags=["nbval-ignore-output"] reason="a \\"time\\" = other"'),
    )
    chapter = source.read(toy.project, "05_toy")
    lines = path.read_text().splitlines()
    for cell in chapter.cells:
        assert lines[cell.line - 1] == cell.text.splitlines()[0]
    _, shared, prose, tagged = chapter.cells[4:]
    assert (shared.kind, shared.text, shared.tabs) == ("code", "x = 1\n\ny = 2", FOUR)
    assert shared.section == "Section"
    assert (prose.kind, prose.tabs) == ("markdown", ("jax",))
    assert (tagged.tags, tagged.reason) == (("nbval-ignore-output",), 'a "time" = other')
    assert [cell.number for cell in chapter.cells] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(chapter.tab("jax")) == len(chapter.tab("mxnet")) + 1


def test_groups_cover_each_framework_once_in_any_order(toy):
    group = code("a = 1", 'tab="jax"') + code("a = 2", 'tab="pytorch, mxnet"')
    empty = code("", 'tab="tensorflow" reason="Keras does this by itself"')
    prose = '<!-- #region tab="mxnet" -->\nA word.\n<!-- #endregion -->\n\n'
    toy.write("05_toy", group + prose + empty + group + empty)
    chapter = source.read(toy.project, "05_toy")
    assert [cell.text for cell in chapter.tab("tensorflow")] == [
        "from d2l_ext import tensorflow as d2l"
    ]
    assert [cell.text for cell in chapter.tab("mxnet")][1:] == ["a = 2", "A word.", "a = 2"]


def test_alt_of_a_groups_first_cell_holds_for_the_group_and_changes_no_id(toy):
    def cells(alt: str):
        group = [code("a = 1", f'tab="jax" {alt}'.rstrip()), code("a = 2", 'tab="pytorch, mxnet"')]
        empty = code("", 'tab="tensorflow" reason="Keras does this by itself"')
        toy.write(
            "05_toy", "".join([*group, empty, *group[1:]]) + code("a = 3", 'tab="jax"') + empty
        )
        return source.read(toy.project, "05_toy").cells[4:]

    described = cells('alt="It\'s a \\"bar\\", x = 1."')
    assert [cell.alt for cell in described] == ['It\'s a "bar", x = 1.'] * 2 + ["", ""]
    assert [cell.id for cell in cells("")] == [cell.id for cell in described]


def test_an_edit_changes_one_id(toy):
    repeated = code("x + 1")
    cells = [code("x = 0"), repeated, "Prose.\n", repeated, code("x")]
    toy.write("05_toy", "\n".join(cells))
    before = [cell.id for cell in source.read(toy.project, "05_toy").cells]
    assert len(set(before)) == len(before)
    cells[2] = "Other prose.\n"
    toy.write("05_toy", "\n".join(cells))
    after = [cell.id for cell in source.read(toy.project, "05_toy").cells]
    assert [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1] == [
        6
    ]
    toy.write("06_toy", "\n".join(cells))
    other = [cell.id for cell in source.read(toy.project, "06_toy").cells]
    assert not set(after) & set(other)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (code("x", 'tab="torch"'), "unknown tab 'torch'; known are pytorch, mxnet, jax, tensorfl"),
        (code("x", 'tab="jax, jax"'), "tab 'jax' stands twice; keep one"),
        (code("x", 'tab=""'), "tab='' names no framework; write tab=\"pytorch\""),
        (
            code("x", 'tab="jax, mxnet, pytorch, tensorflow"'),
            "tab names all frameworks; a cell for all has no tab",
        ),
        (
            code("x", 'tab="jax"') + code("y", 'tab="mxnet"') + "Prose.\n",
            "this tabbed group leaves out pytorch, tensorflow; write the cell, or an empty one "
            'with reason="..." if there is nothing to do',
        ),
        (code("x", 'tab="jax"'), "this tabbed group leaves out pytorch, mxnet, tensorflow; write"),
        (
            code("x", 'tab="jax"') + code("y", 'tab="jax"') + code("z", 'tab="mxnet"'),
            "this tabbed group has jax again in cell 6 before pytorch, mxnet, tensorflow; write",
        ),
        (
            code("x", "hide=true"),
            "unknown attribute 'hide'; known are alt, evidence, exercise, fold, part, poin",
        ),
        (code("x", 'fold=" "'), "fold says nothing; write what is closed there"),
        (
            code("", 'tab="jax" fold="this" reason="none"'),
            "fold belongs on code, and not on an exer",
        ),
        (code("x", 'tab="jax" tab="mxnet"'), "attribute 'tab' stands twice; keep one"),
        (
            code("x", 'tags=["parameter"]'),
            "unknown tag 'parameter'; known are nbval-ignore-output, parameters, raises-exception",
        ),
        (
            code("x", 'tags=["nbval-ignore-output"]'),
            "tag 'nbval-ignore-output' without a reason; add reason=\"...\"",
        ),
        (
            code("x", 'tags=["raises-exception"]'),
            "tag 'raises-exception' without a reason; add reason=\"...\"",
        ),
        (
            code("x", 'reason="so"'),
            "a reason for nothing; it belongs on an empty or a tagged cell",
        ),
        (
            '<!-- #region alt="A bar." -->\nProse.\n<!-- #endregion -->\n',
            "alt on prose; it belongs on the code that draws",
        ),
        (
            code("x", 'tab="jax" alt="A bar" alt="A bar."') + code("y", 'tab="pytorch"'),
            "attribute 'alt' stands twice; keep one",
        ),
        (code(""), "an empty cell for all tabs; take it out"),
        (
            code("", 'tab="jax"'),
            'an empty cell without a reason; add reason="..." to say why nothing is to do here',
        ),
        ('<!-- #region tab="jax" -->\n<!-- #endregion -->\n', "an empty region; take it out"),
        (
            '<!-- #region tags=["parameters"] -->\nProse.\n<!-- #endregion -->\n',
            "tag 'parameters' on prose; it belongs on code",
        ),
        (
            code("x = 1\n%timeit x"),
            "line 2 of the cell is no Python: '%timeit x'; cells are plain Python",
        ),
        ("```bash\nls\n```\n", "line 1 of the cell is no Python: '%%bash'; cells are plain"),
        ("<!-- #raw -->\nraw\n<!-- #endraw -->\n", "a raw cell; make it Markdown or code"),
    ],
)
def test_message_of_a_broken_rule(toy, body, message):
    toy.write("05_toy", body)
    place = "notebooks/05_toy.md, cell 5 (line 32): "  # behind the header and four imports
    problems = read_problems(toy)
    assert any(problem.startswith(place + message) for problem in problems), problems


def test_alt_on_a_groups_later_cell(toy):
    later = code("x", 'tab="pytorch, mxnet, tensorflow" alt="A bar."')
    toy.write("05_toy", code("x", 'tab="jax"') + later)
    assert read_problems(toy) == [
        "notebooks/05_toy.md, cell 6 (line 35): alt on a later cell of a tabbed group; write it "
        "on the first, cell 5, for all of them"
    ]


def test_cells_of_an_exercise(toy):
    toy.write("05_toy", "## Section\n\n" + EXERCISE + "\n" + code("x = 1"))
    chapter = source.read(toy.project, "05_toy")
    assert chapter.exercises() == ["double"]
    cells = [cell for cell in chapter.tab("jax") if cell.exercise]
    assert [(cell.exercise, cell.part, cell.points) for cell in cells] == [
        ("double", "task", 0),
        ("double", "solution", 0),
        ("double", "tests", 2),
        ("double", "hidden", 3),
    ]
    assert chapter.cells[-1].section == "Section"  # what #@save would write into the library


@pytest.mark.parametrize(
    ("old", "new", "cell", "message"),
    [
        (
            "points=2\n",
            'points=2\nassert double(1) == 2\n```\n\n```python part="tests" points=1\n',
            9,
            'part without exercise; add exercise="...", or take it out',
        ),
        (
            'region exercise="double"',
            'region exercise="Twice-2"',
            5,
            "exercise='Twice-2' is no name; write small letters, digits and _, as in exercise=\"s",
        ),
        ("points=2", 'points=2 tags=["parameters"]', 8, "tag 'parameters' in an exercise; take"),
        ('-1 is -2"\n', '-1 is -2"  #@save\n', 9, "#@save in an exercise; save what it needs"),
        (
            'assert double(3) == 6, "twice 3 is 6"\n',
            "",
            8,
            "an empty cell of an exercise, which is for all tabs; fill it in",
        ),
        (
            '#region exercise="double"',
            '#region exercise="double" points=1',
            5,
            "points on the task of an exercise; take it out",
        ),
        (
            "### Exercise: twice",
            "### Twice",
            5,
            "the task of an exercise begins with a heading '### Exercise: ...'",
        ),
        (
            'part="tests"',
            'part="test"',
            8,
            "part='test' of an exercise; known are solution, tests, hidden",
        ),
        ('part="tests" ', "", 8, "part=None of an exercise; known are solution, tests, hidden"),
        (" points=2", "", 8, "points=None on tests; write a whole number from 1, as in points=2"),
        ("points=3", "points=0", 9, "points=0 on hidden; write a whole number from 1, as in p"),
        ("points=2", "points=1.5", 8, "points=1.5 on tests; write a whole number from 1"),
        ("points=2", 'points="2"', 8, "points='2' on tests; write a whole number from 1"),
        ("points=2", "points=true", 8, "points=True on tests; write a whole number from 1"),
        (
            '"jax" exercise="double" part="solution"',
            '"jax" exercise="double" part="solution" points=2',
            6,
            "points on a solution; they belong on tests and hidden",
        ),
        (
            "    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION\n",
            "    return 2 * x\n",
            6,
            "a solution without '### BEGIN SOLUTION' and '### END SOLUTION'; add the lines",
        ),
        (
            "return 2 * x\n    ### END SOLUTION\n",
            "return 2 * x\n",
            6,
            "a solution without its last '### END SOLUTION'; add the line",
        ),
        (
            "### BEGIN SOLUTION\n    return 2 * x",
            "### END SOLUTION\n    return 2 * x",
            6,
            "line 3 of the cell is '### END SOLUTION', not '### BEGIN SOLUTION'; mend it",
        ),
        (
            "### BEGIN SOLUTION\n    return 2 * x",
            "# BEGIN SOLUTION\n    return 2 * x",
            6,
            "line 3 of the cell is '# BEGIN SOLUTION', not '### BEGIN SOLUTION'; mend it",
        ),
        (
            "return 2 * x\n    ### END",
            "### BEGIN SOLUTION\n    return 2 * x\n    ### END",
            6,
            "line 4 of the cell is '### BEGIN SOLUTION', not '### END SOLUTION'; mend it",
        ),
        ("    return 2 * x\n", "\n", 6, "line 5 of the cell ends an empty solution; fill it in"),
        (
            "    ### BEGIN SOLUTION\n    return 2 * x",
            "    try:\n        ### BEGIN SOLUTION\n        return 2 * x\n    finally:\n        x",
            6,
            "without its solution the cell is no Python: expected 'except' or 'finally' block; m",
        ),
        (
            "assert double(3)",
            "### BEGIN HIDDEN TESTS\nassert double(3)",
            8,
            "line 1 of the cell holds 'BEGIN HIDDEN TESTS', which nbgrader takes for its own; re",
        ),
        (
            'assert double(-1) == -2, "twice -1 is -2"',
            "x = 1\n### AUTOTEST double(-1)",
            9,
            "line 2 of the cell holds 'AUTOTEST', which nbgrader takes for its own; reword it",
        ),
        (
            'assert double(3) == 6, "twice 3 is 6"',
            "double(3)",
            8,
            "the tests end in a value, which nbgrader would take for points; assert or print it",
        ),
        ('twice 3 is 6"', 'twice 3 is 6"\n"all is well"', 8, "the tests end in a value, which nb"),
        (
            'assert double(-1) == -2, "twice -1 is -2"',
            "double(-1) == -2",
            9,
            "the tests end in a value, which nbgrader would take for points; assert or print it",
        ),
        (
            'assert double(-1) == -2, "twice -1 is -2"',
            "from classroom import checks\n\nchecks.double(double, d2l)",
            9,
            None,
        ),
        ('twice 3 is 6"', 'twice 3 is 6"\nprint("all is well")', 8, None),
        (
            'assert double(3) == 6, "twice 3 is 6"',
            "def test():\n    assert double(3) == 6\n\n\ntest()",
            8,
            None,
        ),
        (
            '```python exercise="double" part="hidden" points=3\n'
            'assert double(-1) == -2, "twice -1 is -2"\n```\n',
            "",
            5,
            "exercise 'double' has task, solution, tests in pytorch, mxnet, jax, tensorflow; "
            "write one cell each of task, solution, tests, hidden, in this order",
        ),
        (
            'tab="jax" exercise="double" part="solution"',
            'tab="jax"',
            5,
            "exercise 'double' has task, tests, hidden in jax; write one cell each of task, so",
        ),
        (
            '```python exercise="double" part="hidden"',
            'Prose.\n\n```python exercise="double" part="hidden"',
            9,
            "stands between the cells of exercise 'double'; move it above or below",
        ),
    ],
)
def test_message_of_a_broken_rule_of_exercises(toy, old, new, cell, message):
    assert EXERCISE.count(old) == 1
    toy.write("05_toy", EXERCISE.replace(old, new))
    if message is None:
        assert source.read(toy.project, "05_toy").exercises() == ["double"]
    else:
        found = [re.sub(r" \(line \d+\)", "", problem) for problem in read_problems(toy)]
        start = f"notebooks/05_toy.md, cell {cell}: {message}"
        assert any(problem.startswith(start) for problem in found), found


def test_an_exercise_twice(toy):
    toy.write("05_toy", EXERCISE + "\nProse.\n\n" + EXERCISE)
    four = "task, solution, tests, hidden"
    assert read_problems(toy) == [
        f"notebooks/05_toy.md, cell 5 (line 32): exercise 'double' has {four}, {four} in pytorch, "
        f"mxnet, jax, tensorflow; write one cell each of {four}, in this order"
    ]
    toy.write("05_toy", EXERCISE)
    toy.write("06_toy", EXERCISE)
    with pytest.raises(TabbookError) as caught:
        source.read_all(toy.project)
    assert caught.value.problems == [
        "notebooks/06_toy.md, cell 5 (line 32): exercise 'double' stands in notebooks/05_toy.md "
        "too; rename one"
    ]


def test_all_problems_of_all_chapters_come_at_once(toy):
    toy.write("05_toy", code("x", 'tab="a"') + "Prose.\n" + code("y", 'tags=["b"]'))
    toy.write("06_toy", code("x", "c=1"))
    with pytest.raises(TabbookError) as caught:
        source.read_all(toy.project)
    assert [re.sub(r".*: |;.*", "", p) for p in caught.value.problems] == [
        "unknown tab 'a'",
        "unknown tag 'b'",
        "unknown attribute 'c'",
    ]


@pytest.mark.parametrize(
    ("front_matter", "result"),
    [
        ("tabbook: {only: {name: a reason}}", {"name": "a reason"}),
        (
            "tabbook: {only: {name: ''}}",
            "'only: name' in the front matter gives no reason; say why",
        ),
        (
            "tabbook: {oly: {}}",
            "'tabbook' in the front matter is not {only: {name: reason}}; mend",
        ),
        ("tabbook: [a]", "'tabbook' in the front matter is not {only: {name: reason}}; mend it"),
        ("title: A", "unknown 'title' in the front matter; take it out"),
    ],
)
def test_front_matter(toy, front_matter, result):
    toy.write("05_toy", "Prose.\n", toy.header.replace("---\n", f"---\n{front_matter}\n", 1))
    if isinstance(result, dict):
        assert source.read(toy.project, "05_toy").only == result
    else:
        assert read_problems(toy)[0].startswith(f"notebooks/05_toy.md: {result}")


def test_header_that_is_missing_or_broken(toy):
    toy.write("05_toy", "Prose.\n", header="# Title\n")
    assert read_problems(toy) == [
        "notebooks/05_toy.md: no jupytext header; copy the lines between --- from "
        "tabbook/template.md"
    ]
    toy.write("05_toy", "Prose.\n", header="---\njupyter: [\n---\n")
    assert re.match(
        r"notebooks/05_toy.md: the header is not YAML: .*; mend", read_problems(toy)[0]
    )


def test_tags_that_are_no_list(toy):
    toy.write("05_toy", code("x", 'tags="parameters"'))
    assert read_problems(toy) == [
        "notebooks/05_toy.md: an attribute's value: 'parameters' is not of type 'array'; write it "
        'as in tags=["parameters"]'
    ]


def test_file_that_is_not_utf8(toy):
    toy.write("05_toy", "Prose.\n").write_bytes(b"---\n\n\xff")
    assert read_problems(toy) == ["notebooks/05_toy.md, line 3: not UTF-8; save the file as UTF-8"]


def test_chapters_by_number_and_name(toy):
    for name in ("05_toy", "06_other"):
        toy.write(name, "Prose.\n")
    assert toy.project.chapters() == ["05_toy", "06_other"]
    assert toy.project.chapters(["06"]) == toy.project.chapters(["06_other"]) == ["06_other"]
    with pytest.raises(TabbookError, match="no chapter '07'; the chapters are: 05_toy, 06_other"):
        toy.project.chapters(["07"])


def test_no_notebooks_folder(toy):
    done = toy.run("build", "--chapter", "09")
    assert (done.returncode, done.stderr) == (1, "no chapter '09'; the chapters are: none yet\n")
    toy.project.notebooks.rmdir()
    assert toy.run("build").stderr == (
        "no folder notebooks/ here: run tabbook from the repository's root\n"
    )


def test_jupyterlab_saves_a_chapter_as_it_is(toy):
    """Front matter and all attributes survive opening and saving in JupyterLab."""
    text = toy.write("05_toy", code("x", 'tags=["parameters"] alt="A bar."') + "\n" + EXERCISE)
    text = text.read_text()
    text = text.replace("---\n", "---\ntabbook:\n  only:\n    name: reason\n", 1)
    assert jupytext.writes(jupytext.reads(text, "md"), "md") == text


def test_frameworks():
    assert tuple(FRAMEWORKS) == FOUR
