"""Collects the statements that chapters mark with `#@save` into the library modules.

A tab's go into its framework's module. Those of cells without a tab go into `common.py`, which
names no framework, and which the four modules hand on.
"""

import ast
import builtins
import io
import symtable
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from tabbook.project import FRAMEWORKS, Framework, Project, TabbookError
from tabbook.source import ADDING, Cell, Chapter
from tabbook.style import ruff

KNOWN_EVERYWHERE = set(dir(builtins)) | {"__name__", "__file__"}
BOOK = "d2l"  # the name by which a chapter calls the library
COMMON = Framework("common", "common", "all frameworks")
PACKAGES = {"torch", "mxnet", "jax", "flax", "optax", "tensorflow", "keras"}  # of the frameworks
CALLS = {"forward", "hybrid_forward", "call", "__call__"}  # of a model, by the frameworks


@dataclass
class Library:
    """What the chapters save for one framework, or for all in common, in their order.

    Args:
        before: what it hands on; None for what all have in common.
        imports: import statement -> the name that it binds.
        used: the imported names that saved code uses; the others are left out.
        names: the saved names -> where they were saved. A method that is added to a class later is
            `Class.method`.
        blocks: the generated code, statement by statement, under comments on its origin. Methods
            stand in the block of their class, whatever chapter adds them.
        classes: class -> its block's number, and the origin of what stands last in it.
        origin: that of the last block.
    """

    framework: Framework
    before: "Library | None" = None
    imports: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    classes: dict[str, tuple[int, str]] = field(default_factory=dict)
    origin: str = ""

    @property
    def known(self) -> dict[str, str]:
        """The names that saved code may use -> where they were saved."""
        return self.names | (self.before.names if self.before else {})

    @property
    def public(self) -> list[str]:
        """The names that the module defines, methods of classes left out."""
        return [name for name in self.names if "." not in name]


class CellError(Exception):
    """A problem at one line of a cell."""

    def __init__(self, line: int, message: str):
        self.line = line
        super().__init__(message)


def collect(project: Project, chapters: list[Chapter]) -> dict[str, str]:
    """Collect all chapters' saved code.

    Returns:
        For each framework, and for "common" if anything is, the text of its library module.

    Raises:
        TabbookError: saved code breaks a rule; all problems at once.
    """
    problems: dict[str, None] = {}  # the same problem in four tabs is one problem
    common = Library(COMMON)
    libraries = [Library(framework, common) for framework in FRAMEWORKS.values()]
    for chapter in chapters:
        before = {library.framework.name: set(library.names) for library in libraries}
        for cell in chapter.cells:
            tabbed = [library for library in libraries if library.framework.name in cell.tabs]
            shared = len(tabbed) == len(libraries)
            if cell.kind != "code":
                continue
            for library in [common] if shared else tabbed:
                for line, message in _add_cell(library, libraries, chapter, cell):
                    problems[f"{chapter.where(cell, line)}: {message}"] = None
        saved = {
            library.framework.name: [n for n in library.names if n not in before[name]]
            for name, library in zip(before, libraries)
        }
        problems |= dict.fromkeys(_check_only(chapter, saved))
    if problems:
        raise TabbookError(problems)
    written = [*([common] if common.names else []), *libraries]
    return {library.framework.name: _module(project, library) for library in written}


def _add_cell(
    library: Library, libraries: list[Library], chapter: Chapter, cell: Cell
) -> Iterator[tuple[int, str]]:
    """Add a cell's saved statements to the library; yields problems as (line, message).

    Args:
        library: that of the cell's tab, or what all have in common.
        libraries: those of all frameworks.
    """
    others = [] if library.before else libraries
    try:
        tree = ast.parse(cell.text)
        marks = _save_marks(cell.text)
        if not marks:
            return
        if cell.text.splitlines()[0].strip() == "#@save":
            for line in marks[1:]:
                yield line, "a second #@save in a cell of imports; keep the first line's"
            for statement in tree.body:
                for each in [library, *others]:
                    _add_import(each, statement, cell_for_all=library.before is None)
            return
    except SyntaxError as error:
        yield error.lineno or 1, f"not Python: {error.msg}; mend the cell"
        return
    except CellError as error:
        yield error.line, str(error)
        return
    section = f', section "{cell.section}"' if cell.section else ""
    origin = f"# From {chapter.path}{section}\n"
    for line in marks:
        try:
            statement = _marked_statement(tree, line)
            names = _saved_names(statement)
            text, first = _statement_text(cell.text, tree, statement)
            text = _rewrite(library, others, statement, names, text, first)
            _check_names(library, others, statement, names, text)
            if "." in names[0]:
                text = _method_text(library, text, names[0], line)
        except CellError as error:
            yield error.line, str(error)
            continue
        known = library.known
        for other in others:
            known = other.names | known
        for name in names:
            if name in known:
                yield (
                    line,
                    f"'{name}' is saved already, in {known[name]}; rename or reuse it",
                )
            elif name in library.imports.values():
                yield line, f"'{name}' is also an import's name; rename one of them"
            else:
                library.names[name] = chapter.where(cell, line)
        owner, _, method = names[0].rpartition(".")
        if method and owner:
            block, last = library.classes[owner]
            mark = "" if last == origin else origin
            library.blocks[block] += "\n" + textwrap.indent(mark, "    ") + text
            library.classes[owner] = block, origin
            continue
        if isinstance(statement, ast.ClassDef):
            library.classes[statement.name] = len(library.blocks), origin
        library.blocks.append(("" if origin == library.origin else origin) + text)
        library.origin = origin


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


