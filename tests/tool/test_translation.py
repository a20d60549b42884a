"""The Chinese edition: messages, catalogs, what `check` finds in them, and what is derived."""

import re

import nbformat
import polib
import pytest
from conftest import BODY, EXERCISE

from classroom import language
from tabbook import book, catalog, edition, faithful, messages, source, split
from tabbook.project import FRAMEWORKS, LANGUAGE
from tabbook.words import ENGLISH_PAGE, UNTRANSLATED

NAME = "02_toy"
ENGLISH = """# Toy

Some *words*, on
two lines, about $x$.

* **First.** An item.
  1. An item within.

> A quotation.

| a head | $x$ | 1.5 |
|---|---|---|
| one word | `a|b` | PyTorch |

![A picture
of it.](img/toy.svg)

*Figure 2.1. What to see.*

$$ y = x \\tag{2.1} $$

<details><summary>Answers</summary>

```python
not a message
```

</details>

## References

- Och, F. J., and Ney, H. (2003). A title.
"""


def blocks(text):
    return [(block.kind, block.text) for block in messages.blocks(text)]


def test_messages_are_blocks_of_prose():
    assert blocks(ENGLISH) == [
        ("heading", "Toy"),
        ("paragraph", "Some *words*, on two lines, about $x$."),
        ("list item", "**First.** An item."),
        ("list item", "An item within."),
        ("quotation", "A quotation."),
        ("table", "a head"),
        ("table", "one word"),
        ("alt text", "A picture of it."),
        ("caption", "*Figure 2.1. What to see.*"),
        ("summary", "Answers"),
        ("heading", "References"),
    ]


def test_translations_stand_where_the_messages_stood():
    text = messages.changed(ENGLISH, lambda block: block.text.upper())
    assert "\nSOME *WORDS*, ON TWO LINES, ABOUT $X$.\n" in text
    assert "\n* **FIRST.** AN ITEM.\n  1. AN ITEM WITHIN.\n\n> A QUOTATION.\n" in text
    assert "\n| A HEAD | $x$ | 1.5 |\n|---|---|---|\n| ONE WORD | `a|b` | PyTorch |\n" in text
    assert "\n![A PICTURE OF IT.](img/toy.svg)\n\n*FIGURE 2.1. WHAT TO SEE.*\n" in text
    assert "<details><summary>ANSWERS</summary>\n\n```python\nnot a message\n```" in text
    assert text.endswith("\n## REFERENCES\n\n- Och, F. J., and Ney, H. (2003). A title.\n")


def test_the_books_contents_are_messages():
    contents = (
        "```{toctree}\n:caption: Chapters\n:glob:\n\nGlossary <docs/glossary>\n[0-9]*\n```\n"
    )
    assert blocks(contents) == [("contents", "Chapters"), ("contents", "Glossary")]
    text = messages.changed(contents, lambda block: "词")
    assert text == "```{toctree}\n:caption: 词\n:glob:\n\n词 <docs/glossary>\n[0-9]*\n```\n"
    assert blocks(":::{tab-item} JAX words\n:sync: jax\n\n% A remark\n:::\n") == []


# --- Catalogs ---


def started(toy, body=ENGLISH, name=NAME, words=None):
    """A toy with a chapter and its catalog, whose messages are translated as themselves.

    Args:
        words: other translations, by their English.
    """
    toy.write(name, body)
    assert toy.run("translate", "--chapter", name).stdout == f"notebooks/zh_CN/{name}.po\n"
    return fill(toy, name, lambda entry: (words or {}).get(entry.msgid, entry.msgid))


def fill(toy, name, words):
    """Translate the messages of a chapter that are not translated; the catalog's path."""
    path = toy.project.translated(name)
    stored = polib.pofile(str(path), wrapwidth=0)
    for entry in stored:
        entry.msgstr = entry.msgstr or words(entry)
    stored.save()
    return path


def entries(path):
    return {entry.msgid: entry for entry in polib.pofile(str(path))}


