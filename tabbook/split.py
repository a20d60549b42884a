"""Splits a chapter into one notebook a framework."""

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tabbook.project import Project, write
from tabbook.source import BEGIN, END, Cell, Chapter
from tabbook.words import say

BADGE = "img/open_in_colab.svg"
DRAWN = re.compile(r"(?:^|/)img/\w+\.svg$")
LINK = re.compile(r'(\]\(|\bsrc="|\bhref=")([^)\s"]+)')
ANSI = re.compile(r"\x1b\[[0-9;]*m")  # colors in a traceback
CODE_OR_MATHS = re.compile(r"(```.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]*\$)", re.DOTALL)


def notebook(chapter: Chapter, framework: str) -> nbformat.NotebookNode:
    """The notebook of a chapter in one framework, without outputs.

    Readers find an exercise's solution folded, and not its hidden tests.
    """
    cells = []
    for cell in chapter.tab(framework):
        if cell.part == "hidden":
            continue
        metadata = {"tags": list(cell.tags)} if cell.tags else {}
        if cell.reason:
            metadata["reason"] = cell.reason
        if cell.part == "solution":
            metadata = {"jupyter": {"source_hidden": True}, "tags": ["solution"]}
        if cell.alt:
            metadata["alt"] = cell.alt
        if cell.fold:
            metadata["jupyter"] = {"source_hidden": True}
            line = "{title}: click on the three dots to see the code."
            line = say(chapter.language, line, title=fold_line(cell))
            cells.append(new_markdown_cell(f"*{line}*", id=f"{cell.id}-fold"))
        if cell.kind == "code":
            text = "\n".join(line for _, line in shown(cell))
            cells.append(new_code_cell(text, id=cell.id, metadata=metadata))
        else:
            cells.append(new_markdown_cell(relink(chapter, framework, cell.text), id=cell.id))
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
        "tabbook": {"framework": framework, "source": f"{chapter.name}.md"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def readers(project: Project, chapter: Chapter, framework: str) -> nbformat.NotebookNode:
    """The notebook of a chapter in one framework as readers get it: under a badge, no outputs."""
    new = notebook(chapter, framework)
    variant = project.colab(chapter.name, framework, chapter.language)
    badge = relink(chapter, framework, f"![{say(chapter.language, 'Open in Colab')}]({BADGE})")
    badge = f"[{badge}]({project.home.colab(project.relative(variant))})"
    # An id of its own, so that all other cells keep theirs, and their outputs
    new.cells.insert(0, new_markdown_cell(badge, id="open-in-colab"))
    return new


def fold_line(cell: Cell) -> str:
    """The line under which a cell's code is closed, with a capital."""
    return cell.fold[0].upper() + cell.fold[1:]


def shown(cell: Cell) -> list[tuple[int, str]]:
    """The lines of a cell that its notebook shows, each with its number in the cell, from 1."""
    lines = enumerate(cell.text.split("\n"), start=1)
    if cell.part != "solution":
        return list(lines)
    return [(number, line) for number, line in lines if line.strip() not in (BEGIN, END)]


def relink(chapter: Chapter, framework: str, text: str) -> str:
    """Links of a chapter's source in notebooks/ as they must read in a framework's notebook.

    `05_x.md` becomes `05_x.ipynb`, the same framework's notebook; other relative links get `../`.
    In the Chinese edition, one folder deeper, a chapter that it lacks is the English one, and a
    picture is the one with Chinese words.
    """
    up = "../../" if chapter.language else "../"

    def deeper(opening: str, target: str) -> str:
        path, mark, anchor = target.partition("#")
        if re.fullmatch(r"\d\d_\w+\.md", path):
            inside = not chapter.language or path[:-3] in chapter.edition
            return f"{'' if inside else f'{up}{framework}/'}{path[:-3]}.ipynb{mark}{anchor}"
        return f"{up}{picture(chapter.language, target)}"

    return map_links(text, deeper)


def picture(language: str, path: str) -> str:
    """A picture of notebooks/img/ in a language; any other path as it is."""
    return path.replace("img/", f"img/{language}/", 1) if language and DRAWN.search(path) else path


def map_links(text: str, change: Callable[[str, str], str]) -> str:
    """Give every relative link of a Markdown text another target.

    Args:
        change: takes what opens the link, `](` or `src="` or `href="`, and its target; returns
            the new target.
    """

    def changed(match: re.Match) -> str:
        outside = _is_outside(match[2])
        return match[0] if outside else match[1] + change(match[1], match[2])

    parts = CODE_OR_MATHS.split(text)
    parts[::2] = [LINK.sub(changed, part) for part in parts[::2]]
    return "".join(parts)


def links(cell: Cell) -> list[str]:
    """The files that a prose cell links to, relative to notebooks/."""
    if cell.kind == "code":
        return []
    prose = " ".join(CODE_OR_MATHS.split(cell.text)[::2])
    targets = [match[2] for match in LINK.finditer(prose)]
    return [target.partition("#")[0] for target in targets if not _is_outside(target)]


def _is_outside(target: str) -> bool:
    """Whether a link leads to the web or to an anchor of its own page."""
    return target.startswith(("#", "/")) or re.match(r"[a-z][a-z0-9+.-]*:", target) is not None


def stored(path: Path) -> nbformat.NotebookNode | None:
    """The notebook in a file; None if the file is absent, or is not a notebook (any more)."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except (FileNotFoundError, nbformat.reader.NotJSONError, nbformat.ValidationError):
        return None
    return notebook


def keep_outputs(new: nbformat.NotebookNode, path: Path, translated: bool = False) -> None:
    """Give the cells whose id the notebook at `path` knows their stored outputs and counts.

    The seconds that it took to run stay too.

    Args:
        translated: whether the notebook at `path` says the same in English.
    """
    known = stored(path)
    if known is None:
        return
    if "seconds" in known.metadata.get("tabbook", {}):
        new.metadata.tabbook["seconds"] = known.metadata.tabbook["seconds"]
    kept = {cell.id: cell for cell in known.cells if "outputs" in cell}
    for cell in new.cells:
        if cell.id in kept and (translated or kept[cell.id].source == cell.source):
            cell.outputs = kept[cell.id].outputs
            cell.execution_count = kept[cell.id].execution_count


def split(project: Project, chapter: Chapter, framework: str) -> bool:
    """Write a chapter's notebook for one framework, keeping the outputs of unchanged cells.

    Returns:
        Whether the file changed.
    """
    path = project.notebook(chapter.name, framework, chapter.language)
    return write(path, text(project, chapter, framework))


def text(project: Project, chapter: Chapter, framework: str) -> str:
    """The file of a chapter's notebook, with the outputs of the English one."""
    new = readers(project, chapter, framework)
    english = project.notebook(chapter.name, framework)
    keep_outputs(new, english, translated=bool(chapter.language))
    return nbformat.writes(new) + "\n"
