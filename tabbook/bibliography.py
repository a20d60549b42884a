"""Holds citations, the bibliography and the chapters' References lists to each other."""

import ast
import io
import re
import textwrap
import tokenize
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tabbook.project import FRAMEWORKS, Project, TabbookError, write
from tabbook.source import Chapter
from tabbook.split import CODE_OR_MATHS

PAGE = "docs/bibliography.md"
HEADING = "## References"
FORMAT = "run 'python -m tabbook format'"

# The same heading in the book's pages, in any language
LISTED = re.compile(r"^## .*(?:References|参考文献)$", re.MULTILINE)

PARTICLES = r"(?:(?:van|von|de|der|den|di|du|da|Del)\s+)*"
NAME = rf"\b{PARTICLES}[^\W\d_a-z][\w'’-]+"  # begins with a capital, or a letter beyond ASCII
SEVERAL = rf"(?:,\s+{NAME})*,?\s+and\s+{NAME}"
AUTHORS = rf"(?P<first>{NAME})(?:(?P<others>{SEVERAL})|(?P<al>\s+et\s+al\.))?"
YEAR = r"(?P<year>\d{4}[a-z]?)(?![\w–-])"
CITATION = re.compile(rf"{AUTHORS}(?:\s+(?P<open>\()|(?P<comma>,)?\s+){YEAR}")
# In Chinese prose the brackets may be of full width: Graves（2013，第 5.1 节）
IN_CHINESE = re.compile(CITATION.pattern.replace(r"(?:\s+(?P<open>\()", r"(?:\s*(?P<open>[(（])"))
ENTRY = re.compile(r"- (?P<authors>.+?)(?P<al>,? et al\.)? \((?P<year>\d{4}[a-z]?)\)\. .+")
AUTHOR = re.compile(rf"(?P<name>{NAME}), \w\.(?:[ -]\w\.)*")


@dataclass(frozen=True)
class Work:
    """A work as a citation names it, or as its entry does.

    Args:
        authors: the surnames that are written out.
        others: whether "et al." follows them.
        year: such as "2015", or "2015a" if the same authors have two works of a year.
    """

    authors: tuple[str, ...]
    others: bool
    year: str

    def __str__(self) -> str:
        *names, last = self.authors
        if self.others:
            authors = f"{', '.join(self.authors)} et al."
        elif len(names) > 1:
            authors = f"{', '.join(names)}, and {last}"
        else:
            authors = " and ".join(self.authors)
        return f"{authors} ({self.year})"

    def fits(self, entry: "Work") -> bool:
        """Whether a citation can mean an entry's work: "et al." is for three authors or more."""
        if self.year != entry.year:
            return False
        if self.others:
            many = entry.others or len(entry.authors) > 2
            return many and self.authors[0] == entry.authors[0]
        return self.authors == entry.authors and not entry.others


@dataclass(frozen=True)
class Entry:
    """A line of the bibliography.

    Args:
        work: authors and year.
        text: the entry as it stands there, without the dash.
        line: the page's line, from 1.
    """

    work: Work
    text: str
    line: int

    @property
    def order(self) -> tuple[str, str]:
        """What the alphabet goes by: the authors without case and accents, then the year."""
        authors = unicodedata.normalize("NFKD", self.text.partition(" (")[0]).casefold()
        return "".join(c for c in authors if not unicodedata.combining(c)), self.work.year


def read(project: Project) -> list[Entry]:
    """The entries of the bibliography; none if there is no such page.

    Raises:
        TabbookError: a line of the list is no entry, or stands in the wrong place.
    """
    path = project.root / PAGE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    entries: list[Entry] = []
    problems = []
    for number, line in enumerate(lines, start=1):
        if not line.startswith("- "):
            continue
        work = _work(line)
        if work is None:
            problems.append(
                f"{PAGE}, line {number}: no entry; write it on one line, as in "
                "'- Och, F. J., and Ney, H. (2003). Title. *Journal*.'"
            )
            continue
        entry = Entry(work, line[2:], number)
        if entries and entry.order < entries[-1].order:
            problems.append(
                f"{PAGE}, line {number}: {work} stands behind {entries[-1].work}; "
                "order the list by the alphabet"
            )
        entries.append(entry)
    if problems:
        raise TabbookError(problems)
    return entries


def _work(line: str) -> Work | None:
    """Authors and year of an entry's line; None if it can't be read."""
    entry = ENTRY.fullmatch(line)
    if not entry:
        return None
    authors = re.split(r"(?<=\.), (?:and )?", entry["authors"])  # ", " behind initials
    found = [AUTHOR.fullmatch(author) for author in authors]
    if not all(found):
        return None
    return Work(tuple(author["name"] for author in found), bool(entry["al"]), entry["year"])


def matches(text: str, chinese: bool = False) -> Iterator[tuple[Work, re.Match]]:
    """The works that a text cites, each with the match of CITATION, or of IN_CHINESE.

    A year counts in parentheses behind a name, behind a name and a comma within parentheses, and
    behind "et al.". Anything else, such as "May 2021", is no citation.
    """
    for match in (IN_CHINESE if chinese else CITATION).finditer(text):
        before = text[: match.start()].replace("（", "(").replace("）", ")")
        within = before.rfind("(") > before.rfind(")")
        if match["open"] or match["al"] or (match["comma"] and within):
            names = [match["first"], *re.findall(NAME, match["others"] or "")]
            authors = tuple(" ".join(name.split()) for name in names)
            yield Work(authors, bool(match["al"]), match["year"]), match


def parted(text: str) -> tuple[str, str, str]:
    """A text before its References, their heading, and the list; the last two may be empty."""
    heading = LISTED.search(text)
    if not heading:
        return text, "", ""
    return text[: heading.start()], heading[0], text[heading.end() :]


