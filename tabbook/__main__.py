"""The command line: `python -m tabbook build | execute | colab | assignments | check | ...`."""

import argparse
import ast
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from tabbook.project import CHECKS, FRAMEWORKS, LANGUAGE, PAGES, Project, TabbookError, write


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0, or 1 after a problem, or 130 after an interrupt.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(Project(Path.cwd()), options)
    except TabbookError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(prog="python -m tabbook", description=main.__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    chapter = argparse.ArgumentParser(add_help=False)
    chapter.add_argument("--chapter", action="append", default=[], metavar="NN")
    narrow = argparse.ArgumentParser(add_help=False, parents=[chapter])
    narrow.add_argument("--framework", action="append", default=[], choices=list(FRAMEWORKS))

    build = commands.add_parser(
        "build", parents=[narrow], help="split chapters into notebooks; collect #@save"
    )
    build.set_defaults(run=_build)

    colab = commands.add_parser(
        "colab", parents=[narrow], help="write the notebooks for Google Colab only"
    )
    colab.set_defaults(run=_colab)

    execute = commands.add_parser("execute", parents=[narrow], help="run notebooks")
    execute.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    execute.add_argument("--out", type=Path, help="write there, not over the committed notebooks")
    execute.add_argument("--jobs", type=_positive, default=2, help="notebooks at once (2)")
    execute.add_argument(
        "--timeout", type=_positive, default=600, help="limit for one cell in seconds (600)"
    )
    execute.set_defaults(run=_execute)

    book = commands.add_parser("book", help="write the book, a static site")
    book.add_argument("--out", type=Path, default=Path("build/book"), help="a folder (build/book)")
    book.set_defaults(run=_book)

    assignments = commands.add_parser(
        "assignments", parents=[narrow], help="write the exercises as nbgrader's source notebooks"
    )
    assignments.add_argument("--out", type=Path, default=Path("build/assignments"))
    assignments.add_argument("--language", default="", choices=[LANGUAGE])
    assignments.set_defaults(run=_assignments)

    translate = commands.add_parser(
        "translate", parents=[chapter], help="bring the catalogs of translations up to date"
    )
    translate.add_argument("--page", action="append", default=[], choices=[*PAGES, CHECKS])
    translate.add_argument("--check", action="store_true", help="only say what is wrong in them")
    translate.set_defaults(run=_translate)

    check = commands.add_parser("check", help="compare derived files with their sources")
    check.set_defaults(run=_check)

    form = commands.add_parser(
        "format", parents=[chapter], help="format the chapters' code cells; write their References"
    )
    form.set_defaults(run=_format)

    new = commands.add_parser("new", help="start a chapter")
    new.add_argument("name", help="such as 07_global_attention")
    new.set_defaults(run=_new)
    return parser


def _positive(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1")
    return int(text)


def _build(project: Project, options: argparse.Namespace) -> int:
    from tabbook import collect, source

    chapters = source.read_all(project, options.chapter)
    _split(project, chapters, options.framework or FRAMEWORKS)
    modules = collect.collect(project, source.read_all(project))
    for framework, text in modules.items():
        if write(project.library(framework), text):
            print(project.relative(project.library(framework)))
    _write_colab(project, chapters, options.framework or FRAMEWORKS)
    _write_edition(project, chapters, options.framework or FRAMEWORKS)  # README's links are right
    return 0


def _split(project: Project, chapters: list, frameworks: Iterable[str]) -> None:
    """Write the notebooks of chapters."""
    from tabbook import split

    for chapter in chapters:
        for framework in frameworks:
            if split.split(project, chapter, framework):
                path = project.notebook(chapter.name, framework, chapter.language)
                print(project.relative(path))


def _write_edition(project: Project, chapters: list, frameworks: Iterable[str]) -> None:
    """Write the Chinese notebooks of chapters, with the outputs of the English ones, and pages."""
    from tabbook import edition

    _split(project, edition.chapters(project, chapters), frameworks)
    for path, text in edition.files(project).items():
        if write(path, text):
            print(project.relative(path))


def _colab(project: Project, options: argparse.Namespace) -> int:
    from tabbook import source

    chapters = source.read_all(project, options.chapter)
    _write_colab(project, chapters, options.framework or FRAMEWORKS)
    return 0


def _write_colab(project: Project, chapters: list, frameworks: Iterable[str]) -> None:
    """Write the notebooks for Google Colab, and the README's links to them."""
    from tabbook import colab, edition

    for chapter in [*chapters, *edition.chapters(project, chapters)]:
        for framework in frameworks:
            if colab.derive(project, chapter, framework):
                path = project.colab(chapter.name, framework, chapter.language)
                print(project.relative(path))
    readme = colab.readme(project)
    if readme is not None and write(project.root / "README.md", readme):
        print("README.md")


def _book(project: Project, options: argparse.Namespace) -> int:
    from tabbook import book

    well = book.build(project, options.out)
    if well:
        print(options.out / "html" / "index.html")
    return 0 if well else 1


def _execute(project: Project, options: argparse.Namespace) -> int:
    from tabbook import execute, source

    chapters = source.read_all(project, options.chapter)
    done = execute.execute(
        project,
        chapters,
        options.framework or list(FRAMEWORKS),
        out=options.out,
        parameters=dict(map(_parameter, options.parameter)),
        jobs=options.jobs,
        timeout=options.timeout,
    )
    if options.out is None:
        _write_edition(project, chapters, options.framework or FRAMEWORKS)
    return 0 if done else 1


def _parameter(text: str) -> tuple[str, object]:
    """NAME=VALUE: a Python literal, an existing path (made absolute), or else a string."""
    name, equals, value = text.partition("=")
    if not name.isidentifier() or not equals:
        raise TabbookError(f"--parameter '{text}' is not NAME=VALUE")
    if value and Path(value).exists():
        return name, str(Path(value).resolve())
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _assignments(project: Project, options: argparse.Namespace) -> int:
    from tabbook import assignments

    changed = assignments.assignments(
        project,
        options.chapter,
        options.framework or list(FRAMEWORKS),
        options.out,
        options.language,
    )
    for path in changed:
        print(path if path.exists() else f"{path} removed")
    return 0


def _translate(project: Project, options: argparse.Namespace) -> int:
    from tabbook import catalog, faithful, source

    everything = not options.chapter and not options.page
    chapters = source.read_all(project, options.chapter) if everything or options.chapter else []
    chosen = [catalog.of(project, chapter) for chapter in chapters]
    chosen += [
        catalog.page(project, name) for name in options.page or (*PAGES, CHECKS) * everything
    ]
    if everything or options.check:  # a catalog is begun only for a text that is named
        chosen = [text for text in chosen if text.catalog.is_file()]
    if options.check:
        problems = [problem for text in chosen for problem in faithful.check(project, text)]
        for problem in problems:
            print(problem, file=sys.stderr)
        print(f"{len(chosen)} catalogs, {len(problems)} problems")
        return 1 if problems else 0
    for text in chosen:
        if catalog.refresh(project, text):
            print(project.relative(text.catalog))
    return 0


def _check(project: Project, options: argparse.Namespace) -> int:
    from tabbook import check

    problems = check.check(project)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print("derived files are what the sources give")
    return 1 if problems else 0


def _format(project: Project, options: argparse.Namespace) -> int:
    from tabbook import bibliography, source, style

    entries = bibliography.read(project)
    for chapter in source.read_all(project, options.chapter):
        changed = style.reformat(project, chapter)
        chapter = source.read(project, chapter.name)  # its lines may have moved
        if bibliography.refresh(project, chapter, entries) or changed:
            print(chapter.path)
    return 0


def _new(project: Project, options: argparse.Namespace) -> int:
    from tabbook import new

    print(project.relative(new.new(project, options.name)))
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    sys.exit(main())
