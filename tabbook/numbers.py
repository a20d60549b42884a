"""Compares the numbers of equations and figures with their count, and references with both."""

import re
from collections.abc import Iterator

from tabbook.source import Cell, Chapter

CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# What is numbered; the group `number` is empty if it has none
NUMBERED = {
    "equation": re.compile(r"\$\$(?P<maths>.*?(?:\\tag\{(?P<number>[^}]*)\}\s*)?)\$\$", re.DOTALL),
    "figure": re.compile(
        r"!\[(?P<alt>.*?)\]\((?P<path>[^)]*)\)"
        r"(?:\n\n\*(?P<label>(?:Figure|图) (?P<number>[^\s：]+)(?:\.(?= )|：))"
        r"(?P<caption>(?:(?!\n\n).)+)\*(?=\n\n|\s*\Z))?",
        re.DOTALL,
    ),
}
WANTED = {
    "equation": r"end it with \tag{NUMBER}",
    "figure": "write '*Figure NUMBER. What to see.*' as the paragraph below it",
}
NUMBER = re.compile(r"\d+\.?\d*")  # of a chapter, too
AND = r"(?:,|,?\s+(?:and|or|to))\s+"
REFERENCES = {
    kind: re.compile(rf"(?<!\*)\b{kind}s?\s+({number}(?:{AND}{number})*)", re.IGNORECASE)
    for kind, number in [
        ("equation", r"\(\d+\.\d+\)"),
        ("figure", r"\b\d+\.\d+"),
        ("chapter", r"\b\d\d\b"),
    ]
}
# The same in Chinese: 第 05 章, 公式 (5.1), 图 5.1, and several of them, 公式 (5.1) 和 (5.2)
CHINESE = {
    kind: re.compile(rf"(?<!\*){before}\s*({number}(?:\s*[、，和与或到至及]\s*{number})*){behind}")
    for kind, before, number, behind in [
        ("equation", "(?:公式|方程|式)", r"\(\d+\.\d+\)", ""),
        ("figure", "图", r"\d+\.\d+", ""),
        ("chapter", "第", r"\b\d\d\b", r"\s*章"),
    ]
}
# What opens a figure's caption
LABEL = re.compile(r"\*(?:Figure|图) (?P<number>[^\s：]+)(?:\.(?= )|：)")


def problems(chapters: list[Chapter]) -> Iterator[str]:
    """Missing and wrong numbers of all chapters, and references to what no chapter has."""
    known = {("chapter", chapter.name[:2]) for chapter in chapters}
    for chapter in chapters:
        for kind in NUMBERED:
            for count, (cell, line, written) in enumerate(_numbered(chapter, kind), start=1):
                number = f"{int(chapter.name[:2])}.{count}"
                known.add((kind, number))
                if written != number:
                    has = f"has the number {written}" if written else "has no number"
                    wanted = WANTED[kind].replace("NUMBER", number)
                    yield f"{chapter.where(cell, line)}: this {kind} {has}; {wanted}"
    for chapter in chapters:
        for cell in chapter.cells:
            for line, kind, number in _references(cell):
                if (kind, number) not in known:
                    where = chapter.where(cell, line)
                    yield f"{where}: refers to {kind} {number}, which is not there; mend it"
                elif kind != "chapter" and cell.part == "task" and number not in _own(cell):
                    where = chapter.where(cell, line)
                    yield (
                        f"{where}: refers to {kind} {number} in a task, which students get alone; "
                        "write it out"
                    )


def _prose(cell: Cell) -> str:
    """A prose cell's text with blanks for code; "" for a code cell."""
    if cell.kind == "code":
        return ""
    return CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), cell.text)


def _numbered(chapter: Chapter, kind: str) -> Iterator[tuple[Cell, int, str | None]]:
    """A chapter's equations or figures in order: cell, line in it, number written there."""
    for cell in chapter.cells:
        text = _prose(cell)
        for found in NUMBERED[kind].finditer(text):
            yield cell, text.count("\n", 0, found.start()) + 1, found["number"]


def _references(cell: Cell) -> Iterator[tuple[int, str, str]]:
    """What a prose cell refers to: the line in the cell, the kind, the number."""
    text = _prose(cell)
    for kind, pattern in REFERENCES.items():
        for found in pattern.finditer(text):
            for number in NUMBER.findall(found[1]):
                yield text.count("\n", 0, found.start()) + 1, kind, number


def _own(cell: Cell) -> list[str]:
    """The numbers that stand in a cell's own equations."""
    return [found["number"] for found in NUMBERED["equation"].finditer(cell.text)]
