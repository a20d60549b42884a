"""The book's pages: what is shown once, what in tabs, and where references lead."""

import base64
import re
import shutil

import nbformat
import pytest

from tabbook import book, numbers, source
from tabbook.project import FRAMEWORKS
from tests.tool.conftest import EXERCISE, REPOSITORY

TABS = [f"{{tab-item}} {framework.label}" for framework in FRAMEWORKS.values()]


def page(toy, body, name="02_toy", outputs=()):
    """The page of a chapter whose notebooks hold these outputs: {code: {framework: output}}."""
    toy.write(name, f"# Toy\n\n{body}")
    assert toy.run("build").returncode == 0
    for framework in FRAMEWORKS:
        path = toy.project.notebook(name, framework)
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for count, cell in enumerate(code, start=1):
            cell.execution_count = count
            cell.outputs = [
                nbformat.v4.new_output("display_data", data=shown[framework])
                for source, shown in dict(outputs).items()
                if source == cell.source
            ]
        nbformat.write(notebook, path)
    return book.pages(toy.project)[f"{name}.md"]


def test_what_all_tabs_share_stands_outside_of_them(executed):
    text = book.pages(executed.project)["02_toy.md"]
    assert text.count("def scale(x)") == text.count("1.414") == 1
    before = text[: text.index("def scale(x)")]
    assert before.count(":::{tab-set}") == 2  # the imports, and the links to the notebooks
    assert "\n# 02 Toy\n" in before
    assert before.rstrip().endswith("```{code-block} python")


def test_tabs_hold_their_frameworks_code_and_output(executed):
    text = book.pages(executed.project)["02_toy.md"]
    group = next(part for part in text.split("::{tab-set}") if 'tab = "jax"' in part)
    items = re.split(r":{5}\{tab-item\} ", group)[1:]
    assert [item.split()[0] for item in items] == [f.label for f in FRAMEWORKS.values()]
    for name, item in zip(FRAMEWORKS, items):
        assert f":sync: {name}\n" in item
        own, other = ("jax", "another") if name == "jax" else ("another", "jax")
        assert f'tab = "{own}"' in item and f"'{own}'" in item
        assert f'"{other}"' not in item and f"'{other}'" not in item


def test_an_output_that_differs_stands_in_tabs_below_the_shared_code(toy):
    shown = {name: {"text/plain": f"seen in {name}"} for name in FRAMEWORKS}
    text = page(toy, "```python\nlook()\n```", outputs={"look()": shown})
    assert text.count("look()") == 1
    tabs = text[text.index("look()") :]
    assert all(tab in tabs for tab in TABS)
    assert re.findall(
        r":sync: (\w+)\n\n```\{code-block\} text\n:class: output\n\nseen in (\w+)", tabs
    )
    assert re.findall(r"seen in (\w+)", tabs) == list(FRAMEWORKS)


def test_pictures_are_files_with_their_alt_texts(toy):
    png = base64.b64encode(b"PNG of all").decode()
    shown = {name: {"image/png": png, "text/plain": "<Figure>"} for name in FRAMEWORKS}
    code = "draw()"
    text = page(toy, f'```python alt="A dark  diagonal."\n{code}\n```', outputs={code: shown})
    name, alt = re.search(r"\{image\} (\S+)\n:alt: (.+)\n", text).groups()
    assert alt == "A dark diagonal." and "Figure" not in text
    assert book.pages(toy.project)[name] == b"PNG of all"


def test_code_for_some_tabs_only_makes_no_tabs(toy):
    body = """```python tab="jax"
here()
```

```python tab="pytorch, mxnet, tensorflow" reason="nothing to do"
```

<!-- #region tab="mxnet, jax" -->
## More

Words.
<!-- #endregion -->
"""
    text = page(toy, body)
    rest = text[text.index("here()") :]
    assert "tab-set" not in rest
    assert text[: text.index("here()")].rstrip().endswith("```{code-block} python")
    assert "{div} only only-jax\n\n[JAX]{.only-label}" in text
    assert "{div} only only-mxnet only-jax\n\n[MXNet, JAX]{.only-label}" in rest
    assert "{rubric} More\n:heading-level: 2" in rest and "## More" not in rest


