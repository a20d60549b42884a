"""Finds the messages of a Markdown text, its blocks of prose, and puts others in their places."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.front_matter import front_matter_plugin

from tabbook import bibliography, numbers

# What needs no translation, names and measures: a message of nothing but such words is none
NAMES = ("PyTorch", "MXNet", "JAX", "TensorFlow", "Colab", "BLEU", "chrF", "ROUGE-L", "MiB", "ok")
WORD = re.compile(r"[A-Za-z]{2,}")
IMAGE = re.compile(r"!\[(?P<alt>.*?)\]\((?P<path>[^)]*)\)", re.DOTALL)
SUMMARY = re.compile(r"(?<=<summary>)(.*?)(?=</summary>)")
# Of MyST: fences of colons, their options, comments. They are no prose.
MYST = re.compile(r":{3,}|:[\w-]+:|% ")
CONTENTS = re.compile(r"(?P<before>:caption: )(?P<words>.+)|(?P<title>[^:\n].*?)(?= <[\w/]+>$)")
KINDS = {"heading_open": "heading", "td_open": "table", "th_open": "table"}
PLACES = {1: "paragraph", 2: "quotation", 3: "list item"}  # by how deep they stand
REFERENCES = "References"  # below it stand names of works, which stay as they are


@dataclass(frozen=True)
class Block:
    """A block of prose in a Markdown text.

    Args:
        text: its words on one line, without what makes it a heading, an item of a list and so on.
        kind: "paragraph", "heading", "list item", "quotation", "table" (a cell of it), "caption",
            "alt text", "summary" (the title of what is folded) or "contents" (of the book).
        start, end: the text's lines that it takes, from 0; `end` is the first one behind it.
    """

    text: str
    kind: str
    start: int
    end: int


def parse(text: str) -> list[Token]:
    """The tokens of a Markdown text as JupyterLab and the book read it, formulas included."""
    return _READER.parse(text)


_READER = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin).use(front_matter_plugin)


def blocks(text: str) -> list[Block]:
    """The messages of a Markdown text in order."""
    found: list[Block] = []
    _walk(text, lambda block: found.append(block) or block.text)
    return found


def headings(text: str) -> list[str]:
    """The headings of a Markdown text as plain words, with the source of formulas."""
    tokens = parse(text)
    return [
        "".join(child.content for child in token.children)
        for before, token in pairwise(tokens)
        if before.type == "heading_open"
    ]


def changed(text: str, change: Callable[[Block], str]) -> str:
    """A Markdown text with other words in its blocks of prose, each on one line.

    Args:
        change: gives a block's new words.
    """
    return _walk(text, change)


def _walk(text: str, change: Callable[[Block], str]) -> str:
    """Hand each block to `change`, in order, and put what it returns in the block's place."""
    lines = text.split("\n")
    replaced: list[tuple[int, int, list[str]]] = []
    cells: dict[int, int] = {}  # a table's line -> how many of its cells were seen
    tokens = parse(text)
    below_references = False
    for before, token in zip([None, *tokens], tokens):
        if token.type == "fence" and token.info.strip() == "{toctree}":
            for number in range(token.map[0] + 1, token.map[1] - 1):
                line = _contents(lines[number], number, change)
                replaced.append((number, number + 1, [line]))
        elif token.type == "html_block":
            for number in range(*token.map):
                line = SUMMARY.sub(
                    lambda match, n=number: change(Block(match[1], "summary", n, n + 1)),
                    lines[number],
                )
                replaced.append((number, number + 1, [line]))
        if token.type != "inline" or below_references:
            continue
        start, end = token.map
        words = re.sub(r"\s*\n\s*", " ", token.content).strip()
        kind = KINDS.get(before.type) or PLACES[min(token.level, 3)]
        below_references = kind == "heading" and words == REFERENCES
        if kind == "table":
            number = cells[start] = cells.get(start, 0) + 1
            if is_prose(words):
                new = change(Block(words, kind, start, end))
                lines[start] = _with_cell(lines[start], number, new)
            continue
        if MYST.match(words):
            continue
        first = lines[start]
        prefix = first[: first.index(token.content.split("\n", 1)[0])]
        image = IMAGE.fullmatch(words)
        if image and is_prose(image["alt"]):
            alt = change(Block(image["alt"], "alt text", start, end))
            replaced.append((start, end, [f"{prefix}![{alt}]({image['path']})"]))
        elif not image and is_prose(words):
            kind = "caption" if numbers.LABEL.match(words) else kind
            new = change(Block(words, kind, start, end))
            replaced.append((start, end, [prefix + new]))
    for start, end, new in reversed(replaced):
        lines[start:end] = new
    return "\n".join(lines)


def _contents(line: str, number: int, change: Callable[[Block], str]) -> str:
    """A line of the book's contents with another caption or title."""

    def new(match: re.Match) -> str:
        words = match["words"] or match["title"]
        return (match["before"] or "") + change(Block(words, "contents", number, number + 1))

    return CONTENTS.sub(new, line, count=1)


def _with_cell(line: str, number: int, words: str) -> str:
    """A table's line with other words in one of its cells, counted from 1."""
    parts = re.split(r"(?<!\\)\|", line)
    place = number if line.lstrip().startswith("|") else number - 1
    parts[place] = f" {words} "
    return "|".join(parts)


def is_prose(words: str) -> bool:
    """Whether a message has words to translate.

    Code, formulas, addresses, citations and NAMES have none.
    """
    plain = "".join(_plain(words))
    for _, match in bibliography.matches(plain):
        plain = plain.replace(match[0], "")
    plain = re.sub(rf"\b({'|'.join(NAMES)})\b", "", plain)
    return WORD.search(plain) is not None


def _plain(words: str) -> Iterator[str]:
    """What a message says besides code, formulas, addresses and HTML."""
    for token in _READER.parseInline(words)[0].children:
        if token.type == "text":
            yield re.sub(r"\]\[[\w-]+\]", "", token.content)
        elif token.type == "image":
            yield from (child.content for child in token.children if child.type == "text")
        else:
            yield " "