def citations(text: str) -> Iterator[tuple[Work, int]]:
    """The works that a text cites, as `matches` finds them, each with the text's line, from 1."""
    for work, match in matches(text):
        yield work, text.count("\n", 0, match.start()) + 1


def _prose(text: str) -> str:
    """A prose cell's text with code, formulas and the marks of quotations blanked out."""
    text = CODE_OR_MATHS.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return re.sub(r"^(?:> ?)+", "", text, flags=re.MULTILINE)


def _remarks(code: str) -> str:
    """The docstrings and comments of Python code, each on its line."""
    lines = code.splitlines()
    remarks = [""] * len(lines)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is None:
                continue
            docstring = slice(node.body[0].lineno - 1, node.body[0].end_lineno)
            remarks[docstring] = lines[docstring]
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            remarks[token.start[0] - 1] += token.string.replace("#", " ")
    return "\n".join(remarks)


def _heading(chapter: Chapter) -> int | None:
    """The line of the chapter's source, from 1, on which its References begin."""
    for cell in chapter.cells:
        if cell.kind == "markdown":
            for offset, line in enumerate(cell.text.splitlines()):
                if line.strip() == HEADING:
                    return cell.line + offset
    return None


def cited_in_chapter(chapter: Chapter) -> dict[Work, str]:
    """The works that a chapter cites above its References -> where it does so first."""
    heading = _heading(chapter)
    found: dict[Work, str] = {}
    for cell in chapter.cells:
        text = _prose(cell.text) if cell.kind == "markdown" else _remarks(cell.text)
        for work, line in citations(text):
            if heading is None or cell.line + line - 1 < heading:
                found.setdefault(work, chapter.where(cell, line))
    return found


def cited_in_module(project: Project, path: Path) -> dict[Work, str]:
    """The works that a module of the library cites -> where it does so first.

    Raises:
        TabbookError: it is not Python.
    """
    name = project.relative(path)
    try:
        text = _remarks(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise TabbookError(
            f"{name}, line {error.lineno}: not Python: {error.msg}; mend it"
        ) from None
    found: dict[Work, str] = {}
    for work, line in citations(text):
        found.setdefault(work, f"{name}, line {line}")
    return found


def listed(works: Iterable[Work], entries: list[Entry]) -> list[Entry]:
    """The entries that the cited works mean, in the bibliography's order."""
    works = list(works)
    return [entry for entry in entries if any(work.fits(entry.work) for work in works)]


def with_references(project: Project, chapter: Chapter, entries: list[Entry]) -> str:
    """The text of a chapter's source with the References that its citations ask for.

    Raises:
        TabbookError: something else stands below the heading.
    """
    text = project.source(chapter.name).read_text(encoding="utf-8")
    references = listed(cited_in_chapter(chapter), entries)
    heading = _heading(chapter)
    lines = text.splitlines()
    if heading is not None:
        for number, line in enumerate(lines[heading:], start=heading + 1):
            if not re.match(r"[-*] |  |\s*$", line):
                raise TabbookError(
                    f"{chapter.path}, line {number}: below '{HEADING}' stands the list that "
                    "format writes, and nothing else; move this up"
                )
        lines = lines[: heading - 1]
    elif not references:
        return text
    text = "\n".join(lines).rstrip() + f"\n\n{HEADING}\n"
    if references:
        text += "\n" + "\n".join(_wrapped(entry.text) for entry in references) + "\n"
    return text


def _wrapped(text: str) -> str:
    """An entry as an item of a list, 79 columns wide."""
    return textwrap.fill(
        text,
        width=79,
        initial_indent="- ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def refresh(project: Project, chapter: Chapter, entries: list[Entry]) -> bool:
    """Write a chapter's References.

    Returns:
        Whether the file changed.
    """
    return write(project.source(chapter.name), with_references(project, chapter, entries))


def check(project: Project, chapters: list[Chapter], entries: list[Entry]) -> Iterator[str]:
    """What is wrong with citations, entries, and References.

    Raises:
        TabbookError: a hand-written module is not Python.
    """
    everywhere: set[Work] = set()
    for chapter in chapters:
        found = cited_in_chapter(chapter)
        everywhere |= set(found)
        yield from _unclear(found, entries)
        try:
            wanted = with_references(project, chapter, entries)
        except TabbookError as error:
            yield from error.problems
            continue
        if wanted != project.source(chapter.name).read_text(encoding="utf-8"):
            yield f"{chapter.path}: its References are not what it cites from {PAGE}; {FORMAT}"
    generated = {project.library(name) for name in ("common", *FRAMEWORKS)}
    for path in sorted(project.library("jax").parent.glob("*.py")):
        if path not in generated:
            found = cited_in_module(project, path)
            everywhere |= set(found)
            yield from _unclear(found, entries)
    cited = listed(everywhere, entries)
    for entry in entries:
        if entry not in cited:
            yield (
                f"{PAGE}, line {entry.line}: no chapter and no hand-written module cites "
                f"{entry.work}; cite it, or take it out"
            )


def _unclear(found: dict[Work, str], entries: list[Entry]) -> Iterator[str]:
    """Citations that no entry fits, or more than one."""
    for work, where in found.items():
        fitting = listed([work], entries)
        if not fitting:
            yield f"{where}: no entry of {PAGE} fits {work}; add the work, or mend the citation"
        elif len(fitting) > 1:
            lines = " and ".join(str(entry.line) for entry in fitting)
            yield (
                f"{where}: {work} may be line {lines} of {PAGE}; name all authors, or write "
                f"{work.year[:4]}a and {work.year[:4]}b there and here"
            )
