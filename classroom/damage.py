"""Reads a submitted notebook, whatever it is, and puts back what a student may not change."""

import json
import re
from collections import Counter
from copy import deepcopy

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

LARGEST = 50 * 2**20  # bytes
MAKE = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


class Damage(Exception):
    """A submission that can't be graded; the message says why, for the teacher."""


def read(path):
    """The notebook's cells, without outputs, each valid by itself.

    Returns:
        (cells, notes): notes are sentences about what had to be left out.

    Raises:
        Damage: this is no notebook.
    """
    size = path.stat().st_size
    if size == 0:
        raise Damage(f"{path.name} is empty")
    if size > LARGEST:
        raise Damage(f"{path.name} has {size / 2**20:.0f} MB: more than {LARGEST // 2**20}")
    try:
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Damage(f"{path.name} is no notebook: not JSON ({error})"[:200]) from error
    if isinstance(content, dict) and content.get("nbformat") == 3:
        try:
            content = nbformat.convert(nbformat.from_dict(content), 4)
        except Exception as error:  # whatever the converter stumbles over
            raise Damage(f"{path.name}: a notebook of 2014's format, and broken") from error
    if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
        raise Damage(f"{path.name} is JSON, but no notebook")
    cells, broken, ids = [], 0, set()
    for entry in content["cells"]:
        try:
            source = entry["source"]
            source = source if isinstance(source, str) else "".join(source)
            source = source.encode("utf-8", "replace").decode()  # half a character pair, say
            cell = MAKE[entry["cell_type"]](source, metadata=known(entry.get("metadata")))
        except (KeyError, TypeError, ValueError, AttributeError):
            broken += 1
            continue
        name = entry.get("id")
        if isinstance(name, str) and re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) and name not in ids:
            cell.id = name
        ids.add(cell.id)
        cells.append(cell)
    return cells, [f"{broken} broken cells were left out"] if broken else []


def known(metadata):
    """Of a cell's metadata what is looked at here; the rest is of no use for grading."""
    kept = {}
    if isinstance(metadata, dict):
        if isinstance(metadata.get("nbgrader"), dict):
            kept["nbgrader"] = metadata["nbgrader"]
        if "skip-execution" in str(metadata.get("tags")):
            kept["tags"] = ["skip-execution"]
    return kept


def grade_id(cell):
    """The cell's nbgrader name, or None."""
    nbgrader = cell.metadata.get("nbgrader")
    name = nbgrader.get("grade_id") if isinstance(nbgrader, dict) else None
    return name if isinstance(name, str) and name else None


def holds(path, release):
    """Whether a file is a notebook with a cell of the released one."""
    names = {grade_id(cell) for cell in release.cells} - {None}
    try:
        return any(grade_id(cell) in names for cell in read(path)[0])
    except Damage:
        return False


def mend(cells, release):
    """Gives the released cells their place, metadata and, where locked, text again.

    A student's own cells stay where they are. (nbgrader then puts the hidden tests in.)

    Args:
        cells: what `read` gives.
        release: the released notebook.

    Returns:
        (notebook, notes): notes are sentences about what was changed back.

    Raises:
        Damage: none of the released cells is there.
    """
    wanted = {grade_id(cell): cell for cell in release.cells if grade_id(cell)}
    order = list(wanted)
    notes = []

    copies = Counter(grade_id(cell) for cell in cells)
    for index, cell in enumerate(cells):
        name = grade_id(cell)
        # of several copies the last one counts, as nbgrader has it and as Python does
        if name in wanted and name not in (grade_id(later) for later in cells[index + 1 :]):
            continue
        cell.metadata = {}
    present = [index for index, cell in enumerate(cells) if grade_id(cell)]
    if not present:
        raise Damage("holds no cell of this assignment: another notebook, or all cells are copies")
    for name in order:
        if copies[name] > 1:
            notes.append(f"{name} was there {copies[name]} times; the last one counts")

    found = [grade_id(cells[index]) for index in present]
    if found != sorted(found, key=order.index):
        notes.append("exercises' cells had been moved; put back in order")
        by_name = {grade_id(cells[index]): cells[index] for index in present}
        for index, name in zip(present, sorted(found, key=order.index)):
            cells[index] = by_name[name]

    for name in order:
        if name in found:
            continue
        cell = deepcopy(wanted[name])
        if cell.metadata.nbgrader.get("solution"):
            # not the stub: the function may stand in a cell of the student's own
            cell.source = "# This cell was missing from the submission."
        later = set(order[order.index(name) + 1 :])
        after = [i for i, other in enumerate(cells) if grade_id(other) in later]
        cells.insert(after[0] if after else len(cells), cell)
        notes.append(f"{name} was missing; put back")

    for index, cell in enumerate(cells):
        original = wanted.get(grade_id(cell))
        if original is None:
            continue
        if cell.cell_type != original.cell_type:
            notes.append(f"{grade_id(cell)} had become a {cell.cell_type} cell; changed back")
        changed = original.metadata.nbgrader.get("locked") and (
            cell.source.strip() != original.source.strip()
        )
        if changed:
            notes.append(f"the text of {grade_id(cell)} had been changed; put back")
        if facts(cell) != facts(original):
            notes.append(f"points or metadata of {grade_id(cell)} had been changed; put back")
        source = original.source if changed else cell.source
        # all metadata: the tag skip-execution alone would give a test its points
        cells[index] = MAKE[original.cell_type](source, metadata=deepcopy(original.metadata))
        cells[index].id = cell.id
    return new_notebook(cells=cells, metadata=deepcopy(release.metadata)), notes


def facts(cell):
    """What of a cell's metadata decides about points."""
    kept = {key: cell.metadata.nbgrader.get(key) for key in ("grade", "locked", "solution")}
    points = cell.metadata.nbgrader.get("points")
    kept["points"] = float(points) if isinstance(points, int | float) else points
    return kept, "skip-execution" in (cell.metadata.get("tags") or [])
