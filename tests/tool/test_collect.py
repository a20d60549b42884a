"""Collecting: the generated module, byte for byte, and the message of each broken rule."""

import ast

import pytest

from tabbook import collect, source
from tabbook.project import FRAMEWORKS, TabbookError


def cells(*texts: str) -> str:
    """Code cells for all tabs."""
    return "\n".join(f"```python\n{text}\n```\n" for text in texts)


def tabbed(*texts: str) -> str:
    """Code cells of each framework's tab; {name} is its name."""
    return "\n".join(
        f'```python tab="{name}"\n{text.replace("{name}", name)}\n```\n'
        for text in texts
        for name in FRAMEWORKS
    )


ADDING = cells("def add_to_class(Class):  #@save\n    return Class") + "\n"


def modules(toy, *bodies: str, **write) -> dict[str, str]:
    """The library modules that chapters 02, 03, ... of these bodies give."""
    for number, body in enumerate(bodies, start=2):
        toy.write(f"{number:02}_toy", body, **write)
    return collect.collect(toy.project, source.read_all(toy.project))


def problems(toy, *bodies: str, **write) -> list[str]:
    """What the collector says about them."""
    with pytest.raises(TabbookError) as caught:
        modules(toy, *bodies, **write)
    return caught.value.problems


def test_generated_modules(toy):
    body = "## Scaling\n\n" + cells(
        "#@save\nimport math\nimport json\nimport os.path\nimport os\n"
        "from collections import Counter, OrderedDict",
        "# Small, but not zero.\nEPSILON = 1e-8  #@save\nunsaved = 1\n\n"
        'def scale(x,  #@save\n          y=EPSILON):\n    """One.\n\n    #@save in a string\n'
        '    """\n    return math.sqrt(x) + y  # é',
        "# Not right above.\n\n@Counter\n# why\nclass Scaler:  #@save\n"
        "    def call(self, x): return f'{x}', d2l.scale(d2l.EPSILON), Scaler\n\n"
        "os.path.join('a', 'b')",
    )
    second = cells("é = d2l.scale('é', d2l.EPSILON), d2l.EPSILON  #@save", "d2l.show_images")
    third = tabbed("#@save\nimport json", "TAB = json, d2l.é, '{name}'  #@save")
    texts = modules(toy, body, second, third)
    assert list(texts) == ["common", "pytorch", "mxnet", "jax", "tensorflow"]
    assert texts["common"] == (
        '"""What the chapters save for all frameworks, whose modules hand it on.\n'
        "\n"
        "Generated from notebooks/*.md, cells without a tab. To change a block, edit the\n"
        "chapter that it names, then run `python -m tabbook build`.\n"
        '"""\n'
        "\n"
        "import math\n"
        "from collections import Counter\n"
        "\n"
        "# fmt: off\n"
        "__all__ = [\n"
        '    "EPSILON", "scale", "Scaler", "é",\n'
        "]\n"
        "# fmt: on\n"
        "\n"
        "\n"
        '# From notebooks/02_toy.md, section "Scaling"\n'
        "# Small, but not zero.\n"
        "EPSILON = 1e-8\n"
        "\n"
        "\n"
        "def scale(x, y=EPSILON):\n"
        '    """One.\n'
        "\n"
        "    #@save in a string\n"
        '    """\n'
        "    return math.sqrt(x) + y  # é\n"
        "\n"
        "\n"
        "@Counter\n"
        "# why\n"
        "class Scaler:\n"
        "    def call(self, x):\n"
        '        return f"{x}", scale(EPSILON), Scaler\n'
        "\n"
        "\n"
        "# From notebooks/03_toy.md\n"
        'é = scale("é", EPSILON), EPSILON\n'
    )
    assert texts["mxnet"] == (
        '"""What the chapters save for MXNet; other names come from the d2l book.\n'
        "\n"
        "Generated from notebooks/*.md, tab mxnet. To change a block, edit the\n"
        "chapter that it names, then run `python -m tabbook build`.\n"
        '"""\n'
        "\n"
        "from d2l_ext import compat\n"
        "\n"
        'compat.prepare("mxnet")\n'
        "\n"
        "import json\n"
        "\n"
        "from d2l_ext import common\n"
        "from d2l_ext.common import *\n"
        "\n"
        "# fmt: off\n"
        "__all__ = [\n"
        '    *common.__all__, "TAB",\n'
        "]\n"
        "# fmt: on\n"
        "\n"
        "\n"
        "# From notebooks/04_toy.md\n"
        'TAB = json, é, "mxnet"\n'
        "\n"
        "\n"
        '__getattr__ = compat.fall_through("mxnet")\n'
    )


