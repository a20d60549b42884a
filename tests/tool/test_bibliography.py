"""Citations: what counts as one, and that chapters, references and bibliography agree."""

import pytest

from tabbook import bibliography, source
from tabbook.bibliography import Work

NEY = "- Och, F. J., and Ney, H. (2003). Alignment *models*. *CL*, 29(1)."
GRAVES = "- Graves, A. (2013). Generating sequences. <https://arxiv.org/abs/1308.0850>"
CHO = (
    "- Cho, K., van Merriënboer, B., Gulcehre, C., and Zhu-Lü, W.-J. (2014). Learning phrase "
    "representations using RNN encoder–decoder for statistical-machine translation. *EMNLP*."
)
WU = "- Wu, Y., et al. (2016). A translation system. *arXiv:1609.08144*."


def page(toy, *entries: str) -> None:
    """Write the toy's bibliography."""
    path = toy.root / bibliography.PAGE
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["# Works", "", *entries, ""]), encoding="utf-8")


def problems(toy) -> list[str]:
    """What the check says about citations."""
    entries = bibliography.read(toy.project)
    return list(bibliography.check(toy.project, source.read_all(toy.project), entries))


def found(text: str) -> list[str]:
    """The citations in a text."""
    return [str(work) for work, _ in bibliography.citations(text)]


@pytest.mark.parametrize(
    ("text", "works"),
    [
        ("Nadaraya (1964) had it", ["Nadaraya (1964)"]),
        ("early (Watson, 1964)", ["Watson (1964)"]),
        ("(see Watson, 1964, page 3)", ["Watson (1964)"]),
        ("Och and Ney (2003, section 2)", ["Och and Ney (2003)"]),
        ("(Och and\nNey, 2003, section 2)", ["Och and Ney (2003)"]),
        ("Bahdanau, Cho, and\nBengio (2015)", ["Bahdanau, Cho, and Bengio (2015)"]),
        ("Luong, Pham and Manning (2015)", ["Luong, Pham, and Manning (2015)"]),
        ("(Bahdanau, Cho, and Bengio, 2015)", ["Bahdanau, Cho, and Bengio (2015)"]),
        ("Cho et al. (2014) do", ["Cho et al. (2014)"]),
        ("Source: Cho et al. 2014, section 2.", ["Cho et al. (2014)"]),
        ("as Cho\net al., 2014, do", ["Cho et al. (2014)"]),
        ("Cho et al. (2014b)", ["Cho et al. (2014b)"]),
        ("William James (1890)", ["James (1890)"]),
        ("Nadaraya (1964)\nand Watson (1964)", ["Nadaraya (1964)", "Watson (1964)"]),
        ("(Lin, 2004; Cho et al., 2014)", ["Lin (2004)", "Cho et al. (2014)"]),
        ("van\nMerriënboer (2014)", ["van Merriënboer (2014)"]),
        ("(of van Merriënboer and Øst-Lü, 2014)", ["van Merriënboer and Øst-Lü (2014)"]),
        ("by Élie (1950), O'Neil (1951)", ["Élie (1950)", "O'Neil (1951)"]),
        ("In May 2021 Lin (2004) was old", ["Lin (2004)"]),
    ],
)
def test_citation(text, works):
    assert found(text) == works


@pytest.mark.parametrize(
    "text",
    [
        "in May 2021 and on 14 July 1789",
        "May 3rd, 1848, the twelfth of October, 1492",
        "in October, 1492, (or so) in May, 1493",
        "(in May 2021, or on May 3, 2021)",
        "Lin 2004, Och and Ney 2003",
        "years (1970 to 2039), Training (from 1970)",
        "Training (1970–2039) on (Monday, 2021-05-03)",
        "Luong and company's (2015)",
        "lower (2004)",
    ],
)
def test_dates_and_bare_years_are_no_citations(text):
    assert found(text) == []


def test_lines_of_citations():
    text = "One.\n\nLin (2004) and\nOch and\nNey (2003)"
    assert [line for _, line in bibliography.citations(text)] == [3, 4]


