"""What a chapter says of four trainings, one a framework, is what the four notebooks print."""

import json
import re
from pathlib import Path

import pytest

from tests import frameworks

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
UNFINISHED, FINISHED = 0, 1  # chapter 06's two models, in this order

# (chapter, its sentence with the smallest and the largest, chapter that prints, line, which one)
RANGES = [
    ("09", r"came to between (\S+) and (\S+), on 200", "05", r"error rate, attention: (\S+)", 0),
    ("06", r"fall is (\S+) to (\S+) behind a wrong det", "06", r"determiners\s+(\S+)", UNFINISHED),
    ("06", r"models' falls were (\S+) to ([\d.]+\d)", "06", r"true - own\s+(\S+)", UNFINISHED),
    ("06", r"true word, by (\S+) to (\S+), with", "06", r"true - own\s+(\S+)", FINISHED),
]


def printed(chapter, line, which):
    """The number in a line of each framework's output."""
    for framework in frameworks.FRAMEWORKS:
        (path,) = (NOTEBOOKS / framework).glob(f"{chapter}_*.ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        text = "".join("".join(output.get("text", [])) for output in outputs)
        yield float(re.findall(line, text)[which])


@pytest.mark.parametrize(("chapter", "sentence", "source", "line", "which"), RANGES)
def test_a_range_over_four_trainings_is_theirs(chapter, sentence, source, line, which):
    (path,) = NOTEBOOKS.glob(f"{chapter}_*.md")
    said = re.search(sentence, " ".join(path.read_text(encoding="utf-8").split()))
    found = sorted(printed(source, line, which))
    assert [float(number) for number in said.groups()] == [found[0], found[-1]]