def test_translate_keeps_marks_and_adds(toy):
    path = started(
        toy, "# Toy\n\nThis paragraph is about one cat.\n\nAnother one, of dogs.\n\nBye.\n"
    )
    toy.write(NAME, "# Toy\n\nNew here.\n\nThis paragraph is about two cats.\n\nBye.\n")
    assert toy.run("translate").stdout == f"notebooks/zh_CN/{NAME}.po\n"
    found = entries(path)
    assert list(found) == [
        "Toy",
        "New here.",
        "This paragraph is about two cats.",
        "Bye.",
        "Another one, of dogs.",
    ]
    assert found["New here."].msgstr == ""
    changed = found["This paragraph is about two cats."]
    assert changed.fuzzy and changed.msgstr == "This paragraph is about one cat."
    assert changed.previous_msgid == "This paragraph is about one cat."
    assert found["Bye."].translated() and found["Another one, of dogs."].obsolete
    before = path.read_bytes()
    assert toy.run("translate").stdout == "" and path.read_bytes() == before
    toy.write(NAME, "# Toy\n\nAnother one, of dogs.\n\nBye.\n")  # what was gone comes back
    toy.run("translate")
    assert entries(path)["Another one, of dogs."].translated()


def test_what_was_fuzzy_when_it_went_comes_back_fuzzy(toy):
    english = "This paragraph is about two cats."
    path = started(toy, "# Toy\n\nThis paragraph is about one cat.\n")
    for words in (english, "Bye.", english):
        toy.write(NAME, f"# Toy\n\n{words}\n")
        toy.run("translate")
    assert entries(path)[english].fuzzy


def generator(stored):
    stored.metadata["X-Generator"] = "Poedit 3.4"


def wrapping(stored):
    stored.wrapwidth = 78


def comment(stored):
    stored[1].tcomment = "Is this about cats?"


@pytest.mark.parametrize("tool", [generator, wrapping, comment])
def test_a_catalog_survives_a_translators_tool(toy, tool):
    english = "This paragraph is about one cat, and about much else that makes a line of it long."
    path = started(toy, f"# Toy\n\n{english}\n", words={english: "这一段讲的是一只猫。" * 5})
    stored = polib.pofile(str(path), wrapwidth=0)
    tool(stored)
    stored.save()
    before = path.read_bytes()
    assert toy.run("translate", "--check").stderr == ""
    assert toy.run("translate").stdout == "" and path.read_bytes() == before
    toy.write(NAME, f"# Toy\n\n{english.replace('one cat', 'a cat')}\n")
    assert toy.run("translate").stdout == f"notebooks/zh_CN/{NAME}.po\n"
    after = polib.pofile(str(path))
    assert after.metadata == stored.metadata
    assert [entry.tcomment for entry in after] == [entry.tcomment for entry in stored]
    assert after[1].fuzzy and after[1].msgstr == stored[1].msgstr


def test_translate_begins_a_catalog_only_if_asked(toy):
    toy.write(NAME, ENGLISH)
    assert toy.run("translate").stdout == ""
    assert not toy.project.translated(NAME).exists()
    done = toy.run("translate", "--check")
    assert (done.returncode, done.stdout) == (0, "0 catalogs, 0 problems\n")


def test_a_message_says_where_it_stands(toy):
    toy.write(NAME, "# Toy\n\n" + '<!-- #region tab="jax" -->\nOf JAX.\n<!-- #endregion -->\n')
    toy.run("translate", "--chapter", "02")
    assert entries(toy.project.translated(NAME))["Of JAX."].comment == "Toy · paragraph · jax"


def test_a_chapter_has_messages_in_its_code(toy):
    body = '# Toy\n\n```python fold="how it\nworks" alt="A bar."\nx = 1\n```\n\n' + EXERCISE
    body = body.replace("how it\n", "how it ").replace(
        'double(3) == 6, "twice 3 is 6"', "double(3) == 6, f\"{double(3)!r:>3} is '6'\""
    )
    toy.write(NAME, body)
    text = catalog.of(toy.project, source.read(toy.project, NAME))
    found = [(m.kind, m.text) for m in text.messages()]
    assert ("title of a fold", "how it works") in found and ("alt text", "A bar.") in found
    assert ("test", "{double(3)!r:>3} is '6'") in found and ("test", "twice -1 is -2") in found


