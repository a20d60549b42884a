"""Holds the page of claims and the cells and tables that carry them together."""

import re
from collections.abc import Iterator

from tabbook.project import Project
from tabbook.source import Chapter

PAGE = "docs/claims.md"
LINK = re.compile(r"(?<=\]\()\.\./notebooks/(\w+)\.md#(evidence-[\w-]+)(?=\))")


def problems(project: Project, chapters: list[Chapter]) -> Iterator[str]:
    """Claims whose evidence is not there, and evidence that no claim names."""
    page = project.root / PAGE
    named = set(LINK.findall(page.read_text("utf-8"))) if page.is_file() else set()
    there: dict[tuple[str, str], str] = {}
    for chapter in chapters:
        for cell in chapter.cells:
            key, where = (chapter.name, anchor(cell.evidence)), chapter.where(cell)
            if cell.evidence and there.setdefault(key, where) != where:
                yield f"{where}: evidence '{cell.evidence}' stands twice; rename one"
    for name, evidence in sorted(named - set(there)):
        yield f"{PAGE}: {name}.md has no '{evidence}'; mend the link, or add evidence=... there"
    for key, where in there.items():
        if key not in named:
            yield f"{where}: no claim of {PAGE} names '{key[1]}'; write it, or take evidence out"


def anchor(evidence: str) -> str:
    """The id of a piece of evidence in its page of the book."""
    return f"evidence-{evidence}"
