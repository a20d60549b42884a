"""Collects the statements that chapters mark with `#@save` into the library modules."""

import ast
import builtins
import io
import symtable
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from tabbook.project import FRAMEWORKS, Framework, Project, TabbookError
from tabbook.source import Cell, Chapter
from tabbook.style import ruff

KNOWN_EVERYWHERE = set(dir(builtins)) | {"__name__", "__file__"}
BOOK = "d2l"  # the name by which a chapter calls the library


@dataclass
class Library:
    """What the chapters save for one framework, in their order.

    Args:
        imports: import statement -> the name that it binds.
        used: the imported names that saved code uses; the others are left out.
        names: the saved names -> where they were saved.
        blocks: the generated code, statement by statement, under comments on its origin.
    """

    framework: Framework
    imports: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)


class CellError(Exception):
    """A problem at one line of a cell."""

    def __init__(self, line: int, message: str):
        self.line = line
        super().__init__(message)


def collect(project: Project, chapters: list[Chapter]) -> dict[str, str]:
    """Collect all chapters' saved code.

    Returns:
        For each framework the text of its library module.

    Raises:
        TabbookError: saved code breaks a rule; all problems at once.
    """
    problems: dict[str, None] = {}  # the same problem in four tabs is one problem
    libraries = [Library(framework) for framework in FRAMEWORKS.values()]
    for chapter in chapters:
        saved = {}
        for library in libraries:
            before = set(library.names)
            for cell in chapter.tab(library.framework.name):
                if cell.kind == "code":
                    for line, message in _add_cell(library, chapter, cell):
                        problems[f"{chapter.where(cell, line)}: {message}"] = None
            saved[library.framework.name] = [n for n in library.names if n not in before]
        problems |= dict.fromkeys(_check_only(chapter, saved))
    if problems:
        raise TabbookError(problems)
    return {library.framework.name: _module(project, library) for library in libraries}


def _add_cell(library: Library, chapter: Chapter, cell: Cell) -> Iterator[tuple[int, str]]:
    """Add a cell's saved statements to the library; yields problems as (line, message)."""
    try:
        tree = ast.parse(cell.text)
        marks = _save_marks(cell.text)
        if not marks:
            return
        if cell.text.splitlines()[0].strip() == "#@save":
            for line in marks[1:]:
                yield line, "a second #@save in a cell of imports; keep the first line's"
            for statement in tree.body:
                _add_import(library, statement)
            return
    except SyntaxError as error:
        yield error.lineno or 1, f"not Python: {error.msg}; mend the cell"
        return
    except CellError as error:
        yield error.line, str(error)
        return
    section = f', section "{cell.section}"' if cell.section else ""
    origin = f"# From {chapter.path}{section}, cell {cell.id}\n"
    for line in marks:
        try:
            statement = _marked_statement(tree, line)
            names = _saved_names(statement)
            text, first = _statement_text(cell.text, tree, statement)
            text = _rewrite(library, statement, names, text, first)
            _check_names(library, statement, names, text)
        except CellError as error:
            yield error.line, str(error)
            continue
        for name in names:
            if name in library.names:
                yield (
                    line,
                    f"'{name}' is saved already, in {library.names[name]}; rename or reuse it",
                )
            elif name in library.imports.values():
                yield line, f"'{name}' is also an import's name; rename one of them"
            else:
                library.names[name] = chapter.where(cell, line)
        library.blocks.append(origin + text)
        origin = ""


def _save_marks(text: str) -> list[int]:
    """The lines with a comment `#@save`, from 1."""
    marks = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if token.string == "#@save":
                marks.append(token.start[0])
            elif "@save" in token.string.lower():
                raise CellError(token.start[0], f"'{token.string}': write #@save, nothing else")
    return marks