def test_what_the_hidden_tests_say_is_translated(tmp_path):
    code = '''"""A docstring of words."""

KEYS = {"one": f"{name} are not {'a number'}", "two": "the weights"}


def check(weights):
    """Another docstring."""
    demand(weights, f"{name}: row {i:>3} has {{}} {problem}", "nothing known")
'''
    (tmp_path / "checks.py").write_text(code)
    expected = ["{name} are not {'a number'}", "the weights"]
    expected += ["{name}: row {i:>3} has {{}} {problem}", "nothing known"]
    assert [message.text for message in catalog.of_python(code)] == expected
    words = ["{name}不是数", "权重", "{problem}（{name}）{{}} 第 {i:>3} 行", ""]
    po = polib.POFile()
    po.extend(polib.POEntry(msgid=a, msgstr=b) for a, b in zip(expected, words))
    (tmp_path / "xx").mkdir()
    po.save(str(tmp_path / "xx/checks.po"))
    assert language.languages(tmp_path / "checks.py") == ["xx"]
    said, names = [], {"name": "x", "i": 7, "problem": "y"}
    names["demand"] = lambda *arguments: said.extend(arguments)
    exec(language.translated(tmp_path / "checks.py", "xx"), names)
    names["check"](5)
    assert said == [5, "y（x）{} 第   7 行", "nothing known"]
    assert names["KEYS"] == {"one": "x不是数", "two": "权重"}


# --- What check finds ---


def problems(english, chinese, kind="paragraph"):
    return list(faithful.problems(catalog.Message(english, kind, ""), chinese))


GOOD = [
    (
        "**Step 1: weights.** Score $\\mathbf{q}_i$ with `f x`, as [chapter 02](02_toy.md) does.",
        "**第 1 步：权重**。像[第 02 章](02_toy.md)那样，用 `f x` 计算 $\\mathbf{q}_i$ 的评分。",
    ),
    (
        "In chapters 03 and 04, by equations (3.1) to (3.3).",
        "在第 03、04 章，由公式 (3.1) 到 (3.3)。",
    ),
    ("*Figure 3.1. What to see, as in Figure 2.1.*", "*图 3.1：看什么，如图 2.1 所示。*"),
    ("Graves (2013, section 5.1) did it.", "Graves（2013，第 5.1 节）做到了。"),
    (
        "It is old (Watson, 1964; Och and Ney, 2003).",
        "它早已有之（Watson, 1964；Och and Ney, 2003）。",
    ),
    ("Bahdanau, Cho, and Bengio (2015) say so.", "Bahdanau, Cho, and Bengio (2015) 这样说。"),
    ("Open <b>it</b> in Colab.", "在 Colab 中打开<b>它</b>。"),
    ("“Yes”, she said.", "她说：“是的。”"),
    ("Of 36 million, 2,000 in two ways.", "3600 万个中的 2000 个，有 2 种方式。"),
    ("In July it was 0.5; half of 8.", "7 月是 0.5；8 的一半是 8 的 0.5。"),
    ("Python 3.13, d2l and JAX", "Python 3.13、d2l 和 JAX"),
    ("jax 0.10, flax 0.12", "jax 0.10、flax 0.12"),
    ("The article *l'*.", "冠词 *l'*，仅此而已。"),
]


@pytest.mark.parametrize(("english", "chinese"), GOOD)
def test_a_good_translation_passes(english, chinese):
    assert problems(english, chinese) == []