def test_each_framework_gets_its_own_tabs(toy):
    body = (
        '```python tab="jax"\n#@save\nfrom d2l_ext import jax as d2l\nimport math as m\n```\n\n'
        '```python tab="pytorch, mxnet, tensorflow"\n#@save\nimport cmath as m\n```\n\n'
        + tabbed("def root(x):  #@save\n    return m.sqrt(x)")
    )
    texts = modules(toy, body)
    assert "common" not in texts, "nothing is saved for all"
    assert "import math as m\n" in texts["jax"]
    assert "import cmath as m\n" in texts["pytorch"]
    for text in texts.values():
        assert "as d2l" not in text and "common" not in text
        ast.parse(text)


# Methods that are added to a class ---------------------------------------------------------------

CLASS = 'class Model:  #@save\n    """Text\n    of more lines."""'


def test_an_added_method_stands_in_its_class(toy):
    first = cells(CLASS, "@d2l.add_to_class(Model)  #@save\ndef one(self):\n    return d2l.Model")
    second = "## Later\n\n" + cells(
        "@d2l.add_to_class(d2l.Model)  #@save\n"
        "@property\n"
        'def two(self):\n    """Two."""\n    return "a b", self.one()',
        "x = 1  #@save",
    )
    text = modules(toy, ADDING + first, second)["common"]
    assert text.endswith(
        "class Model:\n"
        '    """Text\n'
        '    of more lines."""\n'
        "\n"
        "    def one(self):\n"
        "        return Model\n"
        "\n"
        '    # From notebooks/03_toy.md, section "Later"\n'
        "    @property\n"
        "    def two(self):\n"
        '        """Two."""\n'
        '        return "a b", self.one()\n'
        "\n"
        "\n"
        '# From notebooks/03_toy.md, section "Later"\n'
        "x = 1\n"
    )
    assert '"add_to_class", "Model", "x",' in text, "methods are no names of the module"


def test_tabs_add_their_methods_to_their_own_class(toy):
    own = tabbed("class Model(d2l.Shared):  #@save\n    tab = '{name}'")
    added = tabbed("@d2l.add_to_class(d2l.Model)  #@save\ndef run(self):\n    return '{name}'")
    texts = modules(toy, ADDING + cells("class Shared:  #@save\n    pass"), own, added)
    for name, text in texts.items():
        assert (f'def run(self):\n        return "{name}"' in text) == (name != "common")


def test_what_a_call_runs_is_one_method_by_several_names(toy):
    names = {"pytorch": "forward", "mxnet": "hybrid_forward", "jax": "__call__"}
    own = tabbed("class Model:  #@save\n    pass") + "\n"
    added = "\n".join(
        f'```python tab="{tab}"\n@add_to_class(Model)  #@save\n'
        f"def {names.get(tab, 'call')}(self):\n    pass\n```\n"
        for tab in FRAMEWORKS
    )
    assert "def call(self)" in modules(toy, ADDING + own + added)["tensorflow"]
    other = added.replace("def call(", "def apply(")
    found = problems(toy, ADDING + own + other)
    assert "'Model.apply' is saved, but not for pytorch, mxnet, jax" in "\n".join(found)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("@add_to_class(Model)  #@save\ndef one(self):\n    pass", "'Model.one' is saved already"),
        ("@add_to_class(d2l.x)  #@save\ndef f(self):\n    pass", "'x' is not a class that these"),
        (
            "@add_to_class(Model)  #@save\ndef f(self, y=x):\n    pass",
            "'x' in the head of a method",
        ),
        (
            "@add_to_class(Model)  #@save\ndef f(self):\n    return '''a\n    b'''",
            "a string over several lines in a method that is added; cut it up",
        ),
    ],
)
def test_message_of_a_method_that_cannot_be_added(toy, method, message):
    one = "x = 1  #@save\n@add_to_class(Model)  #@save\ndef one(self):\n    pass"
    found = problems(toy, ADDING + cells(CLASS, one, method))
    assert len(found) == 1 and f": {message}" in found[0], found