def test_solutions_are_folded_and_hidden_tests_absent(toy):
    text = page(toy, EXERCISE)
    solution = text[text.index("{dropdown} Solution") :]
    assert all(tab in solution for tab in TABS)
    assert "return x + x" in solution and "return 2 * x" not in text.split("{dropdown}")[0]
    assert "assert double(3) == 6" in text and "double(-1)" not in text
    assert "BEGIN SOLUTION" not in text


def test_folded_code_is_a_dropdown_and_its_output_stands_open(toy):
    code = "measure()"
    shown = {name: {"text/plain": "7 ms"} for name in FRAMEWORKS}
    text = page(toy, f'```python fold="how it is timed"\n{code}\n```', outputs={code: shown})
    dropdown = text[text.index("{dropdown} How it is timed") :]
    fence = text[: text.index("{dropdown}")].rpartition("\n")[2]
    inside, _, after = dropdown.partition(f"\n{fence}\n")
    assert code in inside and "7 ms" not in inside and "7 ms" in after


REFERENCES = r"""See chapter 02, chapter
05, chapters 05 and 06, equation (2.1), Figure 2.1 and `chapter 05`.

$$
\begin{aligned}
a &= b \\
c &= d
\end{aligned} \tag{2.1}
$$

![Two  boxes
side by side](img/boxes.svg)

*Figure 2.1. Boxes, as $x_i$ of chapter 05.*
"""


def test_references_lead_there(toy):
    for name in ("05_five", "06_six"):
        page(toy, "", name)
    text = page(toy, REFERENCES)
    assert (
        "See chapter 02, [chapter\n05](05_five.md), chapters [05](05_five.md) and "
        "[06](06_six.md), [equation (2.1)](#equation-2-1), [Figure 2.1](#figure-2-1) "
        "and `chapter 05`." in text
    )
    assert "(equation-2-1)=\n\n```{math}\n:no-wrap:\n\n\\begin{equation}\n\\begin{aligned}" in text
    assert text.count("\\tag{2.1}") == 1 and "$$" not in text
    assert "{figure} img/boxes.svg\n:name: figure-2-1\n:alt: Two boxes side by side\n" in text
    assert "Figure 2.1. Boxes, as $x_i$ of [chapter 05](05_five.md)." in text


def test_the_book_takes_for_numbered_what_check_takes_for_it(toy):
    body = "$$ a = b \\tag{2.1} $$\n\n![A [0, 1]](img/a.svg)\n\n*Figure 2.1. A *b* and $x^*$.*\n"
    text = page(toy, body)
    assert list(numbers.problems(source.read_all(toy.project))) == []
    assert "(equation-2-1)=\n\n```{math}" in text and "$$" not in text
    assert "{figure} img/a.svg\n:name: figure-2-1\n:alt: A [0, 1]\n" in text
    assert "Figure 2.1. A *b* and $x^*$.\n```" in text


def test_links_lead_to_pages_or_to_github(toy):
    text = "[a](05_x.md#b) [b](../docs/parity.md) ![c](img/d.svg) [e](../tests/tiny.py) <#f>"
    found = book.relink(toy.project, text, "notebooks/02_toy.md")
    github = toy.project.home.page("tests/tiny.py")
    assert found == f"[a](05_x.md#b) [b](docs/parity.md) ![c](img/d.svg) [e]({github}) <#f>"
    text = "[a](../notebooks/05_x.md) [b](speed.md#c) [d](index.md)"
    found = book.relink(toy.project, text, "docs/parity.md")
    assert found == "[a](../05_x.md) [b](speed.md#c) [d](../index.md)"
    assert book.relink(toy.project, text, "docs/index.md") == (
        "[a](05_x.md) [b](docs/speed.md#c) [d](index.md)"
    )


def test_pictures_come_without_the_scripts_that_draw_them(toy):
    folder = toy.project.notebooks / "img"
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("a.svg", "b.png", "a.py"):
        (folder / name).touch()
    page(toy, "")
    assert {name for name in book.pages(toy.project) if name.startswith("img/")} == {
        "img/a.svg",
        "img/b.png",
    }


