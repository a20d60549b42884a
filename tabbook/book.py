"""Derives the book's pages from the chapters and the outputs of their committed notebooks.

A page is MyST Markdown, of which Sphinx makes a page of the site (docs/conf.py): prose once, code
and outputs in tabs that switch together, pictures as files beside it. Nothing is executed.
"""

import base64
import functools
import itertools
import json
import posixpath
import re
import subprocess
import sys
from pathlib import Path

import nbformat

from d2l_ext import views, weights
from tabbook import (
    bibliography,
    claims,
    edition,
    messages,
    numbers,
    reference,
    source,
    split,
)
from tabbook.bibliography import Entry
from tabbook.project import FRAMEWORKS, LANGUAGE, Project, TabbookError, write
from tabbook.source import Cell, Chapter
from tabbook.words import ENGLISH_PAGE, say

EXPLORER = "docs/explorer.md"  # the page on which the library's own models run
# What it shows to those who come by a chapter's link, to an anchor of that page
LINKS = {
    "chapter-05": "truth=1&step=3",
    "chapter-06": "s=the+cat+loves+me.&beam=4&step=3",
    "chapter-07": "model=1&rescaled=1&block=1&head=0&step=3",
    "chapter-09": "model=1&s=does+the+neighbor+speak+to+the+women?&truth=1&block=1&head=0&step=3",
}
MODELS = {"pytorch": "Bahdanau’s decoder, chapter 05", "transformer": "Transformer, chapter 09"}
STALE = "run 'make notebooks'"

HEADING = re.compile(r"^(#{1,6}) +(.+)$", re.MULTILINE)
LINK = re.compile(r"!?\[[^]]*\]\([^)]*\)|<\w+:[^>\s]+>")


def build(project: Project, out: Path) -> bool:
    """Write the site to `out`/html, from pages in `out`/source.

    Returns:
        Whether Sphinx found nothing to complain about; it has printed what it did.

    Raises:
        TabbookError: a notebook is missing, stale or was not executed.
    """
    languages = ["", LANGUAGE] if edition.exists(project) else [""]
    written = {language: pages(project, language) for language in languages}
    commands = []
    for language, files in written.items():
        folder = out / f"source{language and '-'}{language}"
        for name, content in files.items():
            write(folder / name, content)
        for path in sorted(folder.rglob("*"), reverse=True):  # what an earlier call has left
            if path.is_file() and path.relative_to(folder).as_posix() not in files:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        # Every page shows the titles of all
        command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet", "--write-all"]
        command += ["--builder", "html", "--conf-dir", project.docs]
        command += ["--tag", "two_languages"] * (len(languages) > 1)
        command += ["--tag", language] if language else []
        commands.append([*command, folder, out / "html" / language])
    running = [subprocess.Popen(command, cwd=project.root) for command in commands]
    return not any([process.wait() for process in running])


def pages(project: Project, language: str = "") -> dict[str, str | bytes]:
    """The pages' sources and the pictures beside them, by their names in the source folder.

    What is not in the Chinese edition is there in English, under a note that says so.

    Args:
        language: "" for English, or LANGUAGE.

    Raises:
        TabbookError: a notebook is missing, stale or was not executed.
    """
    files: dict[str, str | bytes] = {}
    problems: list[str] = []
    entries = bibliography.read(project)
    chapters = source.read_all(project)
    translated = edition.chapters(project, chapters) if language else []
    shown = {chapter.name: chapter for chapter in translated}
    documents = edition.pages(project) if language else {}
    for chapter in chapters:
        try:
            page = _Page(project, shown.get(chapter.name, chapter), chapter, entries, files)
        except TabbookError as error:
            problems += error.problems
            continue
        text = page.text()
        files[f"{chapter.name}.md"] = text if chapter.name in shown else _noted(text, language)
    if problems:
        raise TabbookError(problems)
    for path in sorted((project.notebooks / "img").glob("*")):
        if place := placed(project.relative(path)):
            other = path.parent / language / path.name
            files[place] = (other if other.is_file() else path).read_bytes()
    for path in sorted(project.docs.glob("*.md")):
        if place := placed(project.relative(path)):
            text = documents.get(path.stem)
            if text is None:
                text = _noted(path.read_text(encoding="utf-8"), language)
            files[place] = document(project, path, text, entries)
    files[reference.PAGE] = _noted(reference.page(project, chapters), language)
    if language:  # docs/conf.py gives these ids to the sections of the Chinese pages
        files["sections.json"] = json.dumps(_sections(project, chapters))
    if EXPLORER in files:
        files.update(explorer())
    return files


