"""Reads a chapter's Markdown source into cells and says what is wrong with it."""

import ast
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace

import jupytext
import nbformat
import yaml

from tabbook.project import FRAMEWORKS, LANGUAGE, Project, TabbookError

ADDING = "add_to_class"  # the decorator that makes a method of a function
ATTRIBUTES = {"tab", "tags", "reason", "alt", "fold", "evidence", "exercise", "part", "points"}
TAGS = {"nbval-ignore-output", "parameters", "raises-exception"}
TAGS_WITH_REASON = {"nbval-ignore-output", "raises-exception"}
BLANK_LINES = "lines_to_next_cell"  # jupytext's own note on unusual spacing
FENCE = re.compile(r"^(`{3,})\s*python\b(.*)$")
REGION = re.compile(r"^<!--\s*#region\b(.*)-->\s*$")
PARTS = ("task", "solution", "tests", "hidden")  # of an exercise; its task is prose
GRADED = ("tests", "hidden")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
# What nbgrader looks for in every line of every cell.
DELIMITERS = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)|AUTOTEST")


@dataclass(frozen=True)
class Cell:
    """One cell of a chapter.

    Args:
        number: its place in the chapter, from 1, as JupyterLab shows the source.
        line: the file's line, from 1, on which its text starts.
        kind: "code" or "markdown".
        text: what stands in it.
        tabs: the frameworks whose notebooks hold it.
        tags: Jupyter's cell tags.
        reason: why its outputs are not compared, or why it is empty; "" if neither.
        section: the heading above it.
        id: its id in the notebooks; empty cells, which no notebook holds, have none.
        exercise: the exercise that it belongs to; "" if none.
        part: what it is there, one of PARTS; "" in no exercise.
        points: what passing it is worth; 0 unless the part is graded.
        alt: what the picture that it draws shows, for those who can't see it; "" if it draws none.
        fold: the line under which its code is closed; "" for code that stands open.
        evidence: the name by which docs/claims.md refers to it; "" if no claim does.
    """

    number: int
    line: int
    kind: str
    text: str
    tabs: tuple[str, ...]
    tags: tuple[str, ...]
    reason: str
    section: str
    id: str = ""
    exercise: str = ""
    part: str = ""
    points: int = 0
    alt: str = ""
    fold: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Chapter:
    """A chapter as its author wrote it, or as it is in the Chinese edition.

    Args:
        name: such as `02_masked_softmax`.
        path: its source, as messages show it.
        cells: all cells that some notebook holds.
        only: names saved for some frameworks only, each with the reason (from the front matter).
        edition: the chapters that are in the Chinese edition, if this is one of it; else empty.
    """

    name: str
    path: str
    cells: tuple[Cell, ...]
    only: dict[str, str]
    edition: tuple[str, ...] = ()

    @property
    def language(self) -> str:
        """The edition's language; "" for the chapter as its author wrote it."""
        return LANGUAGE if self.edition else ""

    def tab(self, framework: str) -> list[Cell]:
        """The cells of one framework, with the hidden ones, which its notebook leaves out."""
        return [cell for cell in self.cells if framework in cell.tabs]

    def exercises(self) -> list[str]:
        """The names of its exercises in order."""
        return list(dict.fromkeys(cell.exercise for cell in self.cells if cell.exercise))

    def where(self, cell: Cell, line: int = 1) -> str:
        """The place of a cell's line (from 1, within the cell), as messages start with it."""
        return place(self.path, cell.number, cell.line + line - 1)


def place(path: str, number: int, line: int) -> str:
    """Names a place in a chapter."""
    return f"{path}, cell {number} (line {line})"


def read_all(project: Project, only: tuple[str, ...] = ()) -> list[Chapter]:
    """Read chapters, all problems of all of them at once.

    Args:
        only: numbers or names to narrow to; empty for all.

    Raises:
        TabbookError: a source breaks a rule of the format.
    """
    chapters, problems = [], []
    for name in project.chapters(only):
        try:
            chapters.append(read(project, name))
        except TabbookError as error:
            problems += error.problems
    first: dict[str, Chapter] = {}
    for chapter in chapters:
        for name in chapter.exercises():
            if first.setdefault(name, chapter) is not chapter:
                cell = next(cell for cell in chapter.cells if cell.exercise == name)
                problems.append(
                    f"{chapter.where(cell)}: exercise '{name}' stands in {first[name].path} "
                    "too; rename one"
                )
    if problems:
        raise TabbookError(problems)
    return chapters


