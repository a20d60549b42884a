"""Starting a chapter: names, and a template that keeps our own rules."""

import jupytext
import pytest

from tabbook import check, new, source
from tabbook.project import FRAMEWORKS


def test_new_chapter_is_a_chapter(toy):
    done = toy.run("new", "07_global_attention")
    assert (done.returncode, done.stdout) == (0, "notebooks/07_global_attention.md\n")
    text = toy.project.source("07_global_attention").read_text()
    assert jupytext.writes(jupytext.reads(text, "md"), "md") == text
    chapter = source.read(toy.project, "07_global_attention")
    assert chapter.cells[0].text.startswith("# Global attention\n\n**What you will learn.**")
    for heading in ("## Summary\n", "## Exercises\n", "## References\n"):
        assert heading in text
    for framework in FRAMEWORKS.values():
        first = next(cell for cell in chapter.tab(framework.name) if cell.kind == "code")
        assert first.text.startswith(f"from d2l_ext import {framework.module} as d2l\n")
    assert toy.run("build").returncode == 0
    problems = check.check(toy.project)
    assert problems and all("not executed" in problem for problem in problems)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "global_attention",
            "'global_attention' is no chapter name; write two digits and words, ",
        ),
        ("07 global", "'07 global' is no chapter name; write two digits and words, as in 07_glob"),
        (
            "../07_global",
            "'../07_global' is no chapter name; write two digits and words, as in 07",
        ),
        ("05_other", "notebooks/05_toy.md has number 05; take another"),
        ("05_toy", "notebooks/05_toy.md has number 05; take another"),
    ],
)
def test_bad_name(toy, name, message):
    toy.write("05_toy", "Prose.\n")
    before = toy.files()
    done = toy.run("new", name)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert toy.files() == before


def test_template_names_its_title_once():
    assert new.TEMPLATE.read_text().count("TITLE") == 1