def _add_import(library: Library, statement: ast.stmt) -> None:
    """Merge one import statement into the library's imports."""
    line = statement.lineno
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        raise CellError(line, "a cell that starts with #@save holds imports only; split the cell")
    for alias in statement.names:
        bound = alias.asname or alias.name.partition(".")[0]
        renamed = f" as {alias.asname}" if alias.asname else ""
        if isinstance(statement, ast.Import):
            module = alias.name
            written = f"import {alias.name}{renamed}"
        else:
            module = f"{statement.module}.{alias.name}"
            written = f"from {statement.module} import {alias.name}{renamed}"
            if statement.level or alias.name == "*" or statement.module == "__future__":
                raise CellError(line, f"'{written}' can't be saved; import names from a module")
        top, _, rest = module.partition(".")
        if top == "d2l":
            raise CellError(line, f"'{written}': the library can't use the d2l book; take it out")
        generated = {framework.module for framework in FRAMEWORKS.values()}
        if top == "d2l_ext" and rest.partition(".")[0] in generated:
            if module != f"d2l_ext.{library.framework.module}" or bound != BOOK:
                wanted = f"from d2l_ext import {library.framework.module} as {BOOK}"
                raise CellError(line, f"'{written}' in this tab; write '{wanted}'")
            continue  # the library itself
        for other, name in library.imports.items():
            packages = not renamed and written.startswith("import ") and " as " not in other
            if name == bound and other != written and not (packages and other[:7] == "import "):
                raise CellError(line, f"'{written}', but '{other}' is saved as well; agree on one")
        if bound in library.names:
            raise CellError(line, f"'{bound}' is saved in {library.names[bound]}; rename one")
        library.imports[written] = bound


def _marked_statement(tree: ast.Module, line: int) -> ast.stmt:
    """The statement of the cell whose header bears the `#@save` on `line`."""
    for statement in tree.body:
        if _first_line(statement) <= line <= statement.end_lineno:
            break
    else:
        raise CellError(
            line, "#@save stands alone; put it behind the def, class or assignment that it saves"
        )
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if line >= statement.body[0].lineno != statement.lineno:
            raise CellError(
                line, f"#@save inside of '{statement.name}'; only whole top-level statements count"
            )
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        raise CellError(line, "#@save on an import; make it the first line of a cell of imports")
    elif not isinstance(statement, ast.Assign | ast.AnnAssign):
        kind = type(statement).__name__
        raise CellError(
            line,
            f"#@save on a statement that can't be saved ({kind}); save a def, class or =",
        )
    return statement