def explorer() -> dict[str, str]:
    """The explorer, for its own page and, small, for the front page: HTML that they include.

    Beside it the scripts that both load, in a folder that docs/conf.py adds to the static files.
    They are no modules, so that they run on pages from the disk, too.
    """
    examples = views.grammar_examples()

    def element(root, models, **options):
        shown = [{"name": MODELS[m], "url": f"{root}_static/explorer-{m}.js"} for m in models]
        script = f'<script defer src="{root}_static/explorer.js"></script>'
        return f"{views.explorer_element(shown, examples, **options)}\n{script}\n"

    scripts = {f"-{m}": views.model_script(weights.pretrained(m)) for m in MODELS}
    scripts[""] = views.explorer_script()
    return {f"scripts/explorer{name}.js": script for name, script in scripts.items()} | {
        "explorer.html": element("../", MODELS, pages="../", links=LINKS),
        "explorer-small.html": element(
            "", ["pytorch"], small=True, explorer="docs/explorer.html", start={"step": 3}
        ),
    }


def _noted(text: str, language: str) -> str:
    """A page in English as it stands in the book of a language: with a note below its title."""
    if not language:
        return text
    note = directive("note", "", ENGLISH_PAGE)
    return re.sub(r"^# .*$", lambda title: f"{title[0]}\n\n{note}", text, count=1, flags=re.M)


def _sections(project: Project, chapters: list[Chapter]) -> dict[str, list[str]]:
    """The English headings of each page in the edition's languages, by the page's name."""
    pages = {}
    for chapter in chapters:
        # A heading for some frameworks begins no section
        texts = [
            cell.text
            for cell in chapter.cells
            if cell.kind == "markdown" and len(cell.tabs) == len(FRAMEWORKS)
        ]
        first, *others = itertools.chain(*map(messages.headings, texts))
        pages[chapter.name] = [f"{chapter.name[:2]} {first}", *others]
    for path in sorted(project.docs.glob("*.md")):
        if place := placed(project.relative(path)):
            pages[place.removesuffix(".md")] = messages.headings(path.read_text(encoding="utf-8"))
    return pages


def placed(path: str) -> str | None:
    """The name that a file of the repository has in the source folder; None if it is not there."""
    pattern = r"notebooks/(\d\d_\w+\.md|img/.+\.(?:svg|png))|docs/(index\.md)|(docs/\w+\.md)"
    found = re.fullmatch(pattern, path)
    return found and next(filter(None, found.groups()))


def document(project: Project, path: Path, text: str, entries: list[Entry]) -> str:
    """A page of docs/ as the book shows it: its links lead to pages of the book, or to GitHub.

    Args:
        text: what stands on the page at `path`, or its translation.
    """
    text = relink(project, text, project.relative(path))
    if project.relative(path) == bibliography.PAGE:
        for entry in entries:
            text = text.replace(f"\n- {entry.text}", f"\n- []{{#{anchor(entry)}}}{entry.text}")
    return text


def relink(project: Project, text: str, place: str) -> str:
    """Links of a Markdown text as the book needs them.

    Args:
        place: the text's file in the repository; its links are relative to it.
    """

    def change(_: str, target: str) -> str:
        path, mark, fragment = target.partition("#")
        if fragment.startswith(claims.anchor("")):
            return f"#{fragment}"  # of a cell, wherever that stands in the book
        path = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
        inside = placed(path)
        if inside is None:
            return f"{project.home.page(path)}{mark}{fragment}"
        start = posixpath.dirname(placed(place) or "") or "."
        return f"{posixpath.relpath(inside, start)}{mark}{fragment}"

    return split.map_links(text, change)


