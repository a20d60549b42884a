"""The tabs: all of them show the framework that the reader has chosen, and only that one."""

import pytest

from tabbook.project import FRAMEWORKS
from tests.book.pages import CHAPTERS, SHOWN, choose, code, hurry, label, typeset

# Where a tab set stands in the window
TOP = "label => label.parentElement.getBoundingClientRect().top"

# Views have loaded and are as high as they want to be
LOADED = """() => [...document.querySelectorAll('iframe.view')].filter(e => e.checkVisibility())
    .every(e => e.contentDocument?.querySelector('.word')
        && e.offsetHeight === e.contentDocument.body.offsetHeight)"""


def chosen(page):
    """The frameworks of all chosen tabs; there are tabs."""
    return page.evaluate(SHOWN, "")["chosen"]


@pytest.fixture(scope="module")
def context(browser, site):
    with browser.new_context(base_url=site) as context:
        yield context


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request, context):
    """A chapter's name and the page with it, all solutions open."""
    page = context.new_page()
    page.goto(request.param)
    typeset(page)
    hurry(page)
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    yield request.param, page
    page.close()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_reader_sees_the_notebook_of_one_framework(chapter, framework):
    name, page = chapter
    page.emulate_media(media="screen")
    choose(page, framework)
    shown = page.evaluate(SHOWN, framework)
    assert shown["chosen"] == [framework]
    assert shown["foreign"] == []
    assert [text.strip() for text in shown["code"]] == code(name, framework)


@pytest.mark.parametrize("anchoring", ["auto", "none"])
def test_a_clicked_tab_stays_where_it_is(chapter, anchoring):
    """Some browsers anchor what is seen by themselves, others do not."""
    _, page = chapter
    page.evaluate("how => { document.documentElement.style.overflowAnchor = how; }", anchoring)
    choose(page, "pytorch")
    for framework in ("tensorflow", "jax", "mxnet"):
        tab = page.locator(label(framework)).last
        tab.scroll_into_view_if_needed()
        before = tab.evaluate(TOP)
        tab.click()
        page.wait_for_function(LOADED)
        assert tab.evaluate(TOP) == pytest.approx(before, abs=3)


def test_print_shows_one_framework_and_all_of_its_code(chapter):
    """A4 is 794 pixels wide, A5 559."""
    name, page = chapter
    choose(page, "jax")
    usual = page.viewport_size
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})
    shown = page.evaluate(SHOWN, "jax")
    seen = page.evaluate(
        """hidden => ({
            width: document.documentElement.scrollWidth,
            cut: [...document.querySelectorAll('article *')].filter(e =>
                e.checkVisibility() && e.getBoundingClientRect().right > 794.5
                && !e.closest('mjx-assistive-mml')).map(e => e.outerHTML.slice(0, 200)),
            beside: [...document.querySelectorAll(hidden)].filter(e => e.checkVisibility())
                .map(e => e.outerHTML.slice(0, 200)),
        })""",
        "#pst-primary-sidebar, #pst-secondary-sidebar, .bd-header-article, .prev-next-footer",
    )
    page.set_viewport_size({"width": 559, "height": 794})
    lost = page.evaluate(
        """[...document.querySelectorAll('article pre')].filter(e => e.checkVisibility()
            && e.scrollWidth > e.clientWidth).map(e => e.textContent)"""
    )
    page.emulate_media(media="screen")
    page.set_viewport_size(usual)
    assert shown["foreign"] == []
    assert [text.strip() for text in shown["code"]] == code(name, "jax")
    assert seen == {"width": 794, "cut": [], "beside": []}
    assert lost == []


def test_the_choice_goes_from_page_to_page_and_from_visit_to_visit(page, browser, site):
    page.goto("index.html", wait_until="domcontentloaded")
    assert chosen(page) == ["pytorch"]
    choose(page, "jax")
    assert chosen(page) == ["jax"]
    for name in CHAPTERS:
        with page.expect_navigation(wait_until="domcontentloaded"):
            page.locator(".prev-next-footer a.right-next").click()
        assert page.url == site + name
        assert chosen(page) == ["jax"]
    state = page.context.storage_state()
    with browser.new_context(base_url=site, storage_state=state) as context:
        later = context.new_page()
        later.goto(CHAPTERS[-1], wait_until="domcontentloaded")
        shown = later.evaluate(SHOWN, "jax")
        assert (shown["chosen"], shown["foreign"]) == (["jax"], [])


def test_a_link_chooses_a_framework_if_there_is_such_a_one(page):
    def visit(address):
        page.goto(address, wait_until="domcontentloaded")
        (name,) = chosen(page)
        assert page.evaluate("document.documentElement.dataset.framework") == name
        return name

    assert visit(f"{CHAPTERS[0]}?framework=theano") == "pytorch"
    choose(page, "jax")
    assert visit(f"{CHAPTERS[1]}?framework=mxnet") == "mxnet"
    assert visit(CHAPTERS[2]) == "mxnet"
    assert visit(f"{CHAPTERS[1]}?framework=theano") == "mxnet"
    assert visit(f"{CHAPTERS[1]}?framework=") == "mxnet"
    assert visit(CHAPTERS[2]) == "mxnet"


@pytest.mark.parametrize("anchoring", ["auto", "none"])
@pytest.mark.parametrize("name", [CHAPTERS[2], CHAPTERS[6]])
def test_a_link_chooses_a_framework_and_leads_to_its_place(page, name, anchoring):
    style = f"document.documentElement.style.overflowAnchor = '{anchoring}'"
    page.add_init_script(f"addEventListener('DOMContentLoaded', () => {{ {style} }})")
    page.goto(f"{name}?framework=tensorflow#summary")
    typeset(page)
    assert chosen(page) == ["tensorflow"]
    heading = page.get_by_role("heading", name="Summary")
    assert -5 <= heading.bounding_box()["y"] <= 120


def test_tabs_obey_the_keyboard(page):
    page.goto(CHAPTERS[1])
    typeset(page)
    focused = "document.activeElement.nextElementSibling?.dataset.syncId"
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate(focused):
            break
    assert page.evaluate(focused) == "pytorch"
    for key, expected in (
        ("ArrowRight", "mxnet"),
        ("ArrowDown", "jax"),
        ("ArrowRight", "tensorflow"),
        ("ArrowLeft", "jax"),
    ):
        page.keyboard.press(key)
        assert page.evaluate(focused) == expected
        shown = page.evaluate(SHOWN, expected)
        assert (shown["chosen"], shown["foreign"]) == ([expected], [])


def test_without_scripts_tabs_still_open_and_nothing_is_hidden_for_good(browser, site):
    with browser.new_context(base_url=site, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(CHAPTERS[2])
        tab = page.locator(label("jax")).first
        tab.click()
        assert page.locator(f"{label('jax')} + .sd-tab-content").first.is_visible()
        assert page.locator(f"{label('pytorch')} + .sd-tab-content").first.is_hidden()
        parts = page.locator(".only")
        assert parts.count() and all(part.is_visible() for part in parts.all())
