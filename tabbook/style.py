"""Holds the chapters' code to ruff's rules, 79 columns wide, and formats it."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tabbook.project import Project, TabbookError, write
from tabbook.source import ADDING, Cell, Chapter

WIDTH = "--line-length=79"


def ruff(project: Project, text: str, name: str, *arguments: str) -> str:
    """What ruff prints about a file of that name and text.

    Raises:
        TabbookError: ruff can't read it, or is not installed.
    """
    command = [
        sys.executable,
        "-m",
        "ruff",
        *arguments,
        "--quiet",
        f"--stdin-filename={name}",
        "-",
    ]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, encoding="utf-8", cwd=project.root
    )
    if done.returncode:
        raise TabbookError(f"{' '.join(command[1:])} failed on {name}: {done.stderr.strip()}")
    return done.stdout


def lint(project: Project, chapter: Chapter, framework: str) -> Iterator[str]:
    """What ruff, with the project's rules, finds in a tab of a chapter.

    The imports' order is left alone: the library goes first, for it makes MXNet importable.
    """
    for where, code, message in findings(
        project, chapter, framework, chapter.tab(framework), "--ignore=I"
    ):
        if code == "F401" and "`d2l_ext." in message:
            continue  # every tab imports its library, needed or not
        yield f"{where}: {code} {message} (ruff)"


def findings(
    project: Project, chapter: Chapter, framework: str, cells: list[Cell], *options: str
) -> Iterator[tuple[str, str, str]]:
    """What `ruff check` finds in cells of a tab: each as place, rule and message."""
    new = {"code": new_code_cell, "markdown": new_markdown_cell}
    notebook = nbformat.writes(new_notebook(cells=[new[cell.kind](cell.text) for cell in cells]))
    name = f"notebooks/{framework}/{chapter.name}.ipynb"
    command = ["check", *options, WIDTH, "--output-format=json", "--exit-zero"]
    for found in json.loads(ruff(project, notebook, name, *command)):
        cell, row = cells[found["cell"] - 1], found["location"]["row"]
        if found["code"] == "F811" and row in _added_methods(cell):
            continue  # of another class
        yield chapter.where(cell, row), found["code"], found["message"]


def _added_methods(cell: Cell) -> set[int]:
    """The rows where a cell's functions begin that `add_to_class` makes methods."""
    return {
        node.lineno
        for node in ast.parse(cell.text).body
        if isinstance(node, ast.FunctionDef)
        and any(ADDING in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def unformatted(project: Project, chapter: Chapter) -> Iterator[tuple[Cell, str]]:
    """The code cells that ruff would write otherwise, each with ruff's text."""
    cells = [cell for cell in chapter.cells if cell.kind == "code"]
    spaced = [new_code_cell(cell.text.replace("#@save", "# @save")) for cell in cells]
    text = nbformat.writes(new_notebook(cells=spaced))
    text = ruff(project, text, f"notebooks/{chapter.name}.ipynb", "format", WIDTH)
    for cell, result in zip(cells, nbformat.reads(text, as_version=4).cells, strict=True):
        wanted = result.source.replace("# @save", "#@save")
        if wanted != cell.text:
            yield cell, wanted


def reformat(project: Project, chapter: Chapter) -> bool:
    """Format the code cells in a chapter's source.

    Returns:
        Whether the file changed.
    """
    path = project.source(chapter.name)
    lines = path.read_text(encoding="utf-8").splitlines()
    for cell, text in reversed(list(unformatted(project, chapter))):
        first = cell.line - 1
        lines[first : first + len(cell.text.splitlines())] = text.splitlines()
    return write(path, "\n".join(lines) + "\n")
