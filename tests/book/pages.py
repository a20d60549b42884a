"""The book's pages and questions that several tests ask of a page in the browser."""

import re
from pathlib import Path

import nbformat

from tabbook.project import LANGUAGE, Project

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build/book/html"
CHAPTERS = [f"{name}.html" for name in Project(ROOT).chapters()]
# Without a site there is still a page to ask for: the fixture `site` then says what to do.
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if not path.relative_to(SITE).as_posix().removeprefix(f"{LANGUAGE}/").startswith("_")
) or ["index.html"]
ENGLISH = [name for name in PAGES if not name.startswith(f"{LANGUAGE}/")]

# Which tabs are chosen, code shown, and parts shown that are for other frameworks
SHOWN = """framework => {
    const seen = (selector, test) => [...document.querySelectorAll(selector)]
        .filter(e => e.checkVisibility()).filter(test);
    return {
        chosen: [...new Set([...document.querySelectorAll('.sd-tab-set > input:checked + label')]
            .map(label => label.dataset.syncId))],
        code: seen('article div.highlight-python pre', () => true).map(pre => pre.textContent),
        foreign: seen('.sd-tab-content',
            e => e.previousElementSibling.dataset.syncId !== framework)
            .concat(seen('.only', e => !e.classList.contains(`only-${framework}`)))
            .map(e => e.textContent),
    };
}"""


def label(framework):
    """The selector of a framework's tabs."""
    return f"article label[data-sync-id={framework}]"


def choose(page, framework):
    """Click a framework's first tab, if the page has tabs."""
    tabs = page.locator(label(framework))
    if tabs.count():
        tabs.first.click()


def code(chapter, framework):
    """The sources of a notebook's code cells, and Python that its prose quotes, in order."""
    path = Project(ROOT).notebook(chapter.removesuffix(".html"), framework)
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            found.append(cell.source)
        for start, text in re.findall(r"^(> |)```python\n(.*?)\n\1```", cell.source, re.M | re.S):
            found.append(re.sub(f"^{start.strip()} ?" if start else "^", "", text, flags=re.M))
    return found


def watch(page):
    """Collect what goes wrong on a page from now on: a list, which grows."""
    wrong = []

    def console(message):
        if message.type in ("error", "warning"):
            wrong.append(f"console: {message.text}")

    def answered(response):
        if response.status >= 400:
            wrong.append(f"{response.status}: {response.url}")

    page.on("console", console)
    page.on("response", answered)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"{request.failure}: {request.url}"))
    return wrong


def hurry(page):
    """Load the views that wait until they come near to the window."""
    page.evaluate("document.querySelectorAll('iframe').forEach(e => { e.loading = 'eager'; })")
    for frame in page.frames:
        frame.wait_for_load_state()


def typeset(page):
    """Wait until MathJax, where a page has it, has set all formulas."""
    page.evaluate("window.MathJax?.startup?.promise")
