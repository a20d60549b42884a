"""Reads and updates the catalogs of translations: gettext's PO files, one for each text.

A catalog is the promise that its text is in the Chinese edition: `check` fails on a message that
is not translated in it. A text without a catalog is not in that edition.
"""

import ast
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polib

from classroom.language import template
from tabbook import messages
from tabbook.project import CHECKS, FRAMEWORKS, LANGUAGE, Project, TabbookError, write
from tabbook.source import GRADED, Cell, Chapter

SIMILAR = 0.6  # from here on a message is taken for a changed one


@dataclass(frozen=True)
class Message:
    """A message of a text.

    Args:
        text: the English words, on one line.
        kind: that of its block, or "title of a fold", or "test" for what a failed test says.
        note: what it is and where it stands, for translators.
    """

    text: str
    kind: str
    note: str


@dataclass(frozen=True)
class Text:
    """A text that can be translated: a chapter, a page of docs/, or the README.

    Args:
        name: such as `02_masked_softmax`, `teaching` or `README`.
        path: its English source.
        catalog: where its translations are kept, whether or not there are any yet.
        chapter: the chapter that it is; None for a page.
    """

    name: str
    path: Path
    catalog: Path
    chapter: Chapter | None = None

    def messages(self) -> list[Message]:
        """All its messages in order, each once."""
        found: dict[str, Message] = {}
        if self.name == CHECKS:
            every = of_python(self.path.read_text(encoding="utf-8"))
        elif self.chapter:
            every = of_chapter(self.chapter)
        else:
            every = of_markdown(self.path.read_text(encoding="utf-8"))
        for message in every:
            found.setdefault(message.text, message)
        return list(found.values())


def of(project: Project, chapter: Chapter) -> Text:
    """A chapter as a text to translate."""
    catalog = project.translated(chapter.name)
    return Text(chapter.name, project.source(chapter.name), catalog, chapter)


def page(project: Project, name: str) -> Text:
    """A page as a text to translate.

    Args:
        name: one of PAGES, or CHECKS for what the hidden tests say.
    """
    if name == CHECKS:
        folder = project.root / "classroom"
        return Text(name, folder / "checks.py", folder / LANGUAGE / "checks.po")
    folder = project.root if name == "README" else project.docs
    return Text(name, folder / f"{name}.md", project.docs / LANGUAGE / f"{name}.po")


def of_chapter(chapter: Chapter) -> Iterator[Message]:
    """A chapter's messages: its prose, alt texts, titles of folds, what its tests say."""
    section = ""
    for cell in chapter.cells:
        tabs = "" if len(cell.tabs) == len(FRAMEWORKS) else f" · {', '.join(cell.tabs)}"
        if cell.kind == "markdown":
            for block in messages.blocks(cell.text):
                section = block.text if block.kind == "heading" else section
                yield _message(section, block.kind, block.text, tabs)
        for kind, words in (("alt text", cell.alt), ("title of a fold", cell.fold)):
            if words:
                yield _message(section, kind, " ".join(words.split()), tabs)
        for node in complaints(cell):
            yield _message(section, "test", template(node), tabs)


def of_markdown(text: str) -> Iterator[Message]:
    """The messages of a Markdown text."""
    section = ""
    for block in messages.blocks(text):
        section = block.text if block.kind == "heading" else section
        yield _message(section, block.kind, block.text)


def of_python(code: str) -> Iterator[Message]:
    """The messages of a module: its strings of several words, docstrings excepted."""
    section, skipped = "", set()
    for node in _in_order(ast.parse(code)):
        if id(node) in skipped:
            skipped |= {id(child) for child in ast.iter_child_nodes(node)}
            continue
        if isinstance(node, ast.FunctionDef):
            section = node.name
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))  # a docstring
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(child) for child in ast.iter_child_nodes(node)}
        if isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str):
            words = template(node) if isinstance(node, ast.JoinedStr | ast.Constant) else ""
            if " " in words.strip():
                yield _message(section, "test", words)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, as they are written."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _message(section: str, kind: str, text: str, tabs: str = "") -> Message:
    return Message(text, kind, f"{section or 'top'} · {kind}{tabs}")


