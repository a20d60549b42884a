"""Splitting: which cells a notebook holds, what it keeps, and where its links lead."""

import re

import nbformat
import pytest
from conftest import EXERCISE, REPOSITORY

from tabbook import source, split
from tabbook.project import FRAMEWORKS, Project, write


def test_notebook_of_a_tab(toy):
    toy.write(
        "02_toy",
        '```python tags=["nbval-ignore-output"] reason="times differ"\nx\n```\n\n'
        '<!-- #region tab="jax" -->\nFor JAX.\n<!-- #endregion -->\n\n'
        '```python alt="A bar."\ny\n```\n',
    )
    chapter = source.read(toy.project, "02_toy")
    notebook = split.notebook(chapter, "jax")
    nbformat.validate(notebook)
    assert notebook.metadata.tabbook == {"framework": "jax", "source": "02_toy.md"}
    assert [cell.source for cell in notebook.cells] == [
        "from d2l_ext import jax as d2l",
        "x",
        "For JAX.",
        "y",
    ]
    assert notebook.cells[1].metadata == {
        "tags": ["nbval-ignore-output"],
        "reason": "times differ",
    }
    assert notebook.cells[3].metadata == {"alt": "A bar."}
    assert len(split.notebook(chapter, "mxnet").cells) == 3


def test_readers_find_the_solution_folded_and_no_hidden_tests(toy):
    prose, code = "## Scaling\n\nProse.\n\n", "```python\nx = 1\n```\n"
    toy.write("02_toy", prose + code)
    before = split.notebook(source.read(toy.project, "02_toy"), "jax")
    toy.write("02_toy", f"{prose}{EXERCISE}\n{code}")
    after = split.notebook(source.read(toy.project, "02_toy"), "jax")
    nbformat.validate(after)
    *first, task, solution, tests, last = after.cells
    assert [*first, last] == before.cells  # with their ids
    assert task.source.startswith("### Exercise: twice as much\n\nWrite `double(x)`")
    assert solution.source == 'def double(x):\n    """Twice x."""\n    return 2 * x'
    assert solution.metadata == {"jupyter": {"source_hidden": True}, "tags": ["solution"]}
    assert (tests.source, tests.metadata) == ('assert double(3) == 6, "twice 3 is 6"', {})


def test_folded_code_is_closed_under_its_line(toy):
    toy.write("02_toy", '```python fold="how  it is timed"\nx = 1\n```\n')
    chapter = source.read(toy.project, "02_toy")
    line, code = split.notebook(chapter, "jax").cells[1:]
    assert line.source == "*How it is timed: click on the three dots to see the code.*"
    assert (code.source, code.metadata) == ("x = 1", {"jupyter": {"source_hidden": True}})
    assert line.id == f"{code.id}-fold"


def test_build_keeps_the_outputs_of_unchanged_cells_only(executed):
    def stored():
        notebook = nbformat.read(executed.project.notebook("02_toy", "jax"), as_version=4)
        return [cell for cell in notebook.cells if cell.cell_type == "code"]

    before = stored()
    seconds = split.stored(executed.project.notebook("02_toy", "jax")).metadata.tabbook.seconds
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace("scale(2), 3", "scale(2), 5"))
    done = executed.run("build", "--framework", "jax")
    assert done.returncode == 0
    assert "notebooks/jax/02_toy.ipynb" in done.stdout
    assert "notebooks/mxnet" not in done.stdout
    after = stored()
    changed = [
        i for i, cells in enumerate(zip(before, after, strict=True)) if cells[0] != cells[1]
    ]
    assert changed == [2]
    assert (after[2].outputs, after[2].execution_count) == ([], None)
    assert before[2].outputs[0].text == "1.414\n"
    built = split.stored(executed.project.notebook("02_toy", "jax"))
    assert built.metadata.tabbook.seconds == seconds
    variant = split.stored(executed.project.colab("02_toy", "jax"))
    assert "seconds" not in variant.metadata.tabbook


def test_an_alt_text_leaves_the_outputs_as_they_are(executed):
    notebook = executed.project.notebook("02_toy", "jax")
    before = split.stored(notebook)
    path = executed.project.source("02_toy")
    path.write_text(
        path.read_text().replace(
            '```python tab="jax"\ntab', '```python tab="jax" alt="A bar."\ntab'
        )
    )
    assert executed.run("build").returncode == 0
    after = split.stored(notebook)
    assert after.cells[5].metadata.pop("alt") == "A bar."
    assert after == before


def test_build_mends_a_notebook_that_is_none(executed):
    path = executed.project.notebook("02_toy", "jax")
    path.write_text("<<<<<<< HEAD\n{}\n")
    assert executed.run("build").stdout == "notebooks/jax/02_toy.ipynb\n"
    assert not any(cell.get("outputs") for cell in split.stored(path).cells)


def test_build_again_changes_nothing(executed):
    before = executed.files()
    done = executed.run("build")
    assert (done.returncode, done.stdout) == (0, "")
    assert executed.files() == before


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("[text](04_seq2seq.md)", "[text](04_seq2seq.ipynb)"),
        ("[text](04_seq2seq.md#the-loss)", "[text](04_seq2seq.ipynb#the-loss)"),
        ("![text](img/layers.svg)", "![text](../img/layers.svg)"),
        ('<img src="img/layers.svg" width="9">', '<img src="../img/layers.svg" width="9">'),
        ("[text](../README.md)", "[text](../../README.md)"),
        ("[text](#here)", "[text](#here)"),
        ("[text](https://d2l.ai/a.md)", "[text](https://d2l.ai/a.md)"),
        ("`h[t](x)`, $h[t](x)$", "`h[t](x)`, $h[t](x)$"),
        ("```text\nh[t](x)\n```", "```text\nh[t](x)\n```"),
    ],
)
def test_links_lead_to_the_same_files_one_folder_deeper(written, expected):
    chapter = source.Chapter("02_toy", "", (), {})
    assert split.relink(chapter, "jax", written) == expected


def test_write_is_whole_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    assert write(path, "old")
    assert not write(path, "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_pictures_of_the_notebooks_need_no_network():
    project = Project(REPOSITORY)
    for chapter in project.chapters():
        for framework in FRAMEWORKS:
            path = project.notebook(chapter, framework)
            cells = split.stored(path).cells
            prose = "".join(cell.source for cell in cells if cell.cell_type == "markdown")
            pictures = re.findall(r'!\[[^]]*\]\(([^)]+)\)|<img[^>]*\bsrc="([^"]+)"', prose)
            assert pictures, path
            for picture in map("".join, pictures):
                assert (path.parent / picture).is_file(), f"{path}: {picture}"
