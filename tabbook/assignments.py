"""Writes the chapters' exercises for nbgrader: a course folder for each framework."""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from tabbook import edition, split, style
from tabbook.project import FRAMEWORKS, LANGUAGE, Framework, Project, TabbookError, write
from tabbook.source import Cell, Chapter, read_all
from tabbook.words import say

WAITS = "this cell waits for your code: write it in place of this line"
CODE_STUB = '# YOUR CODE HERE\nraise NotImplementedError("{waits}")'
HIDDEN = "# More tests run here when your work is graded."
CHECKS = "from classroom import checks\n"  # where hidden tests have what they say
EXERCISE = re.compile("(?:Exercise: |练习：)")
ASK = (
    "Write your code where it says `YOUR CODE HERE`, in place of the line below it, and run the "
    "tests under it: one that fails says what is wrong. You may add cells. Leave the tests and "
    "the other cells as they are, for grading puts them back. At the end restart the kernel, "
    "run all cells, and save the notebook under the same name."
)
MORE = (
    "What you need to know stands in the chapter, {link}. When your work is graded, more tests "
    "run than you see here."
)
NOT_ALONE = re.compile(r"!\[|<img\b|<a\b")  # what would need more than a student's copy
CONFIG = '''"""nbgrader's settings for the course in {label}.

`python -m tabbook assignments` writes this file. Settings of your own go into course_config.py
beside it, which is read last and which that command leaves alone.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent

c = get_config()
c.CourseDirectory.course_id = "{course}"
c.CourseDirectory.root = str(ROOT)
c.CourseDirectory.db_url = f"sqlite:///{{ROOT / 'gradebook.db'}}"
c.Execute.kernel_name = "python3"
c.ClearSolutions.code_stub = {{
    "python": {stub!r}
}}

if (ROOT / "course_config.py").is_file():
    load_subconfig("course_config.py", path=str(ROOT))
'''


def assignments(
    project: Project, only: list[str], frameworks: list[str], out: Path, language: str = ""
) -> list[Path]:
    """Write a source notebook for each chapter that has exercises, and each course's settings.

    Notebooks of ours whose chapter has no exercises any more are removed, unless `only` narrows.

    Args:
        only: the chapters' numbers or names to narrow to; empty for all.
        frameworks: the courses to write.
        out: the folder of the course folders.
        language: "" for English, or LANGUAGE: then only for chapters of the Chinese edition, and
            in a folder of that name in `out`.

    Returns:
        The files that changed or went.

    Raises:
        TabbookError: a chapter breaks a rule, or a chosen one has no exercises; nothing was
            written.
    """
    chosen = set(project.chapters(only))
    chapters = [chapter for chapter in read_all(project) if chapter.name in chosen]
    found = [problem for chapter in chapters for problem in problems(project, chapter)]
    if only:
        found += [
            f"{chapter.path}: no exercises to write; see docs/authoring.md for how to add one"
            for chapter in chapters
            if not chapter.exercises()
        ]
    if language:
        chapters = edition.chapters(project, chapters)
        found += [
            f"{project.relative(project.source(name))}: not in the Chinese edition; begin with "
            f"'python -m tabbook translate --chapter {name[:2]}'"
            for name in sorted(chosen - {chapter.name for chapter in chapters})
            if only
        ]
    if found:
        raise TabbookError(found)
    changed = []
    for name in frameworks:
        folder = out / language / name
        files = {folder / "nbgrader_config.py": config(FRAMEWORKS[name], language)}
        for chapter in chapters:
            if chapter.exercises():
                path = folder / "source" / chapter.name / f"{chapter.name}.ipynb"
                files[path] = nbformat.writes(notebook(project, chapter, name)) + "\n"
        changed += [path for path, text in files.items() if write(path, text)]
        if not only:
            changed += _remove_others(folder / "source", set(files))
    return changed


def _remove_others(source: Path, keep: set[Path]) -> list[Path]:
    """Remove the notebooks that this module wrote for chapters gone; a teacher's own stay."""
    removed = []
    for path in sorted(source.glob("*/*.ipynb")):
        stored = None if path in keep else split.stored(path)
        if stored is not None and "assignment" in stored.metadata.get("tabbook", {}):
            path.unlink()
            removed.append(path)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
    return removed


def config(framework: Framework, language: str = "") -> str:
    """The text of a course's nbgrader_config.py."""
    course = "-".join(filter(None, ("d2l-ext", framework.name, language)))
    stub = CODE_STUB.format(waits=say(language, WAITS))
    return CONFIG.format(label=framework.label, course=course, stub=stub)


def notebook(project: Project, chapter: Chapter, framework: str) -> nbformat.NotebookNode:
    """The source notebook of a chapter's exercises: solutions and hidden tests are in it."""
    result = split.notebook(chapter, framework)
    result.metadata.tabbook["assignment"] = chapter.name
    result.cells = [
        new_markdown_cell(_head(project, chapter, framework), id="assignment-head"),
        _code(imports(chapter, framework), "assignment-imports"),
        *(_part(project, chapter, framework, c) for c in chapter.tab(framework) if c.exercise),
    ]
    return result