def test_citations_lead_to_the_bibliography(toy):
    (toy.root / "docs").mkdir()
    (toy.root / "docs/bibliography.md").write_text(
        "# Bibliography\n\n- Bahdanau, D., Cho, K., and Bengio, Y. (2015). A title. *ICLR*.\n"
    )
    body = """Bahdanau, Cho, and
Bengio (2015) say so (Bahdanau et al., 2015). Watson (1964) does not.

## References

- Bahdanau, D., Cho, K., and Bengio, Y. (2015). A title. *ICLR*.
"""
    text = page(toy, body)
    target = "docs/bibliography.md#bahdanau-cho-and-bengio-2015"
    assert f"[Bahdanau, Cho, and\nBengio (2015)]({target}) say so" in text
    assert f"([Bahdanau et al., 2015]({target})). Watson (1964) does" in text
    assert text.endswith("- Bahdanau, D., Cho, K., and Bengio, Y. (2015). A title. *ICLR*.\n")
    listed = book.pages(toy.project)["docs/bibliography.md"]
    assert "- []{#bahdanau-cho-and-bengio-2015}Bahdanau, D., Cho" in listed


def test_outputs_are_texts_pictures_and_views():
    new = nbformat.v4.new_output
    trace = ["\x1b[31mValueError\x1b[0m: no"]
    cell = nbformat.v4.new_code_cell(
        outputs=[
            new("stream", text="a\n"),
            new("execute_result", data={"text/plain": "b", "text/html": "<pre>b</pre>"}),
            new("display_data", data={"image/png": "cG5n", "text/plain": "<Figure>"}),
            new("display_data", data={"text/html": "<iframe srcdoc>", "text/plain": "View"}),
            new("error", ename="ValueError", evalue="no", traceback=trace),
        ]
    )
    assert book.outputs(cell) == [
        ("text", "a\nb"),
        ("image", "cG5n"),
        ("view", '<iframe class="view" loading="lazy" srcdoc>'),
        ("text", "ValueError: no"),
    ]


def test_fences_are_longer_than_those_within():
    assert book.directive("code-block", "text", "a\n````\nb").startswith(
        "`````{code-block} text\n"
    )
    tabs = book.tab_set({name: book.only(("jax",), name) for name in FRAMEWORKS})
    fences = [len(fence) for fence in re.findall(r"^(:+)\{", tabs, re.MULTILINE)]
    assert fences == [6, *[5, 4] * 4]


@pytest.mark.parametrize("change", ["source", "count", "file"])
def test_a_notebook_that_is_not_the_chapters_makes_no_page(executed, change):
    path = executed.project.notebook("02_toy", "jax")
    notebook = nbformat.read(path, as_version=4)
    if change == "source":
        notebook.cells[-1].source += "  # edited"
    else:
        notebook.cells[-1].execution_count = None
    nbformat.write(notebook, path)
    if change == "file":
        path.unlink()
    done = executed.run("book")
    assert done.returncode == 1 and "make notebooks" in done.stderr
    assert "notebooks/jax/02_toy.ipynb: not" in done.stderr
    assert not (executed.root / "build").exists() or not (executed.root / "build/book").exists()


def test_the_site_is_built_and_a_warning_is_an_error(executed, capfd):
    docs = executed.root / "docs"
    docs.mkdir()
    shutil.copy(REPOSITORY / "docs/conf.py", docs)
    for folder in ("_static", "_templates"):
        shutil.copytree(REPOSITORY / "docs" / folder, docs / folder)
    shutil.copytree(REPOSITORY / "tabbook", executed.root / "tabbook")
    index = docs / "index.md"
    index.write_text(
        "# Front\n\n[A](../notebooks/02_toy.md)\n\n```{toctree}\n02_toy\ndocs/reference\n```\n"
    )
    left = executed.root / "build/book/source/outputs/left.png"
    left.parent.mkdir(parents=True)
    left.touch()
    done = executed.run("book")
    assert done.returncode == 0, capfd.readouterr().err
    assert not left.parent.exists()
    site = executed.root / "build/book/html"
    assert "def</span>" in (site / "02_toy.html").read_text()
    assert (site / "_static/mathjax/tex-chtml.js").is_file()
    assert 'id="d2l.scale"' in (site / "docs/reference.html").read_text()
    index.write_text(index.read_text() + "\n[nowhere](99_gone.md)\n")
    assert executed.run("book").returncode == 1
    assert "99_gone.md" in capfd.readouterr().err
