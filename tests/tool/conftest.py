"""A toy repository for the tool's tests: chapters of plain Python that import no framework."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tabbook.__main__ import main
from tabbook.project import FRAMEWORKS, Project

REPOSITORY = Path(__file__).parents[2]
HEADER = """---
jupyter:
  jupytext:
    text_representation:
      extension: .md
      format_name: markdown
      format_version: '1.3'
      jupytext_version: 1.19.6
  kernelspec:
    display_name: Python 3 (ipykernel)
    language: python
    name: python3
---
"""
COMPAT = '''"""What generated modules ask of compat."""


def prepare(framework):
    pass


def fall_through(framework):
    def get(name):
        raise AttributeError(name)

    return get
'''
IMPORTS = "\n".join(
    f'```python tab="{framework.name}"\nfrom d2l_ext import {framework.module} as d2l\n```\n'
    for framework in FRAMEWORKS.values()
)
BODY = """# Toy

## Scaling

```python
#@save
import math
```

```python
def scale(x):  #@save
    return x / math.sqrt(2)


print(round(scale(2), 3))
```

```python tab="jax"
tab = "jax"
tab
```

```python tab="pytorch, mxnet, tensorflow"
tab = "another"
tab
```

```python tags=["parameters"]
CORPUS = "grammar"
```

```python
print(CORPUS, d2l.scale(0))
```
"""
EXERCISE = """<!-- #region exercise="double" -->
### Exercise: twice as much

Write `double(x)`, as [above](#scaling).
<!-- #endregion -->

```python tab="jax" exercise="double" part="solution"
def double(x):
    '''Twice x.'''
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
```

```python tab="pytorch, mxnet, tensorflow" exercise="double" part="solution"
def double(x):
    '''Twice x.'''
    ### BEGIN SOLUTION
    return x + x
    ### END SOLUTION
```

```python exercise="double" part="tests" points=2
assert double(3) == 6, "twice 3 is 6"
```

```python exercise="double" part="hidden" points=3
assert double(-1) == -2, "twice -1 is -2"
```
""".replace("'''", '"' * 3)


class Toy:
    """A repository below `root` and the tool run in it."""

    header = HEADER

    def __init__(self, root: Path):
        self.root = root
        self.project = Project(root)

    def write(self, name: str, body: str, header: str = HEADER) -> Path:
        """Write a chapter's source; its first cells import the library."""
        path = self.project.source(name)
        path.write_text(f"{header}\n{IMPORTS}\n{body}", encoding="utf-8")
        return path

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start `python -m tabbook` as a user does; to be interrupted, whatever the caller is."""
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "tabbook", *arguments],
            cwd=self.root,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run a command of the tool within this process, which is faster."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.root), redirect_stdout(out), redirect_stderr(err):
            status = main(list(arguments))
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    def files(self) -> dict[str, bytes]:
        """Every file and what is in it, except caches."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and not {"__pycache__", ".ruff_cache"} & set(path.parts)
        }


def make(root: Path) -> Toy:
    """An empty toy repository."""
    (root / "notebooks").mkdir()
    (root / "d2l_ext").mkdir()
    (root / "d2l_ext" / "__init__.py").touch()
    (root / "d2l_ext" / "compat.py").write_text(COMPAT)
    shutil.copy(REPOSITORY / "pyproject.toml", root)
    return Toy(root)


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """An empty toy repository."""
    return make(tmp_path)


@pytest.fixture(scope="session")
def executed_once(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A toy repository with one chapter, built and executed in all tabs; not to be changed."""
    toy = make(tmp_path_factory.mktemp("executed"))
    toy.write("02_toy", BODY)
    for command in ("build", "execute"):
        done = toy.run(command)
        assert done.returncode == 0, done.stdout + done.stderr
    return toy


@pytest.fixture
def executed(executed_once: Toy, tmp_path: Path) -> Toy:
    """A copy of a toy repository with one chapter, built and executed in all tabs."""
    root = tmp_path / "copy"
    shutil.copytree(executed_once.root, root)
    return Toy(root)