@pytest.mark.parametrize(
    ("cited", "entry", "fits"),
    [
        ("Graves (2013)", GRAVES, True),
        ("Graves (2014)", GRAVES, False),
        ("Graves (2013a)", GRAVES, False),
        ("Graves et al. (2013)", GRAVES, False),
        ("Och and Ney (2003)", NEY, True),
        ("Ney and Och (2003)", NEY, False),
        ("Och (2003)", NEY, False),
        ("Ney (2003)", NEY, False),
        ("Och et al. (2003)", NEY, False),
        ("Cho et al. (2014)", CHO, True),
        ("Gulcehre et al. (2014)", CHO, False),
        ("Cho, van Merriënboer, Gulcehre, and Zhu-Lü (2014)", CHO, True),
        ("Cho, van Merriënboer, and Gulcehre (2014)", CHO, False),
        ("Wu et al. (2016)", WU, True),
        ("Wu (2016)", WU, False),
    ],
)
def test_entry_that_a_citation_means(toy, cited, entry, fits):
    page(toy, entry)
    ((work, _),) = bibliography.citations(cited)
    assert bool(bibliography.listed([work], bibliography.read(toy.project))) == fits


def test_entries(toy):
    page(toy, CHO, WU.replace("2016", "2016a"), "", "No entry: Och and Ney (2003).")
    first, second = bibliography.read(toy.project)
    authors = ("Cho", "van Merriënboer", "Gulcehre", "Zhu-Lü")
    assert (first.work, first.text, first.line) == (Work(authors, False, "2014"), CHO[2:], 3)
    assert (second.work, second.line) == (Work(("Wu",), True, "2016a"), 4)


def test_no_bibliography_has_no_entries(toy):
    assert bibliography.read(toy.project) == []


@pytest.mark.parametrize(
    "line",
    [
        "- Graves. (2013). Title.",
        "- A. Graves (2013). Title.",
        "- Graves, A. (2013) Title.",
        "- Graves, A. Title. 2013.",
        "- Graves, A., Ney (2003). Title.",
        "- Graves, A. (2013).",
    ],
)
def test_line_that_is_no_entry(toy, line):
    page(toy, line, NEY)
    message = (
        "docs/bibliography.md, line 3: no entry; write it on one line, as in "
        "'- Och, F. J., and Ney, H. (2003). Title. *Journal*.'\n"
    )
    for command in ("check", "format"):
        done = toy.run(command)
        assert (done.returncode, done.stderr) == (1, message)


def test_order_of_entries(toy):
    page(toy, CHO, GRAVES, NEY, GRAVES.replace("2013", "2012"))
    assert toy.run("check").stderr == (
        "docs/bibliography.md, line 6: Graves (2012) stands behind Och and Ney (2003); order the "
        "list by the alphabet\n"
    )
    page(toy, GRAVES, GRAVES.replace("2013", "2012"))
    assert "Graves (2012) stands behind Graves (2013)" in toy.run("check").stderr
    page(
        toy,
        "- Élie, A. (1950). A.",
        "- Elz, A. (1940). A.",
        GRAVES,
        "- van Ool, B. (2001). A.",
        WU,
    )
    assert len(bibliography.read(toy.project)) == 5


