"""The README is true: its links, commands, table of chapters and picture."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRAMEWORKS = ("pytorch", "mxnet", "jax", "tensorflow")


def tracked(path):
    """Whether a path is in the repository: a tracked file, or a folder that holds one."""
    listed = subprocess.run(["git", "ls-files", path], cwd=ROOT, capture_output=True, text=True)
    return bool(listed.stdout.strip())


def test_links_lead_to_tracked_files():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert len(links) > 20
    assert [link for link in links if not tracked(link)] == []


def test_its_map_shows_every_folder():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    folders = {path.partition("/")[0] for path in listed.stdout.split() if "/" in path}
    shown = re.findall(r"^\| \[`(\w+)/`\]", README, re.MULTILINE)
    assert sorted(shown) == sorted(folders - {".ci", ".github"})


def test_every_notebook_is_in_the_table():
    chapters = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.md"))
    assert len(chapters) >= 5
    for chapter in chapters:
        for framework in FRAMEWORKS:
            assert f"](notebooks/{framework}/{chapter}.ipynb)" in README
    named = re.findall(r"\(notebooks/\w+/(\d\d_\w+)\.ipynb\)", README)
    assert sorted(set(named)) == chapters


def test_every_notebook_has_a_badge_that_opens_it_in_colab():
    targets = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", README, re.MULTILINE))
    assert tracked(targets.pop("badge"))
    for name, address in targets.items():
        framework, number = name.split("-")
        row = (
            rf"\]\(notebooks/{framework}/({number}_\w+)\.ipynb\) \[!\[Colab\]\[badge\]\]\[{name}\]"
        )
        chapter = re.search(row, README)[1]
        path = f"notebooks/colab/{framework}/{chapter}.ipynb"
        assert address.endswith(f"/{path}")
        assert tracked(path)
    assert len(targets) == len(re.findall(r"\(notebooks/\w+/\d\d_\w+\.ipynb\)", README))


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"`?make ([a-z][a-z-]*)", README))
    assert {"run", "test", "lab"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target} does not exist"


def test_ci_is_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [
        line for line in script.splitlines() if line and not line.startswith(("#", "set "))
    ]
    assert commands[-1].removeprefix("exec ") == "make test"
    assert "make test" in README
    # before it, nothing of the project runs: a sandbox gets installed where there is none
    assert not any(
        word in line for line in commands[:-1] for word in ("make", "python", "pip", "pytest")
    )


def test_each_term_of_the_glossary_is_a_word_of_its_chapter():
    rows = re.findall(
        r"^\| \*\*(.+?)\*\* \| (.+?) \|.*\(\.\./(notebooks/.+?\.md)\) \|$",
        (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    terms = [term for term, *_ in rows]
    assert len(terms) > 40 and terms == sorted(terms, key=str.casefold), (
        "in the order of the alphabet"
    )
    chapters = sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[0-9]*.md"))
    assert sorted({chapter for *_, chapter in rows}) == chapters
    for term, meaning, chapter in rows:
        text = " ".join((ROOT / chapter).read_text(encoding="utf-8").casefold().split())
        assert term.casefold() in text, f"{term}: not in {chapter}"
        assert meaning[0].isupper() or meaning[0] in "$*", term


def test_five_to_ten_claims_a_chapter_say_what_they_rest_on():
    text = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    chapters = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.md"))
    for chapter in chapters:
        rows = re.findall(
            rf"^\| (.+) \| \[.+\]\(\.\./notebooks/{chapter}\.md#.+\) \| (.+) \|$",
            text,
            re.MULTILINE,
        )
        assert 5 <= len(rows) <= 10, chapter
        for claim, basis in rows:
            known = "exact|one training|same training|seeds|draw|random|counted|one sentence"
            known += "|best of|median of"
            assert re.search(known, basis), (claim, basis)