def _add_import(library: Library, statement: ast.stmt, cell_for_all: bool) -> None:
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
        module_of_ours = top == "d2l_ext" and rest.partition(".")[0] in generated
        if cell_for_all and (module_of_ours or top in PACKAGES):
            raise CellError(line, f"'{written}' in a cell for all tabs; move it into the tabs")
        if module_of_ours:
            if module != f"d2l_ext.{library.framework.module}" or bound != BOOK:
                wanted = f"from d2l_ext import {library.framework.module} as {BOOK}"
                raise CellError(line, f"'{written}' in this tab; write '{wanted}'")
            continue  # the library itself
        for other, name in library.imports.items():
            packages = not renamed and written.startswith("import ") and " as " not in other
            if name == bound and other != written and not (packages and other[:7] == "import "):
                raise CellError(line, f"'{written}', but '{other}' is saved as well; agree on one")
        if bound in library.known:
            raise CellError(line, f"'{bound}' is saved in {library.known[bound]}; rename one")
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
    """The names that a saved statement binds; `Class.method` for a method that it adds."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        for decorator in statement.decorator_list:
            called, _, arguments = ast.unparse(decorator).partition("(")
            if called in (ADDING, f"{BOOK}.{ADDING}"):
                owner = arguments.removesuffix(")").removeprefix(f"{BOOK}.")
                return [f"{owner}.{statement.name}"]
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
    library: Library,
    others: list[Library],
    statement: ast.stmt,
    names: list[str],
    text: str,
    first: int,
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
        if node.attr not in library.known and node.attr not in names:
            _check_tabs(others, node.attr, node.lineno)
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


def _method_text(library: Library, text: str, name: str, line: int) -> str:
    """The text of a function as it stands in the class that it is added to."""
    owner = name.partition(".")[0]
    if owner not in library.classes:
        raise CellError(
            line, f"'{owner}' is not a class that these tabs save; add to one of those"
        )
    function = ast.parse(text).body[0]
    adding = next(d for d in function.decorator_list if ADDING in ast.unparse(d))
    function.decorator_list.remove(adding)
    early = ast.walk(ast.Module([*function.decorator_list, function.args], []))
    for used in (node.id for node in early if isinstance(node, ast.Name)):
        if used in library.known:
            raise CellError(
                line, f"'{used}' in the head of a method that is added; use it in its body"
            )
    lines = text.splitlines(keepends=True)
    del lines[adding.lineno - 1 : adding.end_lineno]
    method = textwrap.indent("".join(lines), "    ")
    (indented,) = ast.parse(f"class {owner}:\n{method}").body[0].body
    for each in function, indented:
        if ast.get_docstring(each):
            del each.body[0]
    if ast.dump(indented) != ast.dump(function):
        raise CellError(line, "a string over several lines in a method that is added; cut it up")
    return method


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


def _check_tabs(others: list[Library], name: str, line: int) -> None:
    """What all frameworks share can't use what tabs save or import."""
    if any(name in (*other.names, *other.imports.values()) for other in others):
        raise CellError(
            line,
            f"saved code of a cell for all tabs uses '{name}', which tabs save; make it a method "
            "of the model, or give the cell tabs",
        )


def _check_names(
    library: Library, others: list[Library], statement: ast.stmt, names: list[str], text: str
) -> None:
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
    known = KNOWN_EVERYWHERE | imported | set(library.known)
    unknown = (used_now - known) | (used_later - known - set(names))
    if unknown:
        name = min(unknown, key=lambda name: (_line_of(statement, name), name))
        _check_tabs(others, name, _line_of(statement, name))
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


def _role(name: str) -> str:
    """A saved name, with one name for the methods that are called when the object is."""
    owner, dot, method = name.rpartition(".")
    return f"{owner}.__call__" if dot and method in CALLS else name


def _check_only(chapter: Chapter, saved: dict[str, list[str]]) -> Iterator[str]:
    """Names saved for some frameworks only stand in the chapter's allow-list, and no others."""
    partial = {}
    saved = {framework: [*map(_role, names)] for framework, names in saved.items()}
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
    framework, before = library.framework, library.before
    imports = [written for written, name in library.imports.items() if name in library.used]
    listed = [f'"{name}"' for name in library.public]
    if before:
        about = (
            f"What the chapters save for {framework.label}; other names come from the d2l book."
        )
        where = f", tab {framework.name}"
        prepare = f'from d2l_ext import compat\n\ncompat.prepare("{framework.module}")\n\n'
        end = f'\n\n__getattr__ = compat.fall_through("{framework.module}")\n'
    else:
        about = "What the chapters save for all frameworks, whose modules hand it on."
        where, prepare, end = ", cells without a tab", "", ""
    if before and before.names:
        imports += ["from d2l_ext import common", "from d2l_ext.common import *"]
        listed = ["*common.__all__", *listed]
    names = "".join(f"{name}, " for name in listed)
    names = textwrap.fill(names, 95, initial_indent="    ", subsequent_indent="    ")
    text = (
        f'"""{about}\n\n'
        f"Generated from notebooks/*.md{where}. To change a block, edit the\n"
        'chapter that it names, then run `python -m tabbook build`.\n"""\n\n'
        + prepare
        + "\n".join(imports)
        + f"\n\n# fmt: off\n__all__ = [\n{names}\n]\n# fmt: on\n\n\n"
        + "\n\n".join(library.blocks)
        + end
    )
    name = project.relative(project.library(framework.name))
    alone = ["--isolated", "--line-length=99"]
    text = ruff(project, text, name, "check", *alone, "--select=I", "--fix")
    # Chapters are narrower: what is broken there may stand on one line here
    joined = "--config=format.skip-magic-trailing-comma=true"
    return ruff(project, text, name, "format", *alone, joined)
