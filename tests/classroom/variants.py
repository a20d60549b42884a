"""Reads the chapters' exercises, and the other answers to them that variants.toml holds."""

import dataclasses
import functools
import re
import tomllib
from pathlib import Path

from tabbook import assignments, source
from tabbook.project import FRAMEWORKS, Project

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).with_name("variants.toml")


@dataclasses.dataclass(frozen=True)
class Variant:
    """An answer to an exercise that is not the chapter's.

    Args:
        exercise: its name.
        name: short, with underscores.
        about: what is right or wrong with it, in a few words.
        says: regular expression that the hidden test's complaint has; "" for a right answer.
        texts: {framework: the cell}.
        impossible: {framework: why there is no such answer}.
    """

    exercise: str
    name: str
    about: str
    says: str
    texts: dict
    impossible: dict

    @property
    def right(self):
        """Whether it should get all points."""
        return not self.says


def read(text):
    """Read variants from TOML: [exercise.right.name] and [exercise.wrong.name].

    Each has `about`, `all` or a framework's text (which goes before `all`), `says` if it is wrong,
    and for each framework that has no text a reason in `impossible`.

    Raises:
        ValueError: an entry says too little or too much.
    """
    variants = []
    for exercise, kinds in tomllib.loads(text).items():
        for kind, entries in kinds.items():
            for name, entry in entries.items():
                place = f"{exercise}.{kind}.{name}"
                entry = dict(entry)
                about, says = entry.pop("about", ""), entry.pop("says", "")
                impossible, common = entry.pop("impossible", {}), entry.pop("all", None)
                texts = {f: entry.pop(f, common) for f in FRAMEWORKS if f not in impossible}
                if entry or kind not in ("right", "wrong"):
                    raise ValueError(f"{place}: unknown: {[kind, *entry]}")
                if not about or bool(says) != (kind == "wrong") or None in texts.values():
                    raise ValueError(f"{place}: needs about, a text for each tab; says if wrong")
                variants.append(Variant(exercise, name, about, says, texts, impossible))
    return variants


@functools.cache
def all_variants():
    """The variants of variants.toml."""
    return read(DATA.read_text(encoding="utf-8"))


@functools.cache
def chapters():
    """The chapters that have exercises."""
    return [chapter for chapter in source.read_all(Project(ROOT)) if chapter.exercises()]


def exercises():
    """The names of all exercises."""
    return [name for chapter in chapters() for name in chapter.exercises()]


def cells(framework, exercise):
    """The cells of an exercise in one framework, by their part, and the imports before them.

    Args:
        framework: its name, such as "jax".
        exercise: its name.

    Returns:
        {"imports", "task", "solution", "tests", "hidden": text}.
    """
    (chapter,) = (chapter for chapter in chapters() if exercise in chapter.exercises())
    tab = chapter.tab(framework)
    texts = {cell.part: cell.text for cell in tab if cell.exercise == exercise}
    return {"imports": assignments.imports(chapter, framework), **texts}


def stub(solution):
    """A solution's cell as students get it: an exception in place of its marked regions."""
    region = rf"{source.BEGIN}\n.*?{source.END}"
    return re.sub(region, "raise NotImplementedError()", solution, flags=re.DOTALL)