def read(project: Project, name: str) -> Chapter:
    """Read one chapter.

    Raises:
        TabbookError: the source breaks a rule of the format.
    """
    source = project.source(name)
    path = project.relative(source)
    try:
        text = source.read_bytes().decode()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TabbookError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    try:
        notebook = jupytext.reads(text, "md")
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())
        raise TabbookError(f"{path}: the header is not YAML: {message}; mend it") from None
    except nbformat.ValidationError as error:
        raise TabbookError(
            f'{path}: an attribute\'s value: {error.message}; write it as in tags=["parameters"]'
        ) from None
    raw = notebook.cells[0] if notebook.cells and notebook.cells[0].cell_type == "raw" else None
    problems: list[str] = []
    representation = notebook.metadata.get("jupytext", {}).get("text_representation", {})
    if representation.get("format_name") != "markdown" or "kernelspec" not in notebook.metadata:
        problems.append(
            f"{path}: no jupytext header; copy the lines between --- from tabbook/template.md"
        )
    only = _allow_list(path, raw.source if raw else "", problems)
    cells = _cells(path, text.splitlines(), notebook.cells, problems)
    cells = _with_alts(path, cells, _groups(path, cells, problems), problems)
    _check_exercises(path, cells, problems)
    if problems:
        raise TabbookError(problems)
    held = [cell for cell in cells if cell.text]
    return Chapter(name, path, tuple(_with_ids(name, held)), only)


def _allow_list(path: str, front_matter: str, problems: list[str]) -> dict[str, str]:
    """The `tabbook: {only: {name: reason}}` of the front matter."""
    settings = yaml.safe_load(front_matter.strip("-\n")) or {}
    allowed = settings.pop("tabbook", {}) or {}
    only = allowed.pop("only", {}) if isinstance(allowed, dict) else None
    for key in settings:
        problems.append(f"{path}: unknown '{key}' in the front matter; take it out")
    if not isinstance(only, dict) or allowed:
        problems.append(
            f"{path}: 'tabbook' in the front matter is not {{only: {{name: reason}}}}; mend it"
        )
        return {}
    for name, reason in only.items():
        if not isinstance(reason, str) or not reason.strip():
            problems.append(f"{path}: 'only: {name}' in the front matter gives no reason; say why")
    return only


def _cells(path: str, lines: list[str], nodes: list, problems: list[str]) -> list[Cell]:
    """jupytext's cells with their place in the file and their checked attributes."""
    cells: list[Cell] = []
    position = lines.index("---", 1) + 1 if lines[:1] == ["---"] and "---" in lines[1:] else 0
    section = ""
    for number, node in enumerate(nodes, start=1):
        if node.cell_type == "raw" and number == 1:
            continue
        text = node.source.splitlines()
        if node.cell_type == "code" and text and text[0].startswith("%%"):
            text = text[1:]  # jupytext's name for a fence of another language
        start = _find(lines, text, position, node.cell_type == "code")
        opening = lines[start - 1] if start else ""
        position = start + len(text)
        here = place(path, number, start + 1)
        if node.cell_type == "raw":
            problems.append(f"{here}: a raw cell; make it Markdown or code")
            continue
        metadata = {key: value for key, value in node.metadata.items() if key != BLANK_LINES}
        if node.cell_type == "markdown" and "exercise" not in metadata:
            section = _last_heading(text) or section
        problems += [f"{here}: {problem}" for problem in _attribute_problems(metadata, opening)]
        tabs, tab_problems = _tabs(metadata.get("tab"))
        problems += [f"{here}: {problem}" for problem in tab_problems]
        tags = metadata.get("tags", [])
        task = "task" if node.cell_type == "markdown" and "exercise" in metadata else ""
        cell = Cell(
            number=number,
            line=start + 1,
            kind=node.cell_type,
            text=node.source,
            tabs=tabs,
            tags=tuple(tags),
            reason=str(metadata.get("reason") or ""),
            section=section,
            exercise=str(metadata.get("exercise") or ""),
            part=task or str(metadata.get("part") or ""),
            points=_whole(metadata.get("points")),
            alt=str(metadata.get("alt") or ""),
            fold=" ".join(str(metadata.get("fold", "")).split()),
            evidence=str(metadata.get("evidence", "")),
        )
        problems += [f"{here}: {problem}" for problem in _cell_problems(cell)]
        if "fold" in metadata and not cell.fold:
            problems.append(f'{here}: fold says nothing; write what is closed there: fold="..."')
        if "evidence" in metadata and not re.fullmatch(r"[a-z][a-z0-9-]*", cell.evidence):
            problems.append(
                f'{here}: evidence="{cell.evidence}" is no name; write small letters, digits and -'
            )
        problems += [f"{here}: {problem}" for problem in _exercise_problems(cell, metadata)]
        cells.append(cell)
    return cells