@pytest.mark.parametrize(
    ("english", "chinese", "expected"),
    [
        ("A size $\\sqrt{d}$.", "大小 $\\sqrt{b}$。", "has lost formulas: $\\sqrt{d}$"),
        ("A size.", "大小 $d$。", "has formulas that its source has not: $d$"),
        ("Call `f(x)`.", "调用 `f(y)`。", "has lost code spans: `f(x)`"),
        ("See [it](a.md).", "看它。", "has lost links: a.md"),
        ("See [it](a.md).", "看[它](b.md)。", "has links that its source has not: b.md"),
        ("See ![it](a.svg).", "看。", "has lost links: a.svg"),
        ("See [it][a].", "看[它][b]。", "has lost links: a"),
        ("<b>So</b>.", "如此。", "has lost HTML: <b>, </b>"),
        ("Watson (1964) did.", "Watson 做到了。", "has lost citations: Watson (1964)"),
        ("Watson (1964) did.", "Watson（1965）做到了。", "has lost citations: Watson (1964)"),
        ("As in chapter 05.", "如第 06 章。", "has lost references to chapters: 05"),
        ("By equation (5.1).", "由公式 (5.2) 可得。", "has lost references to equations: 5.1"),
        ("See Figure 5.1.", "见图 5.2。", "has lost references to figures: 5.1"),
        (
            "*Figure 5.1. A net.*",
            "*图 5.2：网络。*",
            "has lost references to figures: caption 5.1",
        ),
        ("**So.** It is.", "**如此。**就是。", "has lost bold or slanted words: **"),
        ("A b.", "一\n二。", "has more than one line; write it on one"),
        ("A b.", "- 一。", "is another kind of Markdown, such as a list; mend its beginning"),
        ("In JAX.", "在JAX 中。", "no space between Chinese and Latin words, digits, code: '在J"),
        ("Of `f`.", "`f`的。", "no space between Chinese and Latin words, digits, code: 'x的"),
        ("A b.", "一 二。", "a space between Chinese characters: '一 二"),
        ("In JAX.", "在 JAX 中， 有。", "a space beside a mark of full width: "),
        ("A, b.", "一,二。", "a mark of half width beside a Chinese character: '一,"),
        ("A (b).", "一(二)。", "a bracket of half width beside a Chinese character: '一("),
        ("In JAX, b.", "在 JAX, 二。", "a mark of half width before Chinese words: 'JAX, 二"),
        ("A b.", "一\u200b二。", "has a character that nobody sees: '\\u200b'"),
        ("A b.", "一\u3000二。", "has a space of full width: "),
        ("A b.", "一二。。", "has a mark that stands twice: '一二。。"),
        ('A "b".', '一"二"。', "has a straight quotation mark, not “ or ”: '一\""),
        ("Of $a$ and $b$.", "$b$ 和 $a$ 的。", "has formulas in another order; if it means that"),
        ("Of `a` and `b`.", "`b` 和 `a` 的。", "has code spans in another order"),
        ("See [a](a.md), [b](b.md).", "见[甲](b.md)、[乙](a.md)。", "has links in another order"),
        ("From 0.56 on 400.", "从 0.65 到 400。", "has lost numbers: 0.56"),
        ("From 0.56 on 400.", "从 0.56 到 40。", "has numbers that its source has not: 40"),
        ("Use (9.3).", "用 (9.4)。", "has lost numbers: 9.3"),
        ("It is a row of words.", "It is a row of words.", "has no Chinese; translate it"),
        ("Scaling", "TODO", "has no Chinese; translate it"),
    ],
)
def test_a_translation_that_is_not_its_sources(english, chinese, expected):
    found = problems(english, chinese)
    assert any(expected in problem for problem in found), found


def test_a_translation_may_say_that_it_means_its_order(toy):
    english = "Of `a` and `b`."
    path = started(toy, f"# Toy\n\n{english}\n", words={english: "`b` 和 `a` 的。"})
    assert "code spans in another order" in toy.run("translate", "--check").stderr
    path.write_text(path.read_text("utf-8").replace("#. Toy · p", "# 语序\n#. Toy · p"), "utf-8")
    assert toy.run("translate", "--check").stderr == ""


def test_a_tests_message_keeps_what_varies():
    assert problems("{a} is not {b}", "{b} 不是 {a}", "test") == []
    assert problems("{a} is not {b}", "{a} 不对", "test") == [
        "has lost {...} for what varies: {b}"
    ]


PROSE = "As equation (2.1) says, a larger $x$ is better; see [above](02_toy.md)."
CHINESE = "正如公式 (2.1) 所说，$x$ 大一些更好；见[上文](02_toy.md)。"


@pytest.fixture
def translated(executed):
    """A toy whose chapter is in the edition, wholly translated, everything derived and checked."""
    started(executed, f"{BODY}\n{PROSE}\n\n$$ y = x \\tag{{2.1}} $$\n", words={PROSE: CHINESE})
    assert executed.run("translate").returncode == 0
    assert executed.run("build").returncode == 0
    assert executed.run("check").stderr == ""
    return executed