# What breaks a rule ------------------------------------------------------------------------------


def test_what_all_share_names_no_framework(toy):
    for written in ("import torch", "from jax import numpy", "from d2l_ext import jax as d2l"):
        (found,) = problems(toy, cells(f"#@save\n{written}"))
        assert found.endswith(f"'{written}' in a cell for all tabs; move it into the tabs")
    for used in ("name", "d2l.name", "json"):
        body = tabbed("#@save\nimport json", "name = 1  #@save")
        (found,) = problems(toy, body + cells(f"def f():  #@save\n    return {used}"))
        bare = used.removeprefix("d2l.")
        assert f"cell for all tabs uses '{bare}', which tabs save; make it a method" in found


@pytest.mark.parametrize(
    ("body", "cell", "line", "message"),
    [
        (cells("x = 1  #@save", "x = 2  #@save"), 6, 36, "'x' is saved already, in notebooks/02_"),
        (cells("def f():  #@save\n    return y"), 5, 33, "saved code uses 'y', which it neither"),
        (cells("def f(x=y):  #@save\n    return x"), 5, 32, "saved code uses 'y', which it neit"),
        (cells("@y\ndef f():  #@save\n    pass"), 5, 32, "saved code uses 'y', which it neither"),
        (cells("class A(B):  #@save\n    pass"), 5, 32, "saved code uses 'B', which it neither"),
        (cells("class A:  #@save\n    x = y"), 5, 33, "saved code uses 'y', which it neither"),
        (cells("f = lambda x: x + y  #@save"), 5, 32, "saved code uses 'y', which it neither"),
        (cells("x = [y for z in range(3)]  #@save"), 5, 32, "saved code uses 'y', which it neith"),
        (cells("def f():  #@save\n    global y\n    y = 1"), 5, 34, "saved code uses 'y', which"),
        (cells("x = x + 1  #@save"), 5, 32, "saved code uses 'x', which it neither imports nor"),
        (cells("import math", "x = math.pi  #@save"), 6, 36, "saved code uses 'math', which it"),
        (cells("x = d2l  #@save"), 5, 32, "saved code uses 'd2l', which it neither imports nor"),
        (
            cells("def f():  #@save\n    return g()", "def g():  #@save\n    return 1"),
            5,
            33,
            "saved code uses 'g', which it neither imports nor finds saved before it; save it in "
            "an earlier cell, or import it in a cell that starts with #@save",
        ),
        (
            cells("def f():  #@save\n    return d2l.g()"),
            5,
            33,
            "'d2l.g' is not saved before this; save it in an earlier cell (the library can't use "
            "the d2l book)",
        ),
        (
            cells("g = 1  #@save", "def f(g):  #@save\n    return d2l.g + g"),
            6,
            37,
            "a local name 'g' hides 'd2l.g'; rename the local name",
        ),
        (
            cells("1 + 1  #@save"),
            5,
            32,
            "#@save on a statement that can't be saved (Expr); save a",
        ),
        (
            cells("if 1:  #@save\n    x = 1"),
            5,
            32,
            "#@save on a statement that can't be saved (If)",
        ),
        (
            cells("x = 1", "x += 1  #@save"),
            6,
            36,
            "#@save on a statement that can't be saved (Aug",
        ),
        (cells("x, y = 1, 2  #@save"), 5, 32, "a saved assignment gives a value to plain names"),
        (cells("x: int  #@save"), 5, 32, "a saved assignment gives a value to plain names"),
        (
            cells("import os  #@save"),
            5,
            32,
            "#@save on an import; make it the first line of a cel",
        ),
        (
            cells("def f():\n    x = 1  #@save\n    return x"),
            5,
            33,
            "#@save inside of 'f'; only whole top-level statements count",
        ),
        (
            cells("x = 1\n#@save\ny = 1"),
            5,
            33,
            "#@save stands alone; put it behind the def, class or assignment that it saves",
        ),
        (
            cells("x = 1; y = 2  #@save"),
            5,
            32,
            "two statements on a line; put the saved one on it",
        ),
        (cells("x = 1  # @save"), 5, 32, "'# @save': write #@save, nothing else"),
        (cells("x = 1  #@save this"), 5, 32, "'#@save this': write #@save, nothing else"),
        (cells("x = (1"), 5, 32, "not Python: '(' was never closed; mend the cell"),
        (cells("#@save\nimport os\nx = 1"), 5, 34, "a cell that starts with #@save holds imports"),
        (
            cells("#@save\nimport os  #@save"),
            5,
            33,
            "a second #@save in a cell of imports; keep t",
        ),
        (
            cells("#@save\nfrom d2l import torch"),
            5,
            33,
            "'from d2l import torch': the library can",
        ),
        (
            cells("#@save\nimport d2l.jax as j"),
            5,
            33,
            "'import d2l.jax as j': the library can't u",
        ),
        (
            cells("#@save\nfrom d2l_ext import jax as d2l"),
            5,
            33,
            "'from d2l_ext import jax as d2l' in a cell for all tabs; move it into the tabs",
        ),
        (
            tabbed("#@save\nfrom d2l_ext import torch as d2l"),
            7,
            43,
            "'from d2l_ext import torch as d2l' in this tab; write 'from d2l_ext import jax as",
        ),
        (
            cells("#@save\nfrom os import *"),
            5,
            33,
            "'from os import *' can't be saved; import name",
        ),
        (
            cells("#@save\nfrom . import a"),
            5,
            33,
            "'from None import a' can't be saved; import na",
        ),
        (
            cells("#@save\nimport math as m", "#@save\nimport cmath as m"),
            6,
            38,
            "'import cmath as m', but 'import math as m' is saved as well; agree on one",
        ),
        (
            cells("#@save\nimport os", "os = 1  #@save"),
            6,
            37,
            "'os' is also an import's name; ren",
        ),
        (
            cells("os = 1  #@save", "#@save\nimport os"),
            6,
            37,
            "'os' is saved in notebooks/02_toy.",
        ),
    ],
)
def test_message_of_a_broken_rule(toy, body, cell, line, message):
    found = problems(toy, body)
    expected = f"notebooks/02_toy.md, cell {cell} (line {line}): {message}"
    assert any(problem.startswith(expected) for problem in found), found


