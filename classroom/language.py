"""Says in another language what the hidden tests say: translations of checks.py's strings.

checks.py puts its complaints together from strings with {expressions}. A complaint is matched with
these strings, and what stood for an expression, which may be such a string itself, is put into the
translation. What has no translation stays English.
"""

import functools
import re
from pathlib import Path

FOLDER = Path(__file__).parent
EXPRESSION = re.compile(r"\{[^{}]+\}")


@functools.cache
def _templates(language: str) -> list[tuple[re.Pattern, list[str], str]]:
    """Each translated string as a pattern, its expressions, its translation; long ones first."""
    import polib  # only graders need it

    path = FOLDER / language / "checks.po"
    entries = polib.pofile(path.read_text("utf-8")).translated_entries() if path.is_file() else []
    found = []
    for entry in sorted(entries, key=lambda one: -len(EXPRESSION.sub("", one.msgid))):
        fixed = map(re.escape, EXPRESSION.split(entry.msgid))
        pattern = re.compile("(.*?)".join(fixed), re.DOTALL)
        found.append((pattern, EXPRESSION.findall(entry.msgid), entry.msgstr))
    return found


def translate(complaint: str, language: str) -> str:
    """A complaint in a language.

    Args:
        complaint: what a check says, in English.
        language: such as "zh_CN"; there are translations if there is a catalog of that name.

    Returns:
        The translation; the complaint itself if no translated string fits.
    """
    for pattern, expressions, translation in _templates(language):
        match = pattern.fullmatch(complaint)
        if match:
            values = {
                expression: translate(value, language) if value != complaint else value
                for expression, value in zip(expressions, match.groups())
            }
            parts = re.split(f"({EXPRESSION.pattern})", translation)
            return "".join(values.get(part, part) for part in parts)
    return complaint