def test_places_that_count(toy):
    toy.write(
        "02_toy",
        """# Toy

> As Prose and
> Quote (2001) say. `Span (2002)`, $Formula (2003)$,

```bash .noeval
echo "Fence (2004)"
```

Behind (2013)

```python
def scale(x):
    \"\"\"Halve, as in Doc\n    et al. 2005.\"\"\"
    return x / 2  # Comment (2006)


# Long
# and Short (2007)
text = "String (2008)"
text
```

```python tab="jax"
class Tab:
    \"\"\"By Klass (2009).\"\"\"
```

```python tab="pytorch, mxnet, tensorflow"
# (Others, 2010)
```

<!-- #region tab="mxnet" -->
Region (2011)
<!-- #endregion -->

## Summary

## References

- Listed (2012)
""",
    )
    chapter = source.read(toy.project, "02_toy")
    places = bibliography.cited_in_chapter(chapter)
    assert [str(work) for work in places] == [
        "Prose and Quote (2001)",
        "Behind (2013)",
        "Doc et al. (2005)",
        "Comment (2006)",
        "Long and Short (2007)",
        "Klass (2009)",
        "Others (2010)",
        "Region (2011)",
    ]
    text = toy.project.source("02_toy").read_text().splitlines()
    lines = [int(where.partition("(line ")[2].rstrip(")")) for where in places.values()]
    firsts = [
        "> As Prose",
        "Behind",
        "Halve, as in Doc",
        "# Comment",
        "# Long",
        "Klass",
        "Others",
        "Region",
    ]
    assert all(first in text[line - 1] for first, line in zip(firsts, lines, strict=True))


def test_format_writes_the_references(toy):
    page(toy, CHO, GRAVES, NEY, WU)
    path = toy.write(
        "02_toy",
        "# Toy\n\nOch and Ney (2003).\n\n```python\nx=1  # Cho et al. 2014\n```\n\n"
        "## References\n\n* An old list,\n  by hand.\n",
    )
    assert toy.run("format").stdout == "notebooks/02_toy.md\n"
    text = path.read_text()
    assert text.endswith(
        "```python\nx = 1  # Cho et al. 2014\n```\n\n"
        "## References\n\n"
        "- Cho, K., van Merriënboer, B., Gulcehre, C., and Zhu-Lü, W.-J. (2014).\n"
        "  Learning phrase representations using RNN encoder–decoder for\n"
        "  statistical-machine translation. *EMNLP*.\n"
        "- Och, F. J., and Ney, H. (2003). Alignment *models*. *CL*, 29(1).\n"
    )
    assert toy.run("format").stdout == ""
    assert path.read_text() == text
    toy.write("03_other", "Graves (2013), Wu et al. (2016).\n")
    assert toy.run("format", "--chapter", "03").stdout == "notebooks/03_other.md\n"
    assert problems(toy) == []


def test_format_moves_lines_before_it_writes_references(toy):
    page(toy, GRAVES)
    code = "```python\nx = [" + "1000, " * 20 + "1000]\n```\n"
    path = toy.write("02_toy", f"Graves (2013).\n\n{code}\n## References\n")
    toy.run("format")
    assert path.read_text().endswith(f"    1000,\n]\n```\n\n## References\n\n{GRAVES}\n")


def test_heading_comes_with_the_first_citation(toy):
    page(toy, GRAVES)
    path = toy.write("02_toy", "Graves (2013).\n")
    toy.run("format")
    assert path.read_text().endswith(f"\nGraves (2013).\n\n## References\n\n{GRAVES}\n")
    path.write_text(path.read_text().replace("\nGraves (2013).", "\nNobody."))
    toy.run("format")
    assert path.read_text().endswith("\nNobody.\n\n## References\n")


def test_chapter_that_cites_nothing_stays_as_it_is(toy):
    path = toy.write("02_toy", "Nothing.\n\n\n")
    before = path.read_bytes()
    assert toy.run("format").stdout == ""
    assert path.read_bytes() == before
    assert problems(toy) == []


@pytest.mark.parametrize("below", ["Prose.", "## More", "```python\nx = 1\n```", "+ point"])
def test_format_deletes_nothing_but_its_list(toy, below):
    page(toy, GRAVES)
    path = toy.write("02_toy", f"Graves (2013).\n\n## References\n\n{GRAVES}\n\n{below}\n")
    before = path.read_bytes()
    line = 2 + path.read_text().splitlines().index("## References") + 3
    message = (
        f"notebooks/02_toy.md, line {line}: below '## References' stands the list that format "
        "writes, and nothing else; move this up"
    )
    done = toy.run("format")
    assert (done.returncode, done.stderr) == (1, f"{message}\n")
    assert path.read_bytes() == before
    assert problems(toy) == [message]