def test_fstring_that_hides_a_name_from_the_syntax_tree_is_rewritten_or_rejected(toy):
    body = cells("g = 1  #@save", "def f():  #@save\n    return f'é {d2l.g}'")
    try:
        text = modules(toy, body)["common"]
    except TabbookError as error:  # Python 3.11 gives no positions inside of f-strings
        assert "can't place 'd2l.g' (in an f-string?); give it a name first" in str(error)
    else:
        assert 'return f"é {g}"' in text


def test_a_problem_of_all_tabs_is_told_once(toy):
    assert len(problems(toy, cells("def f():  #@save\n    return y"))) == 1


def test_saved_for_some_frameworks_only(toy):
    body = (
        '```python tab="jax"\ndef f():  #@save\n    return 1\n```\n\n'
        '```python tab="pytorch, mxnet, tensorflow"\nx = 1\n```\n'
    )
    assert problems(toy, body) == [
        "notebooks/02_toy.md: 'f' is saved, but not for pytorch, mxnet, tensorflow; save it there "
        "too, or say why not in the front matter (tabbook: only:)"
    ]
    allow = toy.header.replace("---\n", "---\ntabbook: {only: {f: the others have it}}\n", 1)
    texts = modules(toy, body, header=allow)
    assert [name for name, text in texts.items() if "def f" in text] == ["jax"]
    assert problems(toy, cells("def f():  #@save\n    return 1"), header=allow) == [
        "notebooks/02_toy.md: 'only: f' in the front matter, but the chapter does not save that "
        "name for some frameworks only; take it out"
    ]


def test_build_with_a_problem_leaves_the_library_as_it_was(executed):
    before = executed.project.library("jax").read_bytes()
    path = executed.project.source("02_toy")
    path.write_text(path.read_text().replace("math.sqrt(2)", "unknown"))
    done = executed.run("build")
    assert done.returncode == 1
    assert "saved code uses 'unknown'" in done.stderr
    assert executed.project.library("jax").read_bytes() == before
