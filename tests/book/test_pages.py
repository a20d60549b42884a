"""Every English page, in the browser: errors, formulas, pictures, widths, accessibility."""

from pathlib import Path

import pytest

from tabbook.project import FRAMEWORKS
from tests.book.pages import CHAPTERS, ENGLISH, choose, hurry, typeset, watch

AXE = Path(__file__).with_name("axe.min.js")  # axe-core 4.14.1, github.com/dequelabs/axe-core
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def context(browser, site):
    with browser.new_context(base_url=site, viewport=DESKTOP) as context:
        context.add_init_script(path=AXE)  # into frames, too
        yield context


@pytest.fixture(scope="module", params=ENGLISH)
def visit(request, context, site):
    """A page that was loaded in light and turned dark: its name, it, and what went wrong."""
    page = context.new_page()
    wrong = watch(page)
    page.on(
        "request",
        lambda one: (
            one.url.startswith((site, "data:", "blob:"))
            or wrong.append(f"from outside: {one.url}")
        ),
    )
    page.goto(request.param)
    typeset(page)
    hurry(page)
    page.add_style_tag(content="* { transition: none !important }")  # colors would fade
    theme(page, "dark")
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    yield request.param, page, wrong
    page.close()


def theme(page, scheme):
    """Change the system's colors, and with them the page's."""
    page.emulate_media(color_scheme=scheme)
    page.locator(f"html[data-theme={scheme}]").wait_for(state="attached")


# The theme lets Tab reach what scrolls, a moment after the window has changed its size.
REACHED = """() => [...document.querySelectorAll('pre, .pst-scrollable-table-container')]
    .every(e => e.tabIndex === 0 || e.scrollWidth <= e.clientWidth)"""


# axe looks at what is visible, but it goes through everything, and asks every word of code for its
# colors. So meanwhile other tabs are empty and, for `sparse`, code without a new kind of word.
RUN = """async ([options, sparse]) => {
    const all = selector => [...document.querySelectorAll(selector)];
    const kinds = new Set();
    const known = pre => {
        const before = kinds.size, box = pre.closest('[class*=highlight-]')?.className;
        pre.querySelectorAll('span').forEach(e => kinds.add(`${box} ${e.className}`));
        return kinds.size === before;
    };
    const empty = all('.sd-tab-content').filter(e => !e.checkVisibility());
    if (sparse) empty.push(...all('pre').filter(e => e.checkVisibility() && known(e)));
    const kept = empty.map(e => [e, [...e.childNodes]]);
    empty.forEach(e => e.replaceChildren());
    try {
        return (await axe.run({ resultTypes: ['violations'], ...options })).violations;
    } finally {
        kept.forEach(([e, children]) => e.replaceChildren(...children));
    }
}"""


def serious(page, scheme, size, **options):
    """What axe finds serious or critical."""
    page.set_viewport_size(size)
    theme(page, scheme)
    page.wait_for_function(REACHED)
    return [
        f"{one['id']}: {node['target']} {node['html'][:200]} {node['failureSummary']}"
        for one in page.evaluate(RUN, [options, size == DESKTOP])
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_nothing_goes_wrong_and_nothing_comes_from_outside(visit):
    _, _, wrong = visit
    assert wrong == []


def test_pictures_load(visit):
    _, page, _ = visit
    broken = "[...document.images].filter(e => !e.naturalWidth).map(e => e.src)"
    assert page.evaluate(broken) == []


def test_formulas_are_set(visit):
    name, page, _ = visit
    left = """[...document.querySelectorAll('.math')]
        .filter(e => !e.querySelector('mjx-container') || e.querySelector('mjx-merror'))
        .map(e => e.textContent)"""
    assert page.evaluate(left) == []
    if name == CHAPTERS[0]:
        assert page.locator(".math mjx-container").count() > 10


def test_accessible_in_dark(visit):
    """Nothing but colors depends on the theme."""
    _, page, _ = visit
    assert serious(page, "dark", DESKTOP, runOnly=["color-contrast", "link-in-text-block"]) == []


def test_accessible(visit):
    _, page, _ = visit
    assert serious(page, "light", DESKTOP) == []


def test_accessible_on_a_phone(visit):
    """Colors do not depend on the width."""
    _, page, _ = visit
    rules = {"color-contrast": {"enabled": False}}
    assert serious(page, "light", PHONE, rules=rules) == []


def test_no_page_is_wider_than_a_phone(visit):
    _, page, _ = visit
    page.set_viewport_size(PHONE)
    widths = {}
    for framework in FRAMEWORKS:
        choose(page, framework)
        widths[framework] = page.evaluate("document.documentElement.scrollWidth")
    assert widths == dict.fromkeys(FRAMEWORKS, PHONE["width"])