def _first_line(statement: ast.stmt) -> int:
    """The first line of a statement, its decorators included."""
    decorators = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _saved_names(statement: ast.stmt) -> list[str]:
    """The names that a saved statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    if statement.value is None or not all(isinstance(target, ast.Name) for target in targets):
        raise CellError(statement.lineno, "a saved assignment gives a value to plain names")
    return [target.id for target in targets]


def _statement_text(text: str, tree: ast.Module, statement: ast.stmt) -> tuple[str, int]:
    """A statement with the comments right above it and without its `#@save`.

    Returns:
        The text, and the line of the cell, from 1, on which it starts.
    """
    first, last = _first_line(statement), statement.end_lineno
    for other in tree.body:
        if other is not statement and _first_line(other) <= last and first <= other.end_lineno:
            raise CellError(
                statement.lineno, "two statements on a line; put the saved one on its own"
            )
    lines = text.splitlines()
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and token.string == "#@save":
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    return "\n".join(lines[first - 1 : last]) + "\n", first


def _rewrite(
    library: Library, statement: ast.stmt, names: list[str], text: str, first: int
) -> str:
    """Write `d2l.name` as `name`, at the places the syntax tree gives; the rest stays as it is."""
    lines = [line.encode() for line in text.splitlines()]
    found = [
        node
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == BOOK
    ]
    local_names = _local_names(text)
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        written = f"{BOOK}.{node.attr}"
        if node.attr not in library.names and node.attr not in names:
            raise CellError(
                node.lineno,
                f"'{written}' is not saved before this; save it in an earlier cell "
                "(the library can't use the d2l book)",
            )
        if node.attr in local_names:
            raise CellError(
                node.lineno, f"a local name '{node.attr}' hides '{written}'; rename the local name"
            )
        row = node.lineno - first
        line = lines[row] if 0 <= row < len(lines) else b""
        if line[node.col_offset : node.end_col_offset] != written.encode():
            raise CellError(
                node.lineno, f"can't place '{written}' (in an f-string?); give it a name first"
            )
        lines[row] = line[: node.col_offset] + node.attr.encode() + line[node.end_col_offset :]
    return b"\n".join(lines).decode() + "\n"


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    """All scopes inside of a scope."""
    for child in table.get_children():
        yield child
        yield from _tables(child)


def _local_names(text: str) -> set[str]:
    """The names that some function inside of the statement binds."""
    return {
        symbol.get_name()
        for table in _tables(symtable.symtable(text, "<cell>", "exec"))
        if table.get_type() == "function"
        for symbol in table.get_symbols()
        if symbol.is_local()
    }


def _check_names(library: Library, statement: ast.stmt, names: list[str], text: str) -> None:
    """Every name that saved code takes from its module is imported or saved before it."""
    table = symtable.symtable(text, "<cell>", "exec")
    used_now = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_referenced() and (symbol.get_name() in names or not symbol.is_assigned())
    }
    used_later = {
        symbol.get_name()
        for inner in _tables(table)
        for symbol in inner.get_symbols()
        if symbol.is_global()
    }
    imported = set(library.imports.values())
    known = KNOWN_EVERYWHERE | imported | set(library.names)
    unknown = (used_now - known) | (used_later - known - set(names))
    if unknown:
        name = min(unknown, key=lambda name: (_line_of(statement, name), name))
        raise CellError(
            _line_of(statement, name),
            f"saved code uses '{name}', which it neither imports nor finds saved before it; "
            "save it in an earlier cell, or import it in a cell that starts with #@save",
        )
    library.used |= (used_now | used_later) & imported


def _line_of(statement: ast.stmt, name: str) -> int:
    """The line on which a statement first uses a name."""
    lines = [
        node.lineno
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and node.id == name
    ]
    return min(lines, default=statement.lineno)


def _check_only(chapter: Chapter, saved: dict[str, list[str]]) -> Iterator[str]:
    """Names saved for some frameworks only stand in the chapter's allow-list, and no others."""
    partial = {}
    for name in dict.fromkeys(name for names in saved.values() for name in names):
        missing = [framework for framework, names in saved.items() if name not in names]
        if missing:
            partial[name] = missing
    for name, missing in partial.items():
        if name not in chapter.only:
            yield (
                f"{chapter.path}: '{name}' is saved, but not for {', '.join(missing)}; save it "
                "there too, or say why not in the front matter (tabbook: only:)"
            )
    for name in chapter.only:
        if name not in partial:
            yield (
                f"{chapter.path}: 'only: {name}' in the front matter, but the chapter does not "
                "save that name for some frameworks only; take it out"
            )


def _module(project: Project, library: Library) -> str:
    """The text of a library module."""
    framework = library.framework
    imports = [written for written, name in library.imports.items() if name in library.used]
    listed = "".join(f"    {name!r},\n" for name in library.names)
    text = (
        f'"""What the chapters save for {framework.label}; other names come from the d2l book.\n\n'
        f"Generated from notebooks/*.md, tab {framework.name}. To change a block, edit the\n"
        'chapter that it names, then run `python -m tabbook build`.\n"""\n\n'
        "from d2l_ext import compat\n\n"
        f'compat.prepare("{framework.module}")\n\n'
        + "\n".join(imports)
        + f"\n\n__all__ = [\n{listed}]\n\n\n"
        + "\n\n".join(library.blocks)
        + f'\n\n__getattr__ = compat.fall_through("{framework.module}")\n'
    )
    name = project.relative(project.library(framework.name))
    alone = ["--isolated", "--line-length=99"]
    text = ruff(project, text, name, "check", *alone, "--select=I,RUF022", "--fix")
    return ruff(project, text, name, "format", *alone)