def change(toy, old, new):
    """Change the English chapter, and derive what follows, without an execution."""
    path = toy.project.source(NAME)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    toy.run("build")


def test_check_finds_a_message_without_a_translation(translated):
    path = translated.project.translated(NAME)
    path.write_text(path.read_text("utf-8").replace('msgstr "Scaling"', 'msgstr ""'), "utf-8")
    translated.run("build")
    err = translated.run("check").stderr
    assert f"notebooks/zh_CN/{NAME}.po, line 14, 'Scaling': not translated; write its" in err


def test_check_finds_that_the_english_has_changed(translated):
    change(translated, "## Scaling", "## Scaling it")
    err = translated.run("check").stderr
    assert f"{NAME}.po: not what notebooks/{NAME}.md asks for; run 'python -m tabbook tran" in err
    translated.run("translate")
    err = translated.run("check").stderr
    assert "'Scaling it': fuzzy: its English has changed; mend the msgstr, delete 'fuzzy'" in err
    path = translated.project.translated(NAME)
    path.write_text(path.read_text("utf-8").replace("#, fuzzy\n", ""), "utf-8")
    translated.run("translate")
    assert "fuzzy" not in translated.run("check").stderr


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a larger $x$", "a smaller $x$", "not what notebooks/02_toy.md asks for; run 'python"),
        ("，$x$ 大", "，$x^$ 大", "has lost formulas: $x$"),
        ("[上文](02_toy.md)", "上文", "has lost links: 02_toy.md"),
        ("公式 (2.1)", "公式 (2.2)", "has lost references to equations: 2.1"),
    ],
)
def test_check_finds_a_translation_that_has_lost_something(translated, old, new, expected):
    english = old in PROSE
    path = (translated.project.source if english else translated.project.translated)(NAME)
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    assert translated.run("build").returncode == 0
    done = translated.run("check")
    assert done.returncode == 1 and expected in done.stderr


def test_check_finds_a_catalog_of_nothing(translated):
    others = [translated.project.translated("03_gone"), translated.root / "classroom/zh_CN/a.po"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    err = translated.run("check").stderr
    for path in ("notebooks/zh_CN/03_gone.po", "classroom/zh_CN/a.po"):
        assert f"{path}: there is no such text; delete it" in err


def test_check_finds_a_catalog_that_is_none(translated):
    translated.project.translated(NAME).write_text('msgid "a\nmsgstr')
    for command in ("check", "translate", "build", "book"):
        done = translated.run(command)
        assert done.returncode == 1
        assert f"notebooks/zh_CN/{NAME}.po: not a PO file: " in done.stderr


@pytest.mark.parametrize("folder", ["jax", "colab/jax"])
def test_check_finds_a_derived_file_that_is_not_its_sources(translated, folder):
    path = translated.project.notebooks / LANGUAGE / folder / f"{NAME}.ipynb"
    path.write_text(path.read_text("utf-8").replace("Toy", "Toys"), "utf-8")
    err = translated.run("check").stderr
    assert f"zh_CN/{folder}/{NAME}.ipynb: not what the chapter and its translation gives" in err
    path.unlink()
    assert f"zh_CN/{folder}/{NAME}.ipynb: missing; run 'make build'" in (
        translated.run("check").stderr
    )


# --- What is derived ---


def chinese(toy, name=NAME):
    """A chapter of the edition."""
    (found,) = edition.chapters(toy.project, source.read_all(toy.project, (name,)))
    return found


def test_a_chinese_notebook_has_the_outputs_of_the_english_one(translated):
    english = split.stored(translated.project.notebook(NAME, "jax"))
    notebook = split.stored(translated.project.notebook(NAME, "jax", LANGUAGE))
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in english.cells]
    pairs = zip(notebook.cells, english.cells, strict=True)
    code = [(new, old) for new, old in pairs if new.cell_type == "code"]
    assert code and all(new == old for new, old in code)
    assert any(new.outputs for new, _ in code)
    assert "/notebooks/zh_CN/colab/jax/02_toy.ipynb)" in notebook.cells[0].source


