"""The hidden tests in another language: checks.py with the words of a catalog.

A string is translated where it stands in the code, before anything is filled in, so that a
complaint that is put together from several of them is in one language throughout.
"""

import ast
import re
import sys
import types
from pathlib import Path


def template(node: ast.Constant | ast.JoinedStr) -> str:
    """What stands between the quotes of a string: of an f-string its {expressions}, too."""
    if isinstance(node, ast.Constant):
        return node.value
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(part.value.replace("{", "{{").replace("}", "}}"))
        else:
            conversion = "" if part.conversion == -1 else f"!{chr(part.conversion)}"
            spec = f":{template(part.format_spec)}" if part.format_spec else ""
            parts.append(f"{{{ast.unparse(part.value)}{conversion}{spec}}}")
    return "".join(parts)


class _Translator(ast.NodeTransformer):
    """Puts translations in place of strings.

    Args:
        words: {what `template` gives: its translation, with the same {expressions}}.
    """

    def __init__(self, words: dict[str, str]):
        self.words = words

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        known = isinstance(node.value, str) and node.value in self.words
        return ast.Constant(self.words[node.value]) if known else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        words = self.words.get(template(node))
        if words is None:
            return node
        values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
        expressions = {template(ast.JoinedStr([part])): part for part in values}
        parts = re.split(f"({'|'.join(map(re.escape, expressions))})", words)
        text = (ast.Constant(part.replace("{{", "{").replace("}}", "}")) for part in parts)
        return ast.JoinedStr([expressions.get(part, each) for part, each in zip(parts, text)])


def languages(checks: Path) -> list[str]:
    """The languages that the checks in a file have a catalog for, beside it."""
    return sorted(path.parent.name for path in checks.parent.glob("*/checks.po"))


def translated(checks: Path, language: str) -> str:
    """The code of checks in another language.

    Args:
        checks: the English file. LANGUAGE/checks.po beside it is the catalog, where what has no
            translation stays English.
        language: such as "zh_CN".
    """
    import polib  # only graders need it

    catalog = polib.pofile((checks.parent / language / "checks.po").read_text("utf-8"))
    words = {entry.msgid: entry.msgstr for entry in catalog.translated_entries()}
    tree = _Translator(words).visit(ast.parse(checks.read_text("utf-8")))
    return ast.unparse(ast.fix_missing_locations(tree))


def load(language: str) -> types.ModuleType:
    """The module `classroom.checks` in another language."""
    checks = Path(__file__).with_name("checks.py")
    module = types.ModuleType(f"classroom.{language}.checks")
    sys.modules[module.__name__] = module
    exec(compile(translated(checks, language), "<checks>", "exec"), module.__dict__)
    return module
