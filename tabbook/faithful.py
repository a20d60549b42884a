"""Holds translations to their sources: none missing, nothing lost in them, set as Chinese is."""

import calendar
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from tabbook import bibliography, catalog, messages, numbers
from tabbook.catalog import Message, Text
from tabbook.project import CHECKS, LANGUAGE, PAGES, Project
from tabbook.source import Chapter

HAN = r"[\u3400-\u9fff]"
FULL = "，。、；：？！（）《》「」"  # punctuation that takes the width of a character
HALF = ",;:!?"
TRANSLATE = "run 'python -m tabbook translate'"
PLACEHOLDER = re.compile(r"\{[^{}]+\}")
SENTENCE = re.compile(r"[A-Za-z']{2,}(?: [A-Za-z']+){2,}")  # names and lists of them are shorter
DIGITS = re.compile(
    r"(?<![A-Za-z])(\d+(?:,\d{3})*(?:\.\d+)?)(?: ?(million\b|thousand\b|billion\b|[万亿]))?"
)
UNITS = {"": 1, "thousand": 10**3, "million": 10**6, "billion": 10**9, "万": 10**4, "亿": 10**8}
SPELLED = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
WORDS = {  # which Chinese may write in digits
    word: number for words in (SPELLED, calendar.month_name) for number, word in enumerate(words)
}
ORDERED = ("formula", "code", "link")
REORDERED = "语序"  # the comment of a translation that means its order
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
    "number": "numbers",
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
    for folder in (project.notebooks, project.docs, project.root / "classroom"):
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
    if not catalog.same(old, new):
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
            reordered = REORDERED in entry.tcomment
            found = problems(message, entry.msgstr, reordered)
            yield from (f"{where}: {problem}" for problem in found)


def problems(message: Message, translation: str, reordered: bool = False) -> Iterator[str]:
    """What is wrong with a translation: what its source has and it has not, and its typography.

    Args:
        reordered: whether its formulas, code spans and links may stand in an order of their own.
    """
    plain = message.kind == "test"
    wanted, found = _parts(message.text, False, plain), _parts(translation, True, plain)
    for kind, what in NAMED.items():
        lost = Counter(wanted[kind]) - Counter(found[kind])
        added = Counter(found[kind]) - Counter(wanted[kind])
        if kind == "number":  # Chinese may say one twice
            known = {*wanted[kind], *_spelled(message.text)}
            added = Counter(number for number in added if number not in known)
        if lost:
            yield f"has lost {what}: {', '.join(lost.elements())}"
        if added:
            yield f"has {what} that its source has not: {', '.join(added.elements())}"
        moved = not lost and not added and wanted[kind] != found[kind]
        if kind in ORDERED and moved and not reordered:
            yield f"has {what} in another order; if it means that, comment it: # {REORDERED}"
    yield from _untranslated(message.text, translation, plain)
    if "\n" in translation:
        yield "has more than one line; write it on one"
    if not plain and _shape(translation) != _shape(message.text):
        yield "is another kind of Markdown, such as a list; mend its beginning"
    yield from _typography(translation, plain)


def _untranslated(english: str, translation: str, plain: bool) -> Iterator[str]:
    """Whether a translation without a Chinese character is more than the names of its source."""
    text = _visible(translation, plain)
    if not re.search(HAN, text):
        source = _visible(english, plain)
        for _, match in bibliography.matches(source):
            source = source.replace(match[0], "")
        if SENTENCE.search(source) or _words(text) - _words(source):
            yield "has no Chinese; translate it"


def _words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z]{2,}", text))


def _spelled(english: str) -> set[str]:
    """The numbers that an English message has as words."""
    words = _words(english)
    return {str(WORDS[word]) for word in WORDS.keys() & (words | {w.lower() for w in words})}


def _parts(text: str, chinese: bool, plain: bool) -> dict[str, list[str]]:
    """What a message and its translation must have in common, in order."""
    found = {kind: [] for kind in NAMED}
    for digits, unit in DIGITS.findall(_visible(text, plain)):
        number = Decimal(digits.replace(",", "")) * UNITS[unit]
        found["number"].append(f"{number.normalize():f}")
    if plain:
        found["placeholder"] += PLACEHOLDER.findall(text)
        return found
    for token in _flat(messages.parse(text)):
        if token.type.startswith("math_"):
            found["formula"].append(f"${' '.join(token.content.split())}$")
        elif token.type == "code_inline":
            found["code"].append(f"`{token.content}`")
        elif token.type == "link_open":
            found["link"].append(token.attrs["href"])
        elif token.type == "image":
            found["link"].append(token.attrs["src"])
        elif token.type in ("html_inline", "html_block"):
            found["html"] += re.findall(r"<[^>]+>", token.content)
        elif token.type in ("strong_open", "em_open"):
            found["emphasis"].append(token.markup)
    found["link"] += re.findall(r"\]\[([\w-]+)\]", text)  # to an address below the text
    prose = numbers.CODE.sub(" ", text)
    found["citation"] += [str(work) for work, _ in bibliography.matches(prose, chinese)]
    patterns = numbers.CHINESE if chinese else numbers.REFERENCES
    for kind, pattern in patterns.items():
        for match in pattern.finditer(prose):
            found[kind] += numbers.NUMBER.findall(match[1])
    label = numbers.LABEL.match(text)
    if label:
        found["figure"].append(f"caption {label['number']}")
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
    latin, wide = "[A-Za-z0-9]", f"[{HAN[1:-1]}{FULL}]"
    rules = [
        (rf"{HAN}{latin}|{latin}{HAN}", "no space between Chinese and Latin words, digits, code"),
        (rf"{HAN} +{HAN}", "a space between Chinese characters"),
        (rf" [{FULL}]|[{FULL}] ", "a space beside a mark of full width"),
        (rf"{HAN}[{HALF}.]|[{HALF}.]{HAN}", "a mark of half width beside a Chinese character"),
        (rf"{HAN}[()]|[()]{HAN}", "a bracket of half width beside a Chinese character"),
        (rf"{wide}[\"']|(?:\"|(?<![A-Za-z])'){wide}", "a straight quotation mark, not “ or ”"),
        (r"[，。、；：]{2}|([！？])\1", "a mark that stands twice"),
        (r"\u3000", "a space of full width"),
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