def test_untranslated_prose_is_english_and_marked(toy):
    toy.write(NAME, f'{ENGLISH}\n```python fold="how"\nx\n```\n')
    toy.run("translate", "--chapter", "02")
    fill(toy, NAME, lambda entry: "玩具" if entry.msgid == "Toy" else "")
    text = "\n".join(cell.text for cell in chinese(toy).cells)
    assert "# 玩具\n" in text
    assert f"\n{UNTRANSLATED}Some *words*, on two lines, about $x$.\n" in text
    assert f"\n*Figure 2.1. {UNTRANSLATED}What to see.*\n" in text
    assert f"![{UNTRANSLATED}A picture of it.](img/toy.svg)" in text
    assert f"| {UNTRANSLATED}one word |" in text
    assert chinese(toy).cells[-1].fold == f"{UNTRANSLATED}how"


def test_links_lead_to_the_edition_where_it_has_the_chapter(toy):
    toy.write("03_in", "# In")
    toy.write("04_out", "# Out")
    started(toy, "[a](03_in.md#b), [b](04_out.md), ![c](img/d.svg), ![e](img/f.png)")
    toy.run("translate", "--chapter", "03")
    link = "[a](03_in.ipynb#b), [b](../../jax/04_out.ipynb), ![c](../../img/zh_CN/d.svg), "
    cells = split.notebook(chinese(toy), "jax").cells
    assert cells[-1].source == link + "![e](../../img/f.png)"


def test_assignments_in_chinese(toy):
    hidden = "from classroom import checks\n\nchecks.double(double)"
    body = EXERCISE.replace('assert double(-1) == -2, "twice -1 is -2"', hidden)
    toy.write(NAME, f"# Toy\n\n{body}")
    toy.run("translate", "--chapter", "02")
    words = {"Exercise: twice as much": "练习：两倍", "twice 3 is 6": "3 的两倍是 6"}
    fill(toy, NAME, lambda entry: words.get(entry.msgid, ""))
    done = toy.run("assignments", "--language", LANGUAGE, "--framework", "jax")
    assert done.returncode == 0, done.stderr
    folder = toy.root / "build/assignments/zh_CN/jax"
    assert "请用代码替换这一行" in (folder / "nbgrader_config.py").read_text("utf-8")
    cells = nbformat.read(folder / f"source/{NAME}/{NAME}.ipynb", as_version=4).cells
    assert "* 两倍：5 分" in cells[0].source
    assert "zh_CN/jax/02_toy.ipynb" in cells[0].source
    assert cells[2].source.startswith("### 练习：两倍\n")
    assert cells[4].source == 'assert double(3) == 6, "3 的两倍是 6"'
    assert "\nfrom classroom.zh_CN import checks\n" in cells[5].source
    toy.write("03_other", "# Other")
    done = toy.run("assignments", "--language", LANGUAGE, "--chapter", "03")
    assert "03_other.md: no exercises to write" in done.stderr
    toy.write("03_other", "# Other\n\n" + EXERCISE.replace("double", "triple"))
    done = toy.run("assignments", "--language", LANGUAGE, "--chapter", "03")
    assert "03_other.md: not in the Chinese edition; begin with 'python -m tab" in done.stderr


@pytest.mark.parametrize("words", ['"6" 不是 {double(3)}', '{double(3)} 不是 "6"'])
def test_a_message_of_a_test_stays_an_f_string(toy, words):
    body = EXERCISE.replace('"twice 3 is 6"', 'f"{double(3)} is not 6"')
    toy.write(NAME, f"# Toy\n\n{body}")
    toy.run("translate", "--chapter", "02")
    fill(toy, NAME, lambda entry: words if "is not" in entry.msgid else "")
    cell = next(cell for cell in chinese(toy).cells if cell.part == "tests")
    with pytest.raises(AssertionError, match=re.escape(words.replace("{double(3)}", "7"))):
        exec(cell.text, {"double": lambda x: 7})