def _head(project: Project, chapter: Chapter, framework: str) -> str:
    """The Markdown on top of an assignment."""
    cells = chapter.tab(framework)
    titles = [
        c.text.partition("\n")[0][2:] for c in cells if c.kind == "markdown" and c.text[:2] == "# "
    ]
    title = titles[0] if titles else chapter.name
    language = chapter.language
    where = project.relative(project.notebook(chapter.name, framework, language))
    where = f"[{where}]({project.home.page(where)})"
    tasks = []
    for name in chapter.exercises():
        parts = [cell for cell in cells if cell.exercise == name]
        heading = EXERCISE.split(parts[0].text.partition("\n")[0])[-1]
        heading = heading[:1].upper() + heading[1:]
        points = sum(cell.points for cell in parts)
        tasks.append(say(language, "* {title}: {points} points", title=heading, points=points))
    head = say(language, "# Exercises: {title}", title=title)
    more = say(language, MORE, link=where)
    return "\n".join([head, "", say(language, ASK), "", more, "", *tasks])


def _imports(chapter: Chapter, framework: str) -> list[Cell]:
    """The first code cells of a tab, as far as they hold imports only."""
    found = []
    for cell in chapter.tab(framework):
        if cell.kind == "code":
            if not _imports_only(cell.text):
                break
            found.append(cell)
    return found


def _imports_only(text: str) -> bool:
    """Whether a cell holds imports and nothing else."""
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return False  # the collector says so
    return all(isinstance(node, ast.Import | ast.ImportFrom) for node in body)


def imports(chapter: Chapter, framework: str) -> str:
    """The imports of an assignment: in one cell, whose id stays when the chapter gets a second.

    MXNet's NumPy arrays are switched on in it where the chapter does so.
    """
    cells = _imports(chapter, framework)
    texts = [cell.text.removeprefix("#@save").lstrip("\n") for cell in cells]
    if any(
        cell.kind == "code" and re.search(r"^npx\.set_np\(\)", cell.text, re.MULTILINE)
        for cell in chapter.tab(framework)
    ):
        if not any(re.search(r"\bnpx\b", text) for text in texts):
            texts.append("from mxnet import npx")
        texts.append("npx.set_np()")
    return "\n\n".join(texts)


def _code(text: str, grade_id: str, **nbgrader: object) -> nbformat.NotebookNode:
    """A code cell that nbgrader knows; locked, and neither solution nor test, unless told."""
    metadata = {"nbgrader": _nbgrader("code", grade_id, **nbgrader)}
    return new_code_cell(text, id=grade_id, metadata=metadata)


def _nbgrader(kind: str, grade_id: str, **nbgrader: object) -> dict[str, object]:
    """A cell's metadata for nbgrader, in version 3 of its schema."""
    return {
        "schema_version": 3,
        "cell_type": kind,
        "grade_id": grade_id,
        "grade": False,
        "solution": False,
        "locked": True,
        "task": False,
    } | nbgrader


def _part(project: Project, chapter: Chapter, framework: str, cell: Cell) -> nbformat.NotebookNode:
    """A cell of an exercise for nbgrader; its id is the exercise's name and the part."""
    grade_id = f"{cell.exercise}-{cell.part}"
    if cell.part == "task":
        text = standalone(project, chapter, framework, cell.text)
        metadata = {"nbgrader": _nbgrader("markdown", grade_id)}
        return new_markdown_cell(text, id=grade_id, metadata=metadata)
    if cell.part == "solution":
        return _code(cell.text, cell.exercise, solution=True, locked=False)
    text = cell.text
    if cell.part == "hidden":
        hidden = say(chapter.language, HIDDEN)
        if chapter.language:
            text = text.replace(CHECKS, f"from classroom.{chapter.language} import checks\n")
        text = f"{hidden}\n### BEGIN HIDDEN TESTS\n{text}\n### END HIDDEN TESTS"
    return _code(text, grade_id, grade=True, points=cell.points)


def standalone(project: Project, chapter: Chapter, framework: str, text: str) -> str:
    """Prose of a chapter whose links into the repository lead to its address on the web."""

    def absolute(opening: str, target: str) -> str:
        path, mark, anchor = target.partition("#")
        if re.fullmatch(r"\d\d_\w+\.md", path):
            inside = f"{LANGUAGE}/" if path[:-3] in chapter.edition else ""
            path = f"{inside}{framework}/{path[:-3]}.ipynb"
        path = posixpath.normpath(f"notebooks/{path}")
        return f"{project.home.page(path)}{mark}{anchor}"

    return split.map_links(text, absolute)


def problems(project: Project, chapter: Chapter) -> Iterator[str]:
    """What in a chapter's exercises would not work in a student's copy."""
    for cell in chapter.cells:
        if cell.part == "task":
            for number, line in enumerate(cell.text.splitlines(), start=1):
                found = NOT_ALONE.search(line)
                if found:
                    yield (
                        f"{chapter.where(cell, number)}: '{found[0]}' in a task: students get the "
                        "notebook alone; say it in words, and link with [text](file)"
                    )
    undefined = [
        problem
        for framework in FRAMEWORKS
        for name in chapter.exercises()
        for problem in _undefined(project, chapter, framework, name)
    ]
    yield from dict.fromkeys(undefined)  # a cell for all tabs would repeat its problem


def _undefined(project: Project, chapter: Chapter, framework: str, name: str) -> Iterator[str]:
    """Names that an exercise takes from elsewhere in the chapter, or from another exercise.

    A student's copy has nothing else of the chapter, and nobody should lose an exercise's points
    by failing another.
    """
    cells = _imports(chapter, framework)
    cells += [c for c in chapter.tab(framework) if c.exercise == name and c.kind == "code"]
    found = style.findings(project, chapter, framework, cells, "--select=F821")
    for where, _, message in found:
        yield (
            f"{where}: exercise '{name}': {message}: only the chapter's first cells of imports "
            "and the exercise's own are there; define it in the exercise"
        )