def anchor(entry: Entry) -> str:
    """The id of an entry on the bibliography's page."""
    return "-".join(re.findall(r"\w+", str(entry.work).lower()))


def outputs(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """What an executed cell shows: ("text", it), ("image", PNG in base64) or ("view", HTML)."""
    found: list[tuple[str, str]] = []
    for output in cell.outputs:
        data = output.get("data", {})
        if "image/png" in data:
            found.append(("image", data["image/png"]))
        elif data.get("text/html", "").startswith("<iframe"):
            frame = data["text/html"].replace("<iframe", '<iframe class="view" loading="lazy"', 1)
            found.append(("view", frame))
        else:
            trace = split.ANSI.sub("", "\n".join(output.get("traceback", [])))
            text = (output.get("text") or data.get("text/plain") or trace).rstrip("\n")
            if found and found[-1][0] == "text":
                text = f"{found.pop()[1]}\n{text}"
            found.append(("text", text))
    return found


class _Page:
    """Makes the page of a chapter, which may be a translation; pictures go into `files`."""

    def __init__(self, project, chapter, english, entries, files):
        self.project: Project = project
        self.chapter: Chapter = chapter
        self.english: Chapter = english
        self.entries: list[Entry] = entries
        self.files: dict[str, str | bytes] = files
        self.notebooks = {name: self._notebook(name) for name in FRAMEWORKS}
        self.cells = {
            name: {cell.id: cell for cell in notebook.cells}
            for name, notebook in self.notebooks.items()
        }

    def _notebook(self, framework: str) -> nbformat.NotebookNode:
        """The committed notebook, which has to be this chapter's and executed."""
        path = self.project.notebook(self.chapter.name, framework)
        stored = split.stored(path)
        expected = split.readers(self.project, self.english, framework)
        if stored is None or [(cell.id, cell.source) for cell in stored.cells] != [
            (cell.id, cell.source) for cell in expected.cells
        ]:
            raise TabbookError(f"{self.project.relative(path)}: not the chapter's; {STALE}")
        if not all(cell.get("execution_count", 1) for cell in stored.cells):
            raise TabbookError(f"{self.project.relative(path)}: not executed; {STALE}")
        return stored

    def text(self) -> str:
        """The whole page."""
        parts = []
        shown = [cell for cell in self.chapter.cells if cell.part != "hidden"]
        for (tabbed, solution), cells in itertools.groupby(
            shown, lambda cell: (len(cell.tabs) < len(FRAMEWORKS), cell.part == "solution")
        ):
            run = list(cells)
            if tabbed:
                text = _join([*map(_target, run), self._tabbed(run)])
            else:
                text = _join(_join([_target(cell), self._shared(cell)]) for cell in run)
            title = say(self.chapter.language, "Solution")
            parts.append(directive("dropdown", title, text, level=6) if solution else text)
        return _join(parts) + "\n"

    def _about(self) -> str:
        """Tabs with the links to a framework's notebook, and how long it ran."""
        name, language = self.chapter.name, self.chapter.language
        page = self.project.home.page(self.project.relative(self.project.source(name)))
        about = {}
        for framework, notebook in self.notebooks.items():
            file = f"notebooks/{framework}/{name}.ipynb"
            self.files[file] = self.project.notebook(name, framework).read_bytes()
            if language:
                self.files[file] = split.text(self.project, self.chapter, framework)
            variant = self.project.relative(self.project.colab(name, framework, language))
            links = [
                f"{{download}}`{say(language, 'Notebook')} <{file}>`",
                f"[{say(language, 'Open in Colab')}]({self.project.home.colab(variant)})",
                f"[{say(language, 'Source of this page')}]({page})",
            ]
            seconds = notebook.metadata.tabbook.get("seconds")
            if seconds is not None:
                line = "runs in {seconds:.0f} s on one CPU core"
                links.append(say(language, line, seconds=seconds))
            about[framework] = " · ".join(links)
        return tab_set(about)

    def _shared(self, cell: Cell) -> str:
        """A cell that all tabs share; its outputs stand in tabs only if they differ."""
        if cell.kind == "markdown":
            title = re.match(r"# (.+)\n*", cell.text)
            if title is None:
                return self._prose(cell.text)
            numbered = f"# {self.chapter.name[:2]} {title[1]}"
            return _join([numbered, self._about(), self._prose(cell.text[title.end() :])])
        shown = {name: outputs(self.cells[name][cell.id]) for name in FRAMEWORKS}
        first, *others = shown.values()
        if all(other == first for other in others):
            return _join([_code(cell), self._outputs(cell, first)])
        return _join(
            [
                _code(cell),
                tab_set({name: self._outputs(cell, some, name) for name, some in shown.items()}),
            ]
        )

    def _tabbed(self, run: list[Cell]) -> str:
        """Neighboring cells that some tabs have: tabs if each has code, else marked parts."""
        with_code = {name for cell in run if cell.kind == "code" for name in cell.tabs}
        if len(with_code) == len(FRAMEWORKS):
            return tab_set(
                {
                    name: _join(self._of(cell, name) for cell in run if name in cell.tabs)
                    for name in FRAMEWORKS
                }
            )
        parts = []
        for cell in run:
            together = [cell.tabs] if cell.kind == "markdown" else [(name,) for name in cell.tabs]
            parts += [only(names, self._of(cell, names[0])) for names in together]
        return _join(parts)

    def _of(self, cell: Cell, framework: str) -> str:
        """A cell within a tab."""
        if cell.kind == "markdown":
            # No section can begin here
            text = HEADING.sub(
                lambda match: directive(
                    "rubric", match[2], options={"heading-level": len(match[1])}
                ),
                cell.text,
            )
            return self._prose(text)
        shown = outputs(self.cells[framework][cell.id])
        return _join([_code(cell), self._outputs(cell, shown, framework)])

    def _outputs(self, cell: Cell, shown: list[tuple[str, str]], framework: str = "all") -> str:
        """What a cell shows, in a framework or in all."""
        parts = []
        for number, (kind, content) in enumerate(shown, start=1):
            if kind == "image":
                name = f"outputs/{self.chapter.name}/{cell.id}-{framework}-{number}.png"
                self.files[name] = base64.b64decode(content)
                parts.append(directive("image", name, options={"alt": _line(cell.alt)}))
            elif kind == "view":
                parts.append(directive("raw", "html", content))
            else:
                parts.append(directive("code-block", "text", content, {"class": "output"}))
        return _join(parts)

    def _prose(self, text: str) -> str:
        """A prose cell with references, citations and links that lead there."""
        kept: list[str] = []

        def keep(content: str) -> str:
            kept.append(content)
            return f"\0{len(kept) - 1}\0"

        def code_or_maths(match: re.Match) -> str:
            found = numbers.NUMBERED["equation"].fullmatch(match[0])
            if not found or not found["number"]:
                return keep(match[0])
            maths = f"\\begin{{equation}}\n{found['maths'].strip()}\n\\end{{equation}}"
            label = f"({_label('equation', found['number'])})="
            return keep(_join([label, directive("math", "", maths, {"no-wrap": ""})]))

        def figure(match: re.Match) -> str:
            if not match["number"]:
                return keep(match[0])
            options = {"name": _label("figure", match["number"]), "alt": _line(match["alt"])}
            whole = directive("figure", match["path"], match["label"], options)
            before, label, after = whole.rpartition(match["label"])
            return keep(before + label) + match["caption"] + keep(after)  # a caption may refer

        def reference(match: re.Match, kind: str) -> str:
            def link(text: str, number: str) -> str:
                target = f"#{_label(kind, number)}"
                if kind == "chapter":
                    if number == self.chapter.name[:2]:
                        return text
                    (name,) = self.project.chapters([number])
                    target = f"{name}.md"
                return keep(f"[{text}]({target})")

            found = numbers.NUMBER.findall(match[1])
            if len(found) == 1:
                return link(match[0], found[0])
            return re.sub(
                r"\(?(\d+\.?\d*)\)?", lambda number: link(number[0], number[1]), match[0]
            )

        text = relink(self.project, text, self.project.relative(self.project.source("_")))
        text = split.CODE_OR_MATHS.sub(code_or_maths, text)
        text = numbers.NUMBERED["figure"].sub(figure, text)
        text = LINK.sub(lambda match: keep(match[0]), text)
        text, heading, listed = bibliography.parted(text)
        patterns = [*numbers.REFERENCES.items()]
        if self.chapter.language:  # what nobody has translated yet refers in English
            patterns += numbers.CHINESE.items()
        for kind, pattern in patterns:
            text = pattern.sub(functools.partial(reference, kind=kind), text)
        text = self._cite(text) + heading + listed
        while kept and "\0" in text:
            text = re.sub(r"\0(\d+)\0", lambda match: kept[int(match[1])], text)
        return text

    def _cite(self, text: str) -> str:
        """A text whose citations lead to the bibliography."""
        parts, end = [], 0
        for work, match in bibliography.matches(text, chinese=bool(self.chapter.language)):
            entries = bibliography.listed([work], self.entries)
            if len(entries) == 1 and not re.search(r"\0|\n>", match[0]):
                parts.append(text[end : match.start()])
                closed = text.startswith((")", "）"), match.end())
                end = match.end() + bool(match["open"] and closed)
                target = f"{bibliography.PAGE}#{anchor(entries[0])}"
                parts.append(f"[{text[match.start() : end]}]({target})")
        return "".join([*parts, text[end:]])


def directive(
    name: str,
    argument: str,
    content: str = "",
    options: dict[str, object] | None = None,
    level: int = 0,
) -> str:
    """A MyST directive.

    Args:
        level: 0 for one that holds no other directive; else a number above those of the
            directives that it holds.
    """
    longest = max([2, *map(len, re.findall(r"^`{3,}", content, re.MULTILINE))])
    fence = ":" * (level + 2) if level else "`" * (longest + 1)
    lines = [f"{fence}{{{name}}} {argument}".rstrip()]
    lines += [f":{key}: {value}".rstrip() for key, value in (options or {}).items()]
    return "\n".join([*lines, "", content, fence] if content else [*lines, fence])


def tab_set(contents: dict[str, str]) -> str:
    """Tabs, one for each framework, which switch with all others."""
    items = [
        directive("tab-item", FRAMEWORKS[name].label, content, {"sync": name}, level=3)
        for name, content in contents.items()
    ]
    return directive("tab-set", "", _join(items), {"sync-group": "framework"}, level=4)


def only(frameworks: tuple[str, ...], content: str) -> str:
    """A part of the page that is for some frameworks."""
    labels = ", ".join(FRAMEWORKS[name].label for name in frameworks)
    classes = " ".join(["only", *(f"only-{name}" for name in frameworks)])
    return directive("div", classes, _join([f"[{labels}]{{.only-label}}", content]), level=2)


def _code(cell: Cell) -> str:
    text = "\n".join(line for _, line in split.shown(cell))
    code = directive("code-block", "python", text)
    return directive("dropdown", split.fold_line(cell), code, level=1) if cell.fold else code


def _target(cell: Cell) -> str:
    """Where a link to the evidence that a cell holds leads to."""
    return f"({claims.anchor(cell.evidence)})=" if cell.evidence else ""


def _join(parts) -> str:
    return "\n\n".join(part for part in parts if part)


def _line(text: str) -> str:
    return " ".join(text.split())


def _label(kind: str, number: str) -> str:
    return f"{kind}-{number.replace('.', '-')}"
