"""Derives the book's reference page from the library's docstrings; nothing is imported.

The four generated modules agree, so PyTorch's stands for all. What another framework's takes
besides is noted, and so is the section of the chapter that builds a name.
"""

import ast
import inspect
import re
import textwrap

from tabbook.project import FRAMEWORKS, Project, TabbookError
from tabbook.source import Chapter

PAGE = "docs/reference.md"
INTRODUCTION = """\
# Reference

Every public name of the library, from its docstrings. First, in their order, what the chapters
build: `from d2l_ext import torch as d2l`, or `mxnet`, `jax`, `tensorflow`. Signatures are
PyTorch's; what is called `forward` here is `call` in TensorFlow and `__call__` in JAX. Then the
modules written by hand, which need no framework.
"""
ORIGIN = re.compile(r'# From notebooks/(\w+)\.md(?:, section "(.*)")?')
FIELDS = {"Args": "param ", "Raises": "raises ", "Returns": "returns: ", "Yields": "yields: "}
Definition = ast.FunctionDef | ast.ClassDef


def page(project: Project, chapters: list[Chapter]) -> str:
    """The page's source in MyST Markdown.

    Raises:
        TabbookError: the library is not what the chapters save.
    """
    paths = sorted((project.root / "d2l_ext").glob("[!_]*.py"))
    texts = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    saved = {name: _saved(text) for name, text in texts.items()}
    labels = {framework.module: framework.label for framework in FRAMEWORKS.values()}
    ours = dict(saved["torch"])
    for name in saved.keys() - labels:  # what the four share
        ours |= saved[name]

    parts = [INTRODUCTION, ":::{py:currentmodule} d2l\n:::"]
    for chapter in chapters:
        title, *headings = _headings(chapter)
        found = [one for one in ours.values() if one[1][1] == chapter.name]
        codes = "\n".join(cell.text for cell in chapter.cells if cell.kind == "code")
        order = re.findall(r"^(?:class|def) (\w+)", codes, re.MULTILINE)
        if not {node.name for node, _ in found} <= set(order):
            raise TabbookError("d2l_ext: not what the chapters save; run 'make build'")
        parts += [f"## {chapter.name[:2]} {title}"] if found else []
        for node, origin in sorted(found, key=lambda one: order.index(one[0].name)):
            shown, anchor = title, ""
            if origin[2] in headings:
                shown = origin[2]
                anchor = "#" + re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            note = f"Built in chapter {chapter.name[:2]}, [{shown}](../{chapter.name}.md{anchor})."
            for module, label in labels.items():
                other, _ = saved[module].get(node.name, (node, origin))
                more = [name for name in _parameters(other) if name not in _parameters(node)]
                if more:
                    note += f" {label}'s takes {' and '.join(more)} besides, by keyword."
            parts.append(_entry(node, note))
    for name, text in texts.items():
        if name not in labels and not saved[name]:
            module = ast.parse(text)
            parts += [f"## {name}", f":::{{py:currentmodule}} d2l_ext.{name}\n:::"]
            parts += [_markdown(module), *map(_entry, public(module))]
    return "\n\n".join(parts) + "\n"


def public(module: ast.Module) -> list[Definition]:
    """The functions and classes of a module that are for its users: `__all__`, if it has one."""
    found = [node for node in module.body if isinstance(node, Definition)]
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [one for one in found if one.name in ast.literal_eval(node.value)]
    return [node for node in found if not node.name.startswith("_")]


def _saved(text: str) -> dict[str, tuple[Definition, re.Match]]:
    """What a generated module defines, with the comment that says where it comes from."""
    origins = {n: ORIGIN.fullmatch(line) for n, line in enumerate(text.splitlines(), start=1)}
    found = {}
    for node in ast.parse(text).body:
        above = [origin for n, origin in origins.items() if origin and n < node.lineno]
        if above and isinstance(node, Definition):
            found[node.name] = node, above[-1]
    return found


def _headings(chapter: Chapter) -> list[str]:
    """The chapter's title, and the headings that its page has an anchor for."""
    shared = [cell for cell in chapter.cells if len(cell.tabs) == len(FRAMEWORKS)]
    prose = [cell.text for cell in shared if cell.kind == "markdown" and not cell.exercise]
    return re.findall(r"^#{1,3} +(.+)$", "\n\n".join(prose), re.MULTILINE)


def _entry(node: Definition, note: str = "", kind: str = "function") -> str:
    """A function, or a class with its methods, as the directive by which Sphinx finds it."""
    parts, fence = [_markdown(node), note], ":::"
    if isinstance(node, ast.ClassDef):
        kind, fence = "class", "::::"
        methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
        shown = [one for one in methods if one.name[0] != "_" and ast.get_docstring(one)]
        parts += [_entry(one, kind="method") for one in shown]
    content = "\n\n".join(filter(None, parts))
    return f"{fence}{{py:{kind}}} {node.name}{_signature(node)}\n\n{content}\n{fence}"


def _called(node: Definition) -> ast.FunctionDef | None:
    """The function that a call of the name runs; None for a NamedTuple."""
    inside = [node] if isinstance(node, ast.FunctionDef) else node.body
    functions = [one for one in inside if isinstance(one, ast.FunctionDef)]
    return next((one for one in functions if one is node or one.name == "__init__"), None)


def _parameters(node: Definition) -> list[str]:
    called = _called(node)
    return [f"`{one.arg}`" for one in called.args.args + called.args.kwonlyargs] if called else []


def _signature(node: Definition) -> str:
    called = _called(node)
    if called is None:
        fields = [ast.unparse(one) for one in node.body if isinstance(one, ast.AnnAssign)]
        return f"({', '.join(fields)})"
    arguments = re.sub(r"^(self|cls)(, |$)", "", ast.unparse(called.args))
    returns = ast.unparse(called.returns).strip("'") if called is node and called.returns else ""
    return f"({arguments})" + (f" -> {returns}" if returns else "")


def _markdown(node: ast.AST) -> str:
    """A docstring in Markdown, its sections as the fields that Sphinx lays out."""
    text = ""
    for part in inspect.cleandoc(ast.get_docstring(node) or "").split("\n\n"):
        heading, _, content = part.partition(":\n")
        if heading in FIELDS:
            each = textwrap.dedent(content)
            items = re.split(r"\n(?=\S)", each) if heading in ("Args", "Raises") else [each]
            text += "".join(f":{FIELDS[heading]}{' '.join(item.split())}\n" for item in items)
        else:
            text += f"\n{part}\n\n"
    # Tokens such as <eos> are no HTML; within code nothing is
    pieces = re.split(r"(`[^`]*`)", text.strip("\n"))
    pieces[::2] = [piece.replace("<", r"\<") for piece in pieces[::2]]
    return "".join(pieces)
