"""The Chinese book beside the English one: its pages, the switch between both, and search."""

import re
import runpy
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tabbook import edition
from tabbook.project import LANGUAGE, Project
from tests.book.pages import ENGLISH, ROOT, SITE, hurry, typeset, watch

PROJECT = Project(ROOT)
TRANSLATED = [f"{LANGUAGE}/{name}.html" for name in edition.names(PROJECT)] + [
    f"{LANGUAGE}/{'' if name == 'index' else 'docs/'}{name}.html"
    for name in edition.pages(PROJECT)
    if name != "README"
]
AXE = Path(__file__).with_name("axe.min.js")
PHONE = {"width": 390, "height": 844}
BROKEN = """() => [
    ...[...document.images].filter(e => !e.naturalWidth).map(e => e.src),
    ...[...document.querySelectorAll('.math')]
        .filter(e => !e.querySelector('mjx-container') || e.querySelector('mjx-merror'))
        .map(e => e.textContent),
]"""
# English words around the article, but for names: what one reads and what a screen reader says
FRAME = """() => {
    const names = /^(English|Ctrl|GitHub)$/, found = [];
    const look = words => {
        words = words.trim();
        if (/[a-z]{3}/i.test(words) && !/\\p{Script=Han}/u.test(words) && !names.test(words))
            found.push(words);
    };
    for (const e of document.querySelectorAll('body *')) {
        if (e.closest('article, script, style, .bd-toc-item, .bd-toc-nav')) continue;
        for (const name of ['title', 'aria-label', 'placeholder', 'data-bs-original-title'])
            if (e.hasAttribute(name)) look(e.getAttribute(name));
        for (const node of e.childNodes) if (node.nodeType === 3) look(node.nodeValue);
    }
    return found;
}"""
SERIOUS = """async () => (await axe.run({ resultTypes: ['violations'] })).violations
    .filter(one => ['serious', 'critical'].includes(one.impact))
    .flatMap(one => one.nodes.map(node => `${one.id}: ${node.html.slice(0, 200)}`))"""

pytestmark = pytest.mark.skipif(not TRANSLATED, reason="there is no Chinese edition")


@pytest.fixture(scope="module")
def context(browser, site):
    with browser.new_context(base_url=site, viewport=PHONE) as context:
        context.add_init_script(path=AXE)
        yield context


@pytest.mark.parametrize("name", TRANSLATED)
def test_a_chinese_page_on_a_phone(context, name):
    """What depends on a page's words; the rest is as on the English page."""
    page = context.new_page()
    wrong = watch(page)
    page.goto(name)
    typeset(page)
    hurry(page)
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    assert wrong == []
    assert page.evaluate(BROKEN) == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate(SERIOUS) == []
    page.close()


@pytest.fixture(scope="module")
def quick(browser, site):
    """Pages without formulas, which the switch does not need."""
    with browser.new_context(base_url=site) as context:
        context.route(re.compile("mathjax|/tex-"), lambda route: route.abort())
        yield context.new_page()


@pytest.mark.parametrize("name", ENGLISH)
def test_the_switch_leads_to_the_same_section_and_back(quick, name):
    quick.goto(f"{name}?framework=jax&q=masked")
    sections = quick.locator("article section[id]:visible")
    wanted = None
    if sections.count() > 1:
        wanted = sections.last.get_attribute("id")
        quick.evaluate("id => document.getElementById(id).scrollIntoView()", wanted)
        if not quick.evaluate("scrollY > 0"):
            wanted = None
    for other in (f"{LANGUAGE}/{name}", name):
        quick.locator("a.language").click()
        quick.wait_for_load_state()  # the page has scrolled to its section
        page, _, section = quick.url.partition("#")
        assert page.endswith(f"/{other}?framework=jax&q=masked")
        assert bool(section) == bool(wanted)
        if section:
            target = quick.locator(f"article section[id='{section}']")
            expect(target).to_be_in_viewport()
        expect(quick.locator("html")).to_have_attribute("data-framework", "jax")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["index.html", f"{LANGUAGE}/index.html"])
def test_the_switch_is_within_its_bar(quick, name, width):
    quick.set_viewport_size({"width": width, "height": 844})
    quick.goto(name)
    bar, switch = (
        quick.locator(one).bounding_box() for one in (".bd-header-article", "a.language")
    )
    assert switch["y"] >= 0
    assert switch["y"] + switch["height"] <= bar["y"] + bar["height"]


@pytest.mark.parametrize("name", ENGLISH)
def test_search_engines_are_told_of_both(name):
    for page, links in (
        (SITE / name, {"en": "", "zh-CN": f"{LANGUAGE}/"}),
        (SITE / LANGUAGE / name, {"en": "../", "zh-CN": ""}),
    ):
        found = dict(
            re.findall(r'rel="alternate" hreflang="([\w-]+)" href="([^"]+)"', page.read_text())
        )
        assert found.keys() == links.keys()
        for language, address in found.items():
            wanted = SITE / (LANGUAGE if language == "zh-CN" else "") / name
            assert (page.parent / address).resolve() == wanted.resolve()


def test_search_engines_get_whole_addresses_of_a_book_that_has_one(monkeypatch):
    class Tags(set):
        has = set.__contains__

    monkeypatch.setenv("BOOK_URL", "https://example.org/book/")
    tags = {"tags": Tags(["two_languages"])}
    conf = runpy.run_path(str(ROOT / "docs/conf.py"), init_globals=tags)
    context = {}
    conf["languages"](None, "docs/a", None, context, None)
    for code, page in (("en", "docs/a"), ("zh-CN", f"{LANGUAGE}/docs/a")):
        address = f"https://example.org/book/{page}.html"
        assert f'hreflang="{code}" href="{address}"' in context["metatags"]
    assert context["other_language"] == f"../{LANGUAGE}/docs/a.html"  # wherever it lies


@pytest.mark.parametrize("name", ["index.html", "02_masked_softmax.html", "search.html"])
def test_the_frame_of_a_chinese_page_is_chinese(quick, name):
    quick.goto(f"{LANGUAGE}/{name}")
    assert quick.evaluate(FRAME) == []


@pytest.mark.parametrize("question", ["掩蔽", "masked softmax", "掩蔽softmax操作"])
def test_search_in_chinese(page, question):
    if f"{LANGUAGE}/02_masked_softmax.html" not in TRANSLATED:
        pytest.skip("chapter 02 is not in the Chinese edition")
    page.goto(f"{LANGUAGE}/search.html?q={question}")
    found = page.locator("#search-results li a[href*='02_masked_softmax']").first
    expect(found).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_screenshots(browser, site, width):
    """For people to look at: build/book/screenshots."""
    for name in TRANSLATED[:2]:
        with browser.new_context(
            base_url=site, viewport={"width": width, "height": 1600}
        ) as context:
            page = context.new_page()
            page.goto(name)
            typeset(page)
            path = SITE.parent / f"screenshots/{Path(name).stem}-{LANGUAGE}-{width}.png"
            page.screenshot(path=path)
            assert path.stat().st_size > 50_000