def complaints(cell: Cell) -> list[ast.Constant | ast.JoinedStr]:
    """The strings in a cell of tests that say what is wrong: the messages of its asserts."""
    if cell.part not in GRADED:
        return []
    found = [node.msg for node in ast.walk(ast.parse(cell.text)) if isinstance(node, ast.Assert)]
    found = [node for node in found if isinstance(node, ast.Constant | ast.JoinedStr)]
    return sorted(found, key=lambda node: (node.lineno, node.col_offset))


def stored(project: Project, text: Text) -> polib.POFile | None:
    """A text's catalog as it is on the disk; None if there is none.

    Raises:
        TabbookError: it is not a PO file.
    """
    if not text.catalog.is_file():
        return None
    try:
        return polib.pofile(text.catalog.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        name = project.relative(text.catalog)
        raise TabbookError(f"{name}: not a PO file: {error}; mend it") from None


def updated(text: Text, old: polib.POFile | None) -> polib.POFile:
    """A text's catalog as its source asks for it.

    What is translated stays, and so do a translator's comments and what its tool has noted in the
    head. A message that resembles one that has gone takes its translation along, marked fuzzy,
    with the former English beside it. Translations of other messages that have gone stay at the
    end as obsolete.
    """
    new = polib.POFile(wrapwidth=0)
    new.header = f"{text.path.name} in Chinese; docs/authoring.md says how to translate"
    new.metadata = {
        "Project-Id-Version": "d2l-ext",
        "Language": LANGUAGE,
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
    }
    if old is not None:
        new.header, new.metadata = old.header or new.header, new.metadata | old.metadata
    known = {entry.msgid: entry for entry in old or [] if entry.msgstr}
    wanted = text.messages()
    gone = [msgid for msgid in known if msgid not in {message.text for message in wanted}]
    for message in wanted:
        entry = polib.POEntry(msgid=message.text, comment=message.note)
        if message.text in known:
            _take(entry, known[message.text])
        elif similar := _most_similar(message.text, gone):
            gone.remove(similar)
            _take(entry, known[similar])
            entry.previous_msgid = entry.previous_msgid or similar
            entry.flags = list(dict.fromkeys(["fuzzy", *entry.flags]))
        new.append(entry)
    for msgid in gone:
        new.append(_take(polib.POEntry(msgid=msgid, obsolete=True), known[msgid]))
    return new


def _take(entry: polib.POEntry, other: polib.POEntry) -> polib.POEntry:
    """Give an entry all that translators have written into another."""
    entry.msgstr, entry.tcomment, entry.flags = other.msgstr, other.tcomment, list(other.flags)
    entry.previous_msgid = other.previous_msgid if other.fuzzy else None
    return entry


def same(one: polib.POFile, other: polib.POFile) -> bool:
    """Whether two catalogs say the same, wherever their lines break and whichever tool wrote."""

    def entries(catalog: polib.POFile) -> list[tuple]:
        return [
            (e.msgid, e.msgstr, sorted(e.flags), e.fuzzy and e.previous_msgid, e.obsolete)
            for e in catalog
            if e.msgstr or not e.obsolete
        ]

    return entries(one) == entries(other)


def _most_similar(text: str, others: list[str]) -> str | None:
    """The one of other messages that a text resembles most; None if it resembles none."""
    matcher = difflib.SequenceMatcher(b=text, autojunk=False)
    best, found = SIMILAR, None
    for other in others:
        matcher.set_seq1(other)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                best, found = ratio, other
    return found


def translations(catalog: polib.POFile) -> dict[str, str]:
    """The translations that may be shown: not those that are missing, fuzzy or obsolete."""
    return {entry.msgid: entry.msgstr for entry in catalog if entry.translated()}


def refresh(project: Project, text: Text) -> bool:
    """Write a text's catalog as its source asks for it; start one if there is none.

    Returns:
        Whether the file changed.
    """
    old = stored(project, text)
    new = updated(text, old)
    if old is not None and same(old, new) and _notes(old) == _notes(new):
        return False
    return write(text.catalog, str(new))


def _notes(catalog: polib.POFile) -> list[list[str]]:
    """What a catalog says of each message, for translators."""
    return [entry.comment.split() for entry in catalog if not entry.obsolete]
