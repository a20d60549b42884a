"""Holds translations to their sources: none missing, nothing lost in them, set as Chinese is."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from tabbook import bibliography, catalog, messages, numbers
from tabbook.catalog import Message, Text
from tabbook.project import CHECKS, LANGUAGE, PAGES, Project
from tabbook.source import Chapter

HAN = r"[\u3400-\u9fff]"
FULL = "，。、；：？！（）《》「」"  # punctuation that takes the width of a character
HALF = ",;:!?"
TRANSLATE = "run 'python -m tabbook translate'"
PLACEHOLDER = re.compile(r"\{[^{}]+\}")
NAMED = {  # what must be the same -> how a problem calls it
    "formula": "formulas",
    "code": "code spans",
    "link": "links",
    "html": "HTML",
    "citation": "citations",
    "chapter": "references to chapters",
    "equation": "references to equations",
    "figure": "references to figures",
    "placeholder": "{...} for what varies",
    "emphasis": "bold or slanted words",
}


def check_all(project: Project, chapters: list[Chapter]) -> Iterator[str]:
    """What is wrong with all catalogs, and catalogs of nothing.

    Raises:
        TabbookError: one is not a PO file.
    """
    texts = [catalog.of(project, chapter) for chapter in chapters]
    texts += [catalog.page(project, name) for name in (*PAGES, CHECKS)]
    for text in texts:
        yield from check(project, text)
    known = {text.catalog for text in texts if text.path.is_file()}
    for folder in (project.notebooks, project.docs):
        for path in sorted((folder / LANGUAGE).glob("*.po")):
            if path not in known:
                yield f"{project.relative(path)}: there is no such text; delete it"


def check(project: Project, text: Text) -> Iterator[str]:
    """What is wrong with a text's catalog; nothing if there is none.

    Raises:
        TabbookError: it is not a PO file.
    """
    old = catalog.stored(project, text)
    if old is None:
        return
    path = project.relative(text.catalog)
    lines = {entry.msgid: entry.linenum for entry in old if not entry.obsolete}
    new = catalog.updated(text, old)
    if str(new) + "\n" != text.catalog.read_text(encoding="utf-8"):
        yield f"{path}: not what {project.relative(text.path)} asks for; {TRANSLATE}"
    entries = [entry for entry in new if not entry.obsolete]
    for message, entry in zip(text.messages(), entries, strict=True):
        where = f"{path}, line {lines[message.text]}" if message.text in lines else path
        where += f", '{message.text[:40]}'"
        if not entry.msgstr:
            yield f"{where}: not translated; write its msgstr"
        elif entry.fuzzy:
            yield f"{where}: fuzzy: its English has changed; mend the msgstr, delete 'fuzzy'"
        else:
            yield from (f"{where}: {problem}" for problem in problems(message, entry.msgstr))


def problems(message: Message, translation: str) -> Iterator[str]:
    """What is wrong with a translation: what its source has and it has not, and its typography."""
    plain = message.kind == "test"
    wanted, found = _parts(message.text, False, plain), _parts(translation, True, plain)
    for kind, what in NAMED.items():
        lost, added = wanted[kind] - found[kind], found[kind] - wanted[kind]
        if lost:
            yield f"has lost {what}: {', '.join(map(str, lost.elements()))}"
        if added:
            yield f"has {what} that its source has not: {', '.join(map(str, added.elements()))}"
    if "\n" in translation:
        yield "has more than one line; write it on one"
    if not plain and _shape(translation) != _shape(message.text):
        yield "is another kind of Markdown, such as a list; mend its beginning"
    yield from _typography(translation, plain)


def _parts(text: str, chinese: bool, plain: bool) -> dict[str, Counter]:
    """What a message and its translation must have in common, and how often it has each."""
    found = {kind: Counter() for kind in NAMED}
    if plain:
        found["placeholder"].update(PLACEHOLDER.findall(text))
        return found
    for token in _flat(messages.parse(text)):
        if token.type.startswith("math_"):
            found["formula"][f"${' '.join(token.content.split())}$"] += 1
        elif token.type == "code_inline":
            found["code"][f"`{token.content}`"] += 1
        elif token.type == "link_open":
            found["link"][token.attrs["href"]] += 1
        elif token.type == "image":
            found["link"][token.attrs["src"]] += 1
        elif token.type in ("html_inline", "html_block"):
            found["html"].update(re.findall(r"<[^>]+>", token.content))
        elif token.type in ("strong_open", "em_open"):
            found["emphasis"][token.markup] += 1
    found["link"].update(re.findall(r"\]\[([\w-]+)\]", text))  # to an address below the text
    prose = numbers.CODE.sub(" ", text)
    found["citation"].update(str(work) for work, _ in bibliography.matches(prose, chinese))
    patterns = numbers.CHINESE if chinese else numbers.REFERENCES
    for kind, pattern in patterns.items():
        for match in pattern.finditer(prose):
            found[kind].update(numbers.NUMBER.findall(match[1]))
    label = numbers.LABEL.match(text)
    if label:
        found["figure"][f"caption {label['number']}"] += 1
    return found


def _flat(tokens) -> Iterator:
    for token in tokens:
        yield token
        yield from _flat(token.children or [])


def _shape(text: str) -> list[str]:
    return [token.type for token in messages.parse(text) if token.level == 0]


def _visible(text: str, plain: bool) -> str:
    """A translation as one reads it, with one letter for each code span and formula.

    An {expression} of a test may become words of either language: it is a character of neither.
    """
    if plain:
        return PLACEHOLDER.sub("\N{OBJECT REPLACEMENT CHARACTER}", text)
    parts = []
    for token in _flat(messages.parse(text)):
        if token.type == "text":
            parts.append(token.content)
        elif token.type == "code_inline" or token.type.startswith("math_"):
            parts.append("x")
        elif token.type == "softbreak":
            parts.append(" ")
    return re.sub(r"\]\[[\w-]+\]|\\", "", "".join(parts))


def _typography(translation: str, plain: bool) -> Iterator[str]:
    """What Chinese readers would stumble over: spaces, and marks of the wrong width."""
    text = _visible(translation, plain)
    latin = "[A-Za-z0-9]"
    rules = [
        (rf"{HAN}{latin}|{latin}{HAN}", "no space between Chinese and Latin words, digits, code"),
        (rf"{HAN} +{HAN}", "a space between Chinese characters"),
        (rf" [{FULL}]|[{FULL}] ", "a space beside a mark of full width"),
        (rf"{HAN}[{HALF}.]|[{HALF}.]{HAN}", "a mark of half width beside a Chinese character"),
        (rf"{HAN}[()]|[()]{HAN}", "a bracket of half width beside a Chinese character"),
    ]
    for pattern, what in rules:
        found = re.search(rf".{{0,8}}(?:{pattern}).{{0,8}}", text)
        if found:
            yield f"has {what}: '{found[0]}'"
    outside = re.sub(r"\([^()]*\)", "", text)
    found = re.search(rf"\S+[{HALF}] {HAN}.{{0,8}}", outside)
    if found:
        yield f"has a mark of half width before Chinese words: '{found[0]}'"
    odd = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Co")]
    if odd:
        yield f"has a character that nobody sees: {odd[0]!r}"