def test_references_that_format_would_not_write(toy):
    page(toy, GRAVES, NEY)
    path = toy.write("02_toy", "Graves (2013), Och and Ney (2003).\n")
    stale = (
        "notebooks/02_toy.md: its References are not what it cites from docs/bibliography.md; run "
        "'python -m tabbook format'"
    )
    assert problems(toy) == [stale]
    toy.run("format")
    assert problems(toy) == []
    good = path.read_text()
    for old, new in [(f"{NEY}\n", ""), ("*CL*", "CL"), (f"{GRAVES}\n{NEY}", f"{NEY}\n{GRAVES}")]:
        assert old in good
        path.write_text(good.replace(old, new))
        assert problems(toy) == [stale]


def test_citation_without_entry(toy):
    page(toy, GRAVES)
    toy.write(
        "02_toy", f"Graves (2013).\n\nLin (2004), Lin (2004).\n\n## References\n\n{GRAVES}\n"
    )
    (toy.root / "d2l_ext/metrics.py").write_text('"""A.\n\nSource: Post (2018).\n"""\n')
    ending = "no entry of docs/bibliography.md fits"
    assert problems(toy) == [
        f"notebooks/02_toy.md, cell 5 (line 33): {ending} Lin (2004); add the work, or mend the "
        "citation",
        f"d2l_ext/metrics.py, line 3: {ending} Post (2018); add the work, or mend the citation",
    ]


def test_ambiguous_citation(toy):
    other = "- Cho, K., Ney, H., and Wu, Y. (2014). Another. *EMNLP*."
    page(toy, other, CHO)
    text = "Cho et al. (2014).\n"
    toy.write("02_toy", text)
    toy.run("format")
    assert problems(toy) == [
        "notebooks/02_toy.md, cell 5 (line 31): Cho et al. (2014) may be line 3 and 4 of "
        "docs/bibliography.md; name all authors, or write 2014a and 2014b there and here"
    ]
    page(toy, other.replace("2014", "2014a"), CHO.replace("2014", "2014b"))
    toy.write("02_toy", text + "Cho et al. (2014a), Cho et al. (2014b).\n")
    toy.run("format")
    assert [line for line in problems(toy) if "may be" in line] == []
    toy.write("02_toy", "Cho et al. (2014a), Cho et al. (2014b).\n")
    toy.run("format")
    assert problems(toy) == []


def test_entry_that_nothing_cites(toy):
    page(toy, CHO, GRAVES, NEY)
    toy.write("02_toy", "Graves (2013).\n")
    toy.run("format")
    (toy.root / "d2l_ext/metrics.py").write_text("# Source: Och and Ney (2003).\n")
    toy.project.library("jax").write_text("# Source: Cho et al. 2014.\n")
    uncited = (
        "docs/bibliography.md, line 3: no chapter and no hand-written module cites Cho, van "
        "Merriënboer, Gulcehre, and Zhu-Lü (2014); cite it, or take it out"
    )
    assert problems(toy) == [uncited]
    (toy.root / "d2l_ext/metrics.py").write_text('source = "Och and Ney (2003)"\n')
    assert len(problems(toy)) == 2


def test_module_that_is_not_python(toy):
    (toy.root / "d2l_ext/metrics.py").write_text("x = 1\nx =\n")
    toy.write("02_toy", "Nothing.\n")
    done = toy.run("check")
    assert done.returncode == 1
    assert "d2l_ext/metrics.py, line 2: not Python: invalid syntax; mend it\n" in done.stderr


def test_check_reports_citations(executed):
    page(executed, GRAVES)
    done = executed.run("check")
    assert (done.returncode, done.stderr) == (
        1,
        "docs/bibliography.md, line 3: no chapter and no hand-written module cites Graves "
        "(2013); cite it, or take it out\n",
    )
