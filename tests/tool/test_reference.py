"""The reference page: what it lists, in which order, and where its links lead."""

import re

import pytest

from tabbook import reference, source
from tabbook.project import Project, TabbookError
from tests.tool.conftest import REPOSITORY

BODY = '''# Toy

## What `fit` does

```python
def fit(X):  #@save
    """Fit X.

    Args:
        X: (batch, steps), ending in <eos>;
            `<pad>` follows.

    Returns:
        A `Fit`.
    """
```

## Layers

```python tab="pytorch, mxnet, tensorflow"
class Layer:  #@save
    """A layer."""

    def __init__(self, size, dropout=0):
        self.size = size

    def forward(self, X):
        """Apply it."""
        return X

    def _check(self, X):
        """Not for users."""
```

```python tab="jax"
class Layer:  #@save
    """A layer."""

    def __init__(self, size, dropout=0, *, rngs):
        self.size = size
```
'''
HELPERS = '''"""Helpers, by hand."""

__all__ = ["help_me"]


def help_me(kind: str = "a") -> list[str]:
    """Help.

    Raises:
        ValueError: if there is no
            such kind.
        OSError: if it cannot.
    """


def not_listed():
    """Not for users."""
'''


@pytest.fixture
def built(toy):
    toy.write("02_toy", BODY)
    (toy.root / "d2l_ext/helpers.py").write_text(HELPERS)
    assert toy.run("build").returncode == 0
    return toy


def page(toy):
    return reference.page(toy.project, source.read_all(toy.project))


def test_names_stand_in_the_order_of_the_chapters_with_links(built):
    text = page(built)
    fit, layer = (
        text.index("{py:function} fit(X)"),
        text.index("{py:class} Layer(size, dropout=0)"),
    )
    assert text.index("## 02 Toy") < fit < layer < text.index("## helpers")
    assert "Built in chapter 02, [What `fit` does](../02_toy.md#what-fit-does)." in text
    note = "[Layers](../02_toy.md#layers). JAX's takes `rngs` besides, by keyword.\n"
    assert f"Built in chapter 02, {note}" in text
    assert "{py:method} forward(X)\n\nApply it." in text
    assert "_check" not in text and "not_listed" not in text


def test_docstrings_become_fields(built):
    text = page(built)
    assert r":param X: (batch, steps), ending in \<eos>; `<pad>` follows." in text
    assert "\n:returns: A `Fit`.\n" in text
    assert "{py:function} help_me(kind: str='a') -> list[str]\n\nHelp." in text
    assert (
        ":raises ValueError: if there is no such kind.\n:raises OSError: if it cannot.\n" in text
    )


def test_what_the_four_share_stands_beside_what_they_do_not(built):
    assert "def fit" in built.project.library("common").read_text()
    assert "class Layer" in built.project.library("pytorch").read_text()


def test_a_stale_library_makes_no_page(built):
    built.write("02_toy", BODY.replace("def fit(", "def fit_all("))
    with pytest.raises(TabbookError, match="run 'make build'"):
        page(built)


def test_the_page_has_every_public_name():
    project = Project(REPOSITORY)
    text = reference.page(project, source.read_all(project))
    names = {
        name
        for library in ("common", "pytorch")
        for name in re.findall(r"^(?:def|class) (\w+)", project.library(library).read_text(), re.M)
    }
    assert {"masked_softmax", "Seq2Seq", "translate"} <= names
    assert [name for name in names if f"}} {name}(" not in text] == []
    for name in ("d2l_ext.metrics", "bleu(", "load(", "generate(", "AttentionView("):
        assert name in text
