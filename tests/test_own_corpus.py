"""The chapters that have a cell of parameters run on a reader's own file, too."""

import os
import random
import subprocess
import sys

import pytest

from tabbook import source
from tabbook.project import Project
from tests.processes import ROOT

PARTS = [
    {"cat": "猫", "dog": "狗", "teacher": "老师", "girl": "女孩", "doctor": "医生"},
    {"eats": "吃", "sees": "看见", "buys": "买", "likes": "喜欢", "wants": "想要"},
    {"fish": "鱼", "rice": "米饭", "books": "书", "cake": "蛋糕", "bread": "面包"},
    {"": "", " today": "今天", " every day": "每天", " in the evening": "晚上"},
]
CHAPTERS = [
    chapter.name[:2]
    for chapter in source.read_all(Project(ROOT))
    if any("CORPUS = " in cell.text for cell in chapter.cells)
]
RUN = """
import sys
from benchmarks import gpu
parameters = {"CORPUS": sys.argv[3], "NUM_PAIRS": 400, "MAX_STEPS": 30, "NUM_EPOCHS": 1}
gpu.run_chapter(*sys.argv[1:3], parameters)
"""


def test_chapters_take_a_corpus():
    assert CHAPTERS == ["04", "05", "06", "07", "09"]  # as chapter 04 says


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chinese_in_a_chapter(chapter, tmp_path):
    """In PyTorch alone: what the corpus decides stands in cells that all tabs share."""
    pytest.importorskip("torch")
    rng, lines = random.Random(0), []
    for _ in range(500):  # of one clause to nine: some are long enough for every cell
        clauses = [[rng.choice([*d.items()]) for d in PARTS] for _ in range(rng.randint(1, 9))]
        english = ["the {} {} {}{}".format(*(word for word, _ in clause)) for clause in clauses]
        chinese = ["{0}{3}{1}{2}".format(*(word for _, word in clause)) for clause in clauses]
        lines.append(f"{', and '.join(english).capitalize()}.\t{'，'.join(chinese)}。\n")
    path = tmp_path / "pairs.txt"
    path.write_text("".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, "pytorch", chapter, str(path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