def test_the_chinese_book(translated):
    (translated.root / "docs").mkdir()
    (translated.root / "docs/claims.md").write_text("# Claims\n\nHere.\n")
    path = translated.project.translated(NAME)
    path.write_text(path.read_text("utf-8").replace('msgstr "Scaling"', 'msgstr "缩放"'), "utf-8")
    pages = book.pages(translated.project, LANGUAGE)
    assert "## 缩放" in pages[f"{NAME}.md"] and "1.414" in pages[f"{NAME}.md"]
    assert "在一个 CPU 核上运行需" in pages[f"{NAME}.md"]
    assert pages["docs/claims.md"].startswith(f"# Claims\n\n```{{note}}\n\n{ENGLISH_PAGE}")
    assert '["02 Toy", "Scaling"]' in pages["sections.json"]
    for framework in FRAMEWORKS:
        assert "缩放" in pages[f"notebooks/{framework}/{NAME}.ipynb"]
    assert "缩放" not in book.pages(translated.project)[f"{NAME}.md"]


def test_references_and_citations_of_chinese_prose_are_links(executed):
    (executed.root / "docs").mkdir()
    entry = "- Och, F. J., and Ney, H. (2003). A title."
    (executed.root / "docs/bibliography.md").write_text(f"# Bibliography\n\n{entry}\n")
    prose = "As Och and Ney (2003) say, equation (2.1) and chapter 03 hold."
    path = executed.project.source(NAME)
    path.write_text(f"{path.read_text('utf-8')}\n{prose}\n\n$$ x \\tag{{2.1}} $$\n", "utf-8")
    executed.write("03_other", "# Other")
    assert executed.run("build").returncode == 0
    assert executed.run("execute").returncode == 0
    executed.run("translate", "--chapter", "02")
    words = "正如 Och and Ney（2003）所说，公式 (2.1) 和第 03 章成立。"
    fill(executed, NAME, lambda entry: words if entry.msgid == prose else "")
    text = book.pages(executed.project, LANGUAGE)[f"{NAME}.md"]
    assert "[Och and Ney（2003）](docs/bibliography.md#och-and-ney-2003)所说" in text
    assert "[公式 (2.1)](#equation-2-1) 和[第 03 章](03_other.md)成立" in text


def test_readme_and_pages(toy):
    toy.write(NAME, "# Toy")
    toy.run("translate", "--chapter", "02")
    (toy.root / "docs").mkdir()
    (toy.root / "docs/teaching.md").write_text("# Teaching\n\nSee [it](../notebooks/02_toy.md).\n")
    address = toy.project.home.colab("notebooks/colab/jax/02_toy.ipynb")
    (toy.root / "README.md").write_text(
        "# Read\n\n[中文](README.zh-CN.md)\n\n[Teach it](docs/teaching.md), "
        "[notebook](notebooks/jax/02_toy.ipynb), [claims](docs/claims.md), [![Colab][b]][c]\n\n"
        f"[c]: {address}\n\n## Teach it: how\n\n[above](#teach-it-how)\n"
    )
    for page in ("README", "teaching"):
        assert toy.run("translate", "--page", page).returncode == 0
    assert toy.run("build").returncode == 0
    text = (toy.root / edition.README).read_text("utf-8")
    assert "[English](README.md)" in text and f"# {UNTRANSLATED}Read" in text
    assert "(docs/zh_CN/teaching.md)" in text and "(notebooks/zh_CN/jax/02_toy.ipynb)" in text
    assert "(docs/claims.md)" in text and "](#英文teach-it-how)" in text
    assert address.replace("/colab/jax", "/zh_CN/colab/jax") in text
    text = (toy.root / "docs/zh_CN/teaching.md").read_text("utf-8")
    assert "[it](../../notebooks/zh_CN/pytorch/02_toy.ipynb)" in text
    (toy.root / edition.README).unlink()
    assert "README.zh-CN.md: missing; run 'make build'" in toy.run("check").stderr


def test_front_matter_is_no_heading_and_no_message():
    text = "---\nhtml_theme.sidebar_secondary.remove: true\n---\n\n# The title\n\nWords.\n"
    assert messages.headings(text) == ["The title"]
    assert [block.text for block in messages.blocks(text)] == ["The title", "Words."]
