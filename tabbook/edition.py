"""The Chinese edition: chapters and pages with translations in place of their English prose."""

import ast
import posixpath
import re
from dataclasses import replace
from pathlib import Path

from classroom.language import template
from tabbook import catalog, messages, numbers, split
from tabbook.project import FRAMEWORKS, LANGUAGE, PAGES, Project
from tabbook.source import Cell, Chapter
from tabbook.words import UNTRANSLATED

README = "README.zh-CN.md"
SWITCH = "[中文](README.zh-CN.md)", "[English](README.md)"  # in the README and in its translation


def names(project: Project) -> tuple[str, ...]:
    """The chapters that are in the edition: those that have a catalog."""
    return tuple(name for name in project.chapters() if project.translated(name).is_file())


def exists(project: Project) -> bool:
    """Whether there is an edition: a catalog of a chapter or of a page."""
    return bool(names(project)) or any((project.docs / LANGUAGE).glob("*.po"))


def chapters(project: Project, english: list[Chapter]) -> list[Chapter]:
    """Those of some chapters that are in the edition, in Chinese.

    Cells keep their ids, so that outputs find them. What is not translated yet is English, marked.

    Raises:
        TabbookError: a catalog is not a PO file.
    """
    known = names(project)
    return [_chapter(project, chapter, known) for chapter in english if chapter.name in known]


def _chapter(project: Project, chapter: Chapter, known: tuple[str, ...]) -> Chapter:
    new = _translations(project, catalog.of(project, chapter))
    cells = tuple(_cell(cell, new) for cell in chapter.cells)
    return replace(chapter, cells=cells, edition=known)


def _translations(project: Project, text: catalog.Text) -> dict[str, str]:
    stored = catalog.stored(project, text)
    return {} if stored is None else catalog.translations(stored)


def _cell(cell: Cell, new: dict[str, str]) -> Cell:
    """A cell in Chinese: its prose, alt text, title of a fold, and what its tests say."""
    text = cell.text
    if cell.kind == "markdown":
        text = markdown(text, new)
    for node in reversed(catalog.complaints(cell)):
        text = _with_string(text, node, _or_marked(template(node), "test", new))
    alt, fold = (
        words and _or_marked(" ".join(words.split()), kind, new)
        for words, kind in ((cell.alt, "alt text"), (cell.fold, "title of a fold"))
    )
    return replace(cell, text=text, alt=alt, fold=fold)


def markdown(text: str, new: dict[str, str]) -> str:
    """A Markdown text in Chinese.

    Args:
        new: translations by their English.
    """
    return messages.changed(text, lambda block: _or_marked(block.text, block.kind, new))


def _or_marked(english: str, kind: str, new: dict[str, str]) -> str:
    """A message's translation; if it has none, the message itself with a mark."""
    if english in new:
        return new[english]
    label = numbers.LABEL.match(english) if kind == "caption" else None
    if not label:
        return UNTRANSLATED + english
    return f"{label[0]} {UNTRANSLATED}{english[label.end() :].lstrip()}"


def _with_string(code: str, node: ast.Constant | ast.JoinedStr, words: str) -> str:
    """Code with other words in place of a string; {expressions} in them stay such."""
    lines = code.encode().splitlines(keepends=True)  # ast counts bytes
    offsets = [sum(map(len, lines[:n])) for n in range(len(lines))]
    start = offsets[node.lineno - 1] + node.col_offset
    end = offsets[node.end_lineno - 1] + node.end_col_offset
    quotes = ('"', '"""', "'''")
    quote = next(one for one in quotes if one not in words and not words.endswith(one[0]))
    prefix = "f" if isinstance(node, ast.JoinedStr) else ""
    data = code.encode()
    return (data[:start] + f"{prefix}{quote}{words}{quote}".encode() + data[end:]).decode()


def pages(project: Project) -> dict[str, str]:
    """The pages of docs/ in the edition, by their names, with links as in the English ones."""
    found = {}
    for name in PAGES:
        text = catalog.page(project, name)
        if text.catalog.is_file() and text.path.is_file():
            found[name] = markdown(
                text.path.read_text(encoding="utf-8"), _translations(project, text)
            )
    return found


def files(project: Project) -> dict[Path, str]:
    """The translated README and pages as they stand in the repository, with links from there."""
    written = pages(project)
    found = {}
    for name, text in written.items():
        text = _with_anchors(project, name, text)
        if name == "README":
            found[project.root / README] = _readme(project, text, written)
        elif name != "index":  # MyST's directives, which only the book can read
            path = project.docs / LANGUAGE / f"{name}.md"
            found[path] = relink(project, text, "docs", project.relative(path.parent), written)
    return found


def _with_anchors(project: Project, name: str, text: str) -> str:
    """A page whose links to its own sections have the ids that GitHub gives Chinese headings."""
    english = catalog.page(project, name).path.read_text(encoding="utf-8")
    for old, new in zip(messages.headings(english), messages.headings(text), strict=True):
        text = text.replace(f"](#{_slug(old)})", f"](#{_slug(new)})")
    return text


def _slug(heading: str) -> str:
    """The id of a heading on GitHub."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def _readme(project: Project, text: str, written: dict[str, str]) -> str:
    """The translated README: its links to notebooks lead to the translated ones."""
    text = relink(project, text.replace(*SWITCH), "", "", written)
    known = names(project)

    def variant(match: re.Match) -> str:
        return f"/{LANGUAGE}{match[0]}" if match[1] in known else match[0]

    return re.sub(rf"/colab/(?:{'|'.join(FRAMEWORKS)})/(\w+)\.ipynb", variant, text)


def relink(project: Project, text: str, start: str, end: str, written: dict[str, str]) -> str:
    """A page's relative links, as they must read in the edition.

    Args:
        start: the folder in which its English source stands.
        end: the folder in which the page itself stands.
        written: the pages that are in the edition.
    """
    known = names(project)

    def change(_: str, target: str) -> str:
        path, mark, fragment = target.partition("#")
        path = posixpath.normpath(posixpath.join(start, path))
        notebook = re.fullmatch(rf"notebooks/((?:{'|'.join(FRAMEWORKS)})/(\w+)\.ipynb)", path)
        chapter = re.fullmatch(r"notebooks/(\w+)\.md", path)
        page = re.fullmatch(r"docs/(\w+)\.md", path)
        if notebook and notebook[2] in known:
            path = f"notebooks/{LANGUAGE}/{notebook[1]}"
        elif chapter and chapter[1] in known:  # in the repository it is to be read as a notebook
            path = f"notebooks/{LANGUAGE}/{next(iter(FRAMEWORKS))}/{chapter[1]}.ipynb"
        elif page and page[1] in written and page[1] != "index":
            path = f"docs/{LANGUAGE}/{page[1]}.md"
        return f"{posixpath.relpath(path, end or '.')}{mark}{fragment}"

    return split.map_links(text, change)