def _find(lines: list[str], text: list[str], start: int, code: bool) -> int:
    """The index of the line from `start` on at which the cell `text` stands."""
    for index in range(start, len(lines) + 1):
        before = lines[index - 1] if index else ""
        opened = re.match(r"`{3,}\s*\w", before) if code else text or REGION.match(before)
        if opened and lines[index : index + len(text)] == text:
            return index
    return start


def _last_heading(text: list[str]) -> str:
    """The last Markdown heading in a cell, "" if there is none."""
    heading, fenced = "", False
    for line in text:
        fenced ^= line.startswith("```")
        if not fenced and re.match(r"#{1,6} ", line):
            heading = line.lstrip("#").strip()
    return heading


def _attribute_problems(metadata: dict, opening: str) -> list[str]:
    """What is wrong with the names of the attributes on a cell's opening line."""
    marker = FENCE.match(opening) or REGION.match(opening)
    written = re.sub(r'"[^"]*"', "", marker[marker.lastindex]) if marker else ""
    twice = [key for key, n in Counter(re.findall(r"([\w.-]+)\s*=", written)).items() if n > 1]
    known = ", ".join(sorted(ATTRIBUTES))
    return [
        *(f"attribute '{key}' stands twice; keep one" for key in twice),
        *(
            f"unknown attribute '{key}'; known are {known}"
            for key in metadata
            if key not in ATTRIBUTES
        ),
    ]


def _tabs(written: object) -> tuple[tuple[str, ...], list[str]]:
    """The frameworks that an attribute `tab` names, and what is wrong with it."""
    known = ", ".join(FRAMEWORKS)
    if written is None:
        return tuple(FRAMEWORKS), []
    if not isinstance(written, str) or not written.strip():
        return (), [f'tab={written!r} names no framework; write tab="pytorch"']
    tabs = [tab.strip() for tab in written.split(",")]
    problems = [f"unknown tab '{tab}'; known are {known}" for tab in tabs if tab not in FRAMEWORKS]
    problems += [
        f"tab '{tab}' stands twice; keep one" for tab, n in Counter(tabs).items() if n > 1
    ]
    if not problems and len(tabs) == len(FRAMEWORKS):
        problems = ["tab names all frameworks; a cell for all has no tab"]
    return tuple(tab for tab in FRAMEWORKS if tab in tabs), problems


def _cell_problems(cell: Cell) -> list[str]:
    """What is wrong within a cell, as far as one sees it without its neighbours."""
    problems = []
    known = ", ".join(sorted(TAGS))
    for tag in cell.tags:
        if tag not in TAGS:
            problems.append(f"unknown tag '{tag}'; known are {known}")
        elif cell.kind != "code":
            problems.append(f"tag '{tag}' on prose; it belongs on code")
        elif tag in TAGS_WITH_REASON and not cell.reason:
            problems.append(f"tag '{tag}' without a reason; add reason=\"...\"")
    if cell.alt and cell.kind != "code":
        problems.append("alt on prose; it belongs on the code that draws")
    if cell.fold and (cell.kind != "code" or cell.exercise or not cell.text):
        problems.append("fold belongs on code, and not on an exercise's; take it out")
    tabbed = len(cell.tabs) < len(FRAMEWORKS)
    if cell.text and cell.reason and not set(cell.tags) & TAGS_WITH_REASON:
        problems.append("a reason for nothing; it belongs on an empty or a tagged cell")
    if not cell.text and cell.kind == "markdown":
        problems.append("an empty region; take it out")
    elif not cell.text and not tabbed:
        problems.append("an empty cell for all tabs; take it out")
    elif not cell.text and not cell.reason:
        problems.append(
            'an empty cell without a reason; add reason="..." to say why nothing is to do here'
        )
    if cell.kind == "code":
        for offset, line in enumerate(cell.text.splitlines(), start=1):
            if re.match(r"\s*%|!", line):
                problems.append(
                    f"line {offset} of the cell is no Python: '{line.strip()}'; cells are plain "
                    "Python (```bash .noeval shows a command without running it)"
                )
    return problems


