"""Derives the notebooks' variants for Google Colab, and the README's links to them."""

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from tabbook import split
from tabbook.project import COLAB, FRAMEWORKS, LANGUAGE, Project, write
from tabbook.source import Chapter
from tabbook.words import say

# The cell that installs; `#: mxnet` and the like say for which frameworks the lines below it are.
CELL = Path(__file__).with_name("colab_cell.py")
MXNET = (
    "MXNet's last release knows CUDA 11 and older, and Colab has 12: on its Python 3.13 this "
    "notebook takes the wheel for the CPU, and asks for no GPU. What else can be tried is "
    "[here]({page})."
)
FIRST = "Run the cell below first; it installs what the runtime lacks."
TITLE = "Run this first: it installs what this runtime lacks"  # of that cell
README_LINK = re.compile(rf"{re.escape(COLAB)}\S+?(?=/notebooks/colab/)")


def notebook(project: Project, chapter: Chapter, framework: str) -> nbformat.NotebookNode:
    """The variant for Colab of a chapter's notebook in one framework.

    It is the readers' notebook without outputs; below the badge stands a cell that installs what
    the runtime lacks, and pictures and links lead to the repository's addresses on the web.
    """
    new = split.readers(project, chapter, framework)
    folds = {cell.id: split.fold_line(cell) for cell in chapter.tab(framework) if cell.fold}
    # Colab shows a closed cell's title, so that it needs no line above it
    new.cells = [cell for cell in new.cells if cell.id.removesuffix("-fold") == cell.id]
    for cell in new.cells:
        if cell.id in folds:
            cell.source = f"#@title {folds[cell.id]}\n{cell.source}"
        if cell.cell_type == "markdown":
            cell.source = relink(project, cell.source, framework, chapter.language)
        elif cell.metadata.get("jupyter", {}).get("source_hidden"):
            cell.metadata["cellView"] = "form"  # Colab's way of folding a cell's code
    badge = new.cells[0]
    badge.source += f"\n\n{say(chapter.language, FIRST)}"
    new.metadata["colab"] = {"name": f"{chapter.name}_{framework}.ipynb", "provenance": []}
    if framework == "mxnet":
        page = project.home.page("docs/colab.md")
        badge.source += f" {say(chapter.language, MXNET, page=page)}"
    else:
        new.metadata["accelerator"] = "GPU"
        new.metadata["colab"]["gpuType"] = "T4"
    code = first_cell(project, framework).replace(TITLE, say(chapter.language, TITLE))
    metadata = {"cellView": "form"}
    new.cells.insert(1, new_code_cell(code, id="colab-install", metadata=metadata))
    return new


def first_cell(project: Project, framework: str) -> str:
    """The code that installs what a Colab runtime lacks for one framework."""
    lines, wanted = [], True
    for line in CELL.read_text(encoding="utf-8").splitlines():
        if line.startswith("#:"):
            wanted = line == "#:" or framework in line[2:].replace(",", " ").split()
        elif wanted:
            lines.append(line)
    # MXNet stands in no extra, since no resolver joins it with the rest: pyproject.toml.
    extras = "book" if framework == "mxnet" else f"{FRAMEWORKS[framework].module},book"
    text = "\n".join(lines).replace("EXTRAS", extras)
    text = text.replace("REPOSITORY", project.home.repository)
    return text.replace("ARCHIVE", project.home.archive)


def relink(project: Project, text: str, framework: str, language: str = "") -> str:
    """Links of a notebook of a framework and a language as they must read where no repository is.

    Pictures become raw files, notebooks Colab's variants, and everything else GitHub's pages.
    """
    home = project.home

    def absolute(opening: str, target: str) -> str:
        path, mark, anchor = target.partition("#")
        start = project.notebook("_", framework, language).parent
        path = project.relative((start / path).resolve())
        if opening == 'src="' or path.endswith((".svg", ".png")):
            return home.raw(path)
        if re.fullmatch(rf"notebooks/(?:{LANGUAGE}/)?{framework}/\d\d_\w+\.ipynb", path):
            variant = path.replace(f"{framework}/", f"colab/{framework}/")
            return f"{home.colab(variant)}{mark}{anchor}"
        return f"{home.page(path)}{mark}{anchor}"

    return split.map_links(text, absolute)


def readme(project: Project) -> str | None:
    """The README with its links to Colab at the repository's address; None if there is none."""
    path = project.root / "README.md"
    if not path.is_file():
        return None
    start = project.home.colab("notebooks/colab/").removesuffix("/notebooks/colab/")
    return README_LINK.sub(start, path.read_text(encoding="utf-8"))


def derive(project: Project, chapter: Chapter, framework: str) -> bool:
    """Write the variant for Colab of a chapter's notebook.

    Returns:
        Whether the file changed.
    """
    path = project.colab(chapter.name, framework, chapter.language)
    return write(path, text(project, chapter, framework))


def text(project: Project, chapter: Chapter, framework: str) -> str:
    """The file of the variant for Colab of a chapter's notebook."""
    return nbformat.writes(notebook(project, chapter, framework)) + "\n"
