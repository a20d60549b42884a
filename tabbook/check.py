"""Compares the derived files with what the sources give, and the notebooks with our rules."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tabbook import (
    assignments,
    bibliography,
    claims,
    colab,
    collect,
    edition,
    faithful,
    numbers,
    split,
    style,
)
from tabbook.project import FRAMEWORKS, Project, TabbookError
from tabbook.source import Cell, Chapter, read_all

MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|tmp|private|work|mnt|opt|usr|var|content)/[\w.\-/]+"
    r"|\b[A-Z]:\\\\?\w[\w.\\-]+"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
MOST_LINES = 40  # of open code without a sentence
BUILD = "run 'make build'"
NOTEBOOKS = "run 'make notebooks'"


def check(project: Project) -> list[str]:
    """Look for derived files that are not what the sources give.

    Returns:
        The problems; each names the file and what to do. Empty when all is well.
    """
    try:
        chapters = read_all(project)
        modules = collect.collect(project, chapters)
        entries = bibliography.read(project)
        readme = colab.readme(project)
        chinese = edition.chapters(project, chapters)
        pages = edition.files(project)
    except TabbookError as error:
        return error.problems
    problems = []
    for framework, text in modules.items():
        path = project.library(framework)
        name = project.relative(path)
        if not path.is_file():
            problems.append(f"{name}: missing; {BUILD}")
        elif path.read_bytes() != text.encode():
            problems.append(f"{name}: not what the chapters save (edited by hand?); {BUILD}")
    if readme is not None and (project.root / "README.md").read_text("utf-8") != readme:
        problems.append(f"README.md: its links to Colab are not pyproject's; {BUILD}")
    expected = set()
    for chapter in chapters:
        problems += _check_source(project, chapter)
        for framework in FRAMEWORKS:
            expected.add(project.notebook(chapter.name, framework))
            problems += _check_notebook(project, chapter, framework)
            path = project.colab(chapter.name, framework)
            expected.add(path)
            wanted = colab.text(project, chapter, framework)
            problems += _derived(project, path, wanted, "the chapter")
    for chapter in chinese:
        for framework in FRAMEWORKS:
            for path, derive in [
                (project.notebook(chapter.name, framework, chapter.language), split.text),
                (project.colab(chapter.name, framework, chapter.language), colab.text),
            ]:
                expected.add(path)
                what = "the chapter and its translation"
                problems += _derived(project, path, derive(project, chapter, framework), what)
    for path, text in pages.items():
        problems += _derived(project, path, text, "its English page and its translation")
    problems += faithful.check_all(project, chapters)
    for path in sorted(project.notebooks.rglob("*.ipynb")):
        if path not in expected and ".ipynb_checkpoints" not in path.parts:
            problems.append(f"{project.relative(path)}: no chapter gives this notebook; delete it")
    problems += numbers.problems(chapters)
    problems += claims.problems(project, chapters)
    return problems + list(bibliography.check(project, chapters, entries))


def _derived(project: Project, path: Path, wanted: str, what: str) -> Iterator[str]:
    """What is wrong with a file that has to hold `wanted`, which `what` gives."""
    name = project.relative(path)
    if not path.is_file():
        yield f"{name}: missing; {BUILD}"
    elif path.read_text("utf-8") != wanted:
        yield f"{name}: not what {what} gives; {BUILD}"


def _check_source(project: Project, chapter: Chapter) -> Iterator[str]:
    """What is wrong with a chapter that could be split all the same."""
    for cell in chapter.cells:
        for target in split.links(cell):
            if not (project.notebooks / target).exists():
                yield f"{chapter.where(cell)}: link to '{target}', which is not there; mend it"
    for cell, _ in style.unformatted(project, chapter):
        yield f"{chapter.where(cell)}: not formatted; run 'python -m tabbook format'"
    found = [
        problem for framework in FRAMEWORKS for problem in style.lint(project, chapter, framework)
    ]
    yield from dict.fromkeys(found)  # a cell for all tabs would repeat its problem
    yield from assignments.problems(project, chapter)
    yield from _long_code(chapter)
    for framework in FRAMEWORKS.values():
        imported = _generated_imports(chapter, framework.name)
        wanted = f"from d2l_ext import {framework.module} as d2l"
        if framework.module not in imported:
            yield f"{chapter.path}: tab {framework.name} never imports its library; add '{wanted}'"
        for other, where in imported.items():
            if other != framework.module:
                yield f"{where}: tab {framework.name} imports d2l_ext.{other}; write '{wanted}'"


def _long_code(chapter: Chapter) -> Iterator[str]:
    """Where a reader meets too much code without a sentence; one problem a place."""
    found = {}
    for framework in FRAMEWORKS:
        run: list[Cell] = []
        for cell in [*chapter.tab(framework), None]:
            if cell and cell.kind == "code":
                if not cell.fold and cell.part not in ("solution", "hidden"):
                    run.append(cell)
                continue
            lines = sum(map(_num_lines, run))
            if lines > MOST_LINES:
                found.setdefault(run[0].number, (chapter.where(run[0]), framework, lines))
            run = []
    for where, framework, lines in found.values():
        yield (
            f"{where}: {lines} lines of code without a sentence in tab {framework} "
            f"({MOST_LINES} at most, docstrings not counted); fold, cut or explain"
        )


def _num_lines(cell: Cell) -> int:
    """The lines of a cell's code: no blank ones, no docstrings."""
    lines = {n for n, line in enumerate(cell.text.splitlines(), start=1) if line.strip()}
    for node in ast.walk(ast.parse(cell.text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def _generated_imports(chapter: Chapter, framework: str) -> dict[str, str]:
    """The generated modules that a chapter's tab imports -> where."""
    modules = {framework.module for framework in FRAMEWORKS.values()}
    found: dict[str, str] = {}
    for cell in chapter.tab(framework):
        for node in ast.walk(ast.parse(cell.text if cell.kind == "code" else "")):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                package, _, rest = f"{prefix}{alias.name}".partition(".")
                module = rest.partition(".")[0]
                if package == "d2l_ext" and module in modules:
                    found.setdefault(module, chapter.where(cell, node.lineno))
    return found


def _check_notebook(project: Project, chapter: Chapter, framework: str) -> Iterator[str]:
    """What is wrong with one committed notebook."""
    path = project.notebook(chapter.name, framework)
    name = project.relative(path)
    if not path.is_file():
        yield f"{name}: missing; {NOTEBOOKS}"
        return
    stored = split.stored(path)
    if stored is None:
        yield f"{name}: not a notebook; {NOTEBOOKS}"
        return
    expected = split.readers(project, chapter, framework)
    stored.metadata.get("tabbook", {}).pop("seconds", None)  # as long as its last run took
    if stored.metadata != expected.metadata:
        yield f"{name}: its metadata are not {chapter.name}'s in {framework}; {NOTEBOOKS}"
    if len(stored.cells) != len(expected.cells):
        counts = f"{len(stored.cells)} cells, the chapter has {len(expected.cells)}"
        yield f"{name}: stale: {counts}; {NOTEBOOKS}"
        return
    count, in_order = 0, True
    for number, (cell, source) in enumerate(zip(stored.cells, expected.cells, strict=True), 1):
        here = f"{name}, cell {number}"
        for key in ("source", "id", "cell_type", "metadata"):
            if cell.get(key) != source[key]:
                yield f"{here}: stale: its {key} is not the chapter's; {NOTEBOOKS}"
        if cell.cell_type == "code":
            count += 1
            if in_order and cell.execution_count != count:
                in_order = False  # the first one tells enough
                run = cell.execution_count or "never"
                yield f"{here}: not executed in order (count {run}, not {count}); {NOTEBOOKS}"
            yield from (f"{here}: {problem}" for problem in _output_problems(cell))
            alt = source.metadata.get("alt", "")
            yield from (f"{here}: {problem}" for problem in _alt_problems(cell, alt, chapter))


def _output_problems(cell: nbformat.NotebookNode) -> Iterator[str]:
    """What no stored output may hold."""
    tags = cell.metadata.get("tags", [])
    for output in cell.outputs:
        if output.output_type == "error":
            if "raises-exception" not in tags:
                yield f"stored error {output.ename}: {output.evalue}; mend it and {NOTEBOOKS}"
            continue
        data = output.get("data", {"text/plain": output.get("text", "")})
        text = "\n".join(str(value) for kind, value in data.items() if "text/" in kind)
        if output.get("name") == "stderr" and "warning" in text.lower():
            first = text.strip().splitlines()[0]
            yield f"stored warning '{first}'; mend its cause and {NOTEBOOKS}"
        for pattern, what in ((MACHINE_PATH, "path of a machine"), (ADDRESS, "object address")):
            found = pattern.search(text)
            if found:
                yield f"stored {what} '{found[0]}'; don't print it, and {NOTEBOOKS}"


def _alt_problems(cell: nbformat.NotebookNode, alt: str, chapter: Chapter) -> Iterator[str]:
    """A picture without alt text, or the other way round."""
    kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
    picture = any(kind.startswith("image/") for kind in kinds)
    if picture and not alt:
        yield f'a picture without alt text; add alt="..." to its cell in {chapter.path}, {BUILD}'
    elif alt and not picture and cell.execution_count:
        yield f"alt text without a picture; take alt out of its cell in {chapter.path}, {BUILD}"
