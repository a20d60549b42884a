"""Starts a chapter from the template."""

import re
from pathlib import Path

from tabbook.project import Project, TabbookError, write

TEMPLATE = Path(__file__).with_name("template.md")


def new(project: Project, name: str) -> Path:
    """Write the source of a new chapter.

    Args:
        name: two digits and words, such as `07_global_attention`.

    Returns:
        The file.

    Raises:
        TabbookError: a bad name, or one whose number is taken.
    """
    if not re.fullmatch(r"\d\d(_[a-z0-9]+)+", name):
        raise TabbookError(
            f"'{name}' is no chapter name; write two digits and words, as in 07_global_attention"
        )
    for known in project.chapters():
        if known[:2] == name[:2]:
            raise TabbookError(
                f"{project.relative(project.source(known))} has number {name[:2]}; take another"
            )
    title = name[3:].replace("_", " ").capitalize()
    path = project.source(name)
    write(path, TEMPLATE.read_text(encoding="utf-8").replace("TITLE", title))
    return path