def _whole(written: object) -> int:
    """Points as written; 0 if they are no whole number from 1."""
    return max(0, written) if type(written) is int else 0


def _exercise_problems(cell: Cell, metadata: dict) -> list[str]:
    """What is wrong within a cell as a part of an exercise."""
    keys = [key for key in ("part", "points") if key in metadata]
    if "exercise" not in metadata:
        return [f'{key} without exercise; add exercise="...", or take it out' for key in keys]
    problems = []
    written = metadata["exercise"]
    if not isinstance(written, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", written):
        problems.append(
            f"exercise={written!r} is no name; write small letters, digits and _, as in "
            'exercise="softmax_where"'
        )
    if cell.tags:
        problems.append(f"tag '{cell.tags[0]}' in an exercise; take it out")
    if not cell.text and cell.kind == "code":
        problems.append("an empty cell of an exercise, which is for all tabs; fill it in")
        return problems
    if "#@save" in cell.text:
        problems.append("#@save in an exercise; save what it needs in a cell of its own above")
    if cell.kind == "markdown":
        problems += [f"{key} on the task of an exercise; take it out" for key in keys]
        if not re.match(r"#{2,6} Exercise: \S", cell.text):
            problems.append("the task of an exercise begins with a heading '### Exercise: ...'")
    elif cell.part not in PARTS[1:]:
        known = ", ".join(PARTS[1:])
        problems.append(f"part={metadata.get('part')!r} of an exercise; known are {known}")
    elif cell.part in GRADED and not cell.points:
        problems.append(
            f"points={metadata.get('points')!r} on {cell.part}; write a whole number from 1, as "
            "in points=2"
        )
    elif cell.part == "solution" and "points" in metadata:
        problems.append("points on a solution; they belong on tests and hidden")
    if cell.part == "solution":
        problems += _solution_problems(cell.text)
    else:
        problems += [
            f"line {number} of the cell holds '{found[0]}', which nbgrader takes for its own; "
            "reword it"
            for number, line in enumerate(cell.text.splitlines(), start=1)
            if (found := DELIMITERS.search(line))
        ]
    if cell.part in GRADED and _ends_in_value(cell):
        problems.append(
            "the tests end in a value, which nbgrader would take for points; assert or print it"
        )
    return problems


def _solution_problems(text: str) -> list[str]:
    """What is wrong with the regions of a solution, and with what is left without them."""
    wanted, inside = BEGIN, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not DELIMITERS.search(line):
            inside += wanted == END and bool(line.strip())
        elif line.strip() != wanted:
            return [f"line {number} of the cell is '{line.strip()}', not '{wanted}'; mend it"]
        elif wanted == BEGIN:
            wanted, inside = END, 0
        elif not inside:
            return [f"line {number} of the cell ends an empty solution; fill it in"]
        else:
            wanted = BEGIN
    if wanted == END:
        return [f"a solution without its last '{END}'; add the line"]
    if BEGIN not in text:
        return [f"a solution without '{BEGIN}' and '{END}'; add the lines"]
    try:
        ast.parse(_stubbed(text))
    except SyntaxError as error:
        return [
            f"without its solution the cell is no Python: {error.msg}; move '{BEGIN}' or '{END}'"
        ]
    return []


def _stubbed(text: str) -> str:
    """A solution's text with `pass` in place of each region; students get a stub there."""
    pattern = rf"^([ \t]*){BEGIN}\n.*?^[ \t]*{END}$"
    return re.sub(pattern, r"\1pass", text, flags=re.DOTALL | re.MULTILINE)


def _ends_in_value(cell: Cell) -> bool:
    """Whether Jupyter may show a value below a cell of tests.

    It ends in an expression, and not in a call of print or of a function that the cell defines.
    Hidden tests may also call another: the checks outside of the notebook.
    """
    try:
        body = ast.parse(cell.text).body
    except SyntaxError:
        return False  # the collector says so
    if not body or not isinstance(body[-1], ast.Expr):
        return False
    if cell.part == "hidden":
        return not isinstance(body[-1].value, ast.Call)
    silent = {"print", *(node.name for node in body if isinstance(node, ast.FunctionDef))}
    called = getattr(body[-1].value, "func", None)
    return not (isinstance(called, ast.Name) and called.id in silent)


def _check_exercises(path: str, cells: list[Cell], problems: list[str]) -> None:
    """Each exercise has, in each tab, one cell of each part, in order and beside each other."""
    names = dict.fromkeys(cell.exercise for cell in cells if cell.exercise)
    for name in names:
        parts = [cell for cell in cells if cell.exercise == name]
        if not all(cell.tabs for cell in parts):
            continue  # an unknown tab is reported already
        here = place(path, parts[0].number, parts[0].line)
        wrong: dict[str, list[str]] = {}  # what it has instead -> in which tabs
        between = {}
        for framework in FRAMEWORKS:
            tab = [cell for cell in cells if framework in cell.tabs and cell.text]
            indices = [index for index, cell in enumerate(tab) if cell.exercise == name]
            found = [tab[index].part for index in indices]
            if found != list(PARTS):
                wrong.setdefault(", ".join(found) or "nothing", []).append(framework)
            elif indices[-1] - indices[0] >= len(PARTS):
                run = tab[indices[0] : indices[-1]]
                between |= {cell.number: cell for cell in run if cell.exercise != name}
        for found, tabs in wrong.items():
            problems.append(
                f"{here}: exercise '{name}' has {found} in {', '.join(tabs)}; write one cell "
                f"each of {', '.join(PARTS)}, in this order"
            )
        for cell in between.values():
            problems.append(
                f"{place(path, cell.number, cell.line)}: stands between the cells of exercise "
                f"'{name}'; move it above or below"
            )


def _groups(path: str, cells: list[Cell], problems: list[str]) -> list[list[Cell]]:
    """The groups of adjacent tabbed code cells, each of which covers every framework once."""
    groups: list[list[Cell]] = []
    group: list[Cell] = []
    covered: list[str] = []

    def close(reason: str) -> None:
        missing = ", ".join(name for name in FRAMEWORKS if name not in covered)
        start = place(path, group[0].number, group[0].line)
        problems.append(
            f"{start}: this tabbed group {reason}{missing}; write the cell, or an empty one with "
            'reason="..." if there is nothing to do'
        )
        group.clear()
        covered.clear()

    for cell in cells:
        tabbed = len(cell.tabs) < len(FRAMEWORKS)
        if tabbed and cell.kind == "markdown":
            continue  # prose for one tab stands where it likes
        if tabbed and not cell.tabs:
            return []  # an unknown tab is reported already
        if group and not tabbed:
            close("leaves out ")
        if not tabbed:
            continue
        again = [name for name in cell.tabs if name in covered]
        if again:
            close(f"has {again[0]} again in cell {cell.number} before ")
        group.append(cell)
        covered += cell.tabs
        if len(covered) == len(FRAMEWORKS):
            groups.append(list(group))
            group.clear()
            covered.clear()
    if group:
        close("leaves out ")
    return groups


def _with_alts(
    path: str, cells: list[Cell], groups: list[list[Cell]], problems: list[str]
) -> list[Cell]:
    """The cells with the alt text of their group, which its first cell holds."""
    first = {cell.number: group[0] for group in groups for cell in group}
    result = []
    for cell in cells:
        head = first.get(cell.number, cell)
        if cell.alt and cell is not head:
            problems.append(
                f"{place(path, cell.number, cell.line)}: alt on a later cell of a tabbed group; "
                f"write it on the first, cell {head.number}, for all of them"
            )
        result.append(replace(cell, alt=head.alt))
    return result


def _with_ids(chapter: str, cells: list[Cell]) -> list[Cell]:
    """Ids from chapter, kind, tabs and text (and a counter for repeats), so that an edit of one
    cell changes one id."""
    seen: Counter[str] = Counter()
    result = []
    for cell in cells:
        key = "\0".join([chapter, cell.kind, ",".join(cell.tabs), cell.text])
        seen[key] += 1
        digest = hashlib.sha256(f"{key}\0{seen[key]}".encode()).hexdigest()
        result.append(replace(cell, id=digest[:12]))
    return result
