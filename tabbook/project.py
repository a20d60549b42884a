"""Where things lie in the repository, and how the tool writes files and reports problems."""

import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Framework:
    """A framework: tab and folder `name`, library module `module`, spelled `label`."""

    name: str
    module: str
    label: str


FRAMEWORKS = {
    framework.name: framework
    for framework in (
        Framework("pytorch", "torch", "PyTorch"),
        Framework("mxnet", "mxnet", "MXNet"),
        Framework("jax", "jax", "JAX"),
        Framework("tensorflow", "tensorflow", "TensorFlow"),
    )
}


LANGUAGE = "zh_CN"  # of the translated edition
PAGES = ("README", "index", "teaching", "grading", "colab", "glossary")  # it has, beside chapters
CHECKS = "checks"  # what the hidden tests say, which is translated like a page
COLAB = "https://colab.research.google.com/github/"


class TabbookError(Exception):
    """Something that an author has to mend: one message for each problem.

    Args:
        problems: the messages; each names the file and what to do.
    """

    def __init__(self, problems: str | Iterable[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Home:
    """Where the repository lies on GitHub; each method gives the address of one of its files.

    Args:
        owner_and_name: such as `d2l-ext/d2l-ext`.
        branch: such as `main`.
    """

    owner_and_name: str
    branch: str

    @property
    def repository(self) -> str:
        """The repository's own address."""
        return f"https://github.com/{self.owner_and_name}"

    @property
    def archive(self) -> str:
        """A zip file of the whole branch, which pip can install."""
        return f"{self.repository}/archive/refs/heads/{self.branch}.zip"

    def page(self, path: str) -> str:
        """GitHub's page of a file or folder."""
        return f"{self.repository}/blob/{self.branch}/{path}"  # GitHub sends folders on to /tree/

    def raw(self, path: str) -> str:
        """A file itself, as a picture in a page needs it."""
        safe = "?sanitize=true" if path.endswith(".svg") else ""  # SVG as a picture, not as text
        return (
            f"https://raw.githubusercontent.com/{self.owner_and_name}/{self.branch}/{path}{safe}"
        )

    def colab(self, path: str) -> str:
        """A notebook, opened in Colab."""
        return f"{COLAB}{self.owner_and_name}/blob/{self.branch}/{path}"


@dataclass(frozen=True)
class Project:
    """A repository of chapters: everything that the tool reads or writes lies below `root`."""

    root: Path

    @property
    def notebooks(self) -> Path:
        """The folder of the chapters and, one folder a framework, of their notebooks."""
        return self.root / "notebooks"

    def source(self, chapter: str) -> Path:
        """The Markdown source of a chapter, such as `02_masked_softmax`."""
        return self.notebooks / f"{chapter}.md"

    def notebook(self, chapter: str, framework: str, language: str = "") -> Path:
        """The committed notebook of a chapter in one framework, and in English or `language`."""
        return self.notebooks / language / framework / f"{chapter}.ipynb"

    def colab(self, chapter: str, framework: str, language: str = "") -> Path:
        """The variant for Google Colab of a chapter's notebook."""
        return self.notebooks / language / "colab" / framework / f"{chapter}.ipynb"

    def translated(self, chapter: str) -> Path:
        """The catalog of a chapter's translations; without one the chapter has no translation."""
        return self.notebooks / LANGUAGE / f"{chapter}.po"

    @cached_property
    def home(self) -> Home:
        """Where the repository lies on GitHub, from `[tool.tabbook]` in pyproject.toml.

        Raises:
            TabbookError: it does not say so.
        """
        path = self.root / "pyproject.toml"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        settings = tomllib.loads(text).get("tool", {}).get("tabbook", {})
        repository, branch = settings.get("repository", ""), settings.get("branch", "")
        found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", str(repository))
        if not found or not re.fullmatch(r"[\w./-]+", str(branch)):
            raise TabbookError(
                f"pyproject.toml: [tool.tabbook] has repository = '{repository}' and branch = "
                f"'{branch}'; write an address as https://github.com/owner/name, and a branch"
            )
        return Home(found[1], branch)

    @property
    def docs(self) -> Path:
        """The folder of what the book has beside chapters: settings, pages, style, script."""
        return self.root / "docs"

    def library(self, name: str) -> Path:
        """The generated library module of a framework, or "common", what all of them share."""
        module = FRAMEWORKS[name].module if name in FRAMEWORKS else name
        return self.root / "d2l_ext" / f"{module}.py"

    def relative(self, path: Path) -> str:
        """`path` as messages show it, from the repository's root."""
        return path.relative_to(self.root).as_posix()

    def chapters(self, only: Iterable[str] = ()) -> list[str]:
        """The names of the chapters in order.

        Args:
            only: numbers (`05`) or whole names to narrow to; empty for all.

        Raises:
            TabbookError: there is no chapter of that name or number.
        """
        if not self.notebooks.is_dir():
            raise TabbookError("no folder notebooks/ here: run tabbook from the repository's root")
        names = sorted(path.stem for path in self.notebooks.glob("[0-9][0-9]_*.md"))
        chosen = set()
        for wanted in only:
            found = {name for name in names if wanted in (name, name[:2])}
            if not found:
                known = ", ".join(names) or "none yet"
                raise TabbookError(f"no chapter '{wanted}'; the chapters are: {known}")
            chosen |= found
        return [name for name in names if name in chosen or not only]


def write(path: Path, content: str | bytes) -> bool:
    """Write a whole file or nothing: to a temporary name beside it, then rename.

    Args:
        path: the file; its folder is made if need be.
        content: what it holds then. A file that holds it already is not touched.

    Returns:
        Whether the file changed.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True
