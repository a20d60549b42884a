"""Chapters of the Chinese edition give the English of a term where they first use it."""

import re
from pathlib import Path

import polib
import pytest

from tabbook import edition
from tabbook.project import Project

PROJECT = Project(Path(__file__).parents[1])
# What has no room for a second language, or is not read with the rest
ELSEWHERE = ("heading", "alt text", "table", "title of a fold", "summary", "test")
TERMS = {  # a term -> how it is used as such; 键 and 值 also stand in other words
    "注意力机制": "注意力机制",
    "查询": "查询",
    "键": "(?<!关)(?<!Tab )键(?!盘|值存储)",
    "值": r"(?<=[和、*])值(?!得)",
    "注意力汇聚": "注意力汇聚",
    "掩蔽 softmax 操作": "掩蔽 ?softmax",
    "评分函数": "评分函数",
    "编码器-解码器": "编码器-解码器",
    "强制教学": "强制教学",
    "束搜索": "束搜索",
    "上下文变量": "上下文变量",
    "词元": "词元",
}


def prose(name):
    """A chapter's translated prose in reading order."""
    catalog = polib.pofile(str(PROJECT.translated(name)))
    entries = [entry for entry in catalog if not entry.obsolete]
    return [e.msgstr for e in entries if e.comment.split(" · ")[1] not in ELSEWHERE]


@pytest.mark.parametrize("name", edition.names(PROJECT))
def test_the_first_use_of_a_term_gives_both(name):
    text = "\n".join(prose(name))
    for term, used in TERMS.items():
        first = re.search(used, text)
        given = re.search(rf"{re.escape(term)}\**（[a-z]", text)
        if first:
            words = text[max(0, first.start() - 10) : first.end() + 20]
            assert given and given.start() <= first.start(), f"{term}: '{words}'"


def test_every_term_is_used():
    every = "\n".join(text for name in edition.names(PROJECT) for text in prose(name))
    assert [term for term in TERMS if term not in every] == []
