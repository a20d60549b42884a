"""The site's files, read without a browser: links, ids, alternative texts, sizes."""

import functools
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from tests.book.pages import CHAPTERS, PAGES, SITE

pytestmark = [pytest.mark.usefixtures("site"), pytest.mark.parametrize("name", PAGES)]


@functools.cache
def tags(path):
    """All tags of a page: (name, attributes)."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(path.read_text(encoding="utf-8"))
    return found


@functools.cache
def ids(path):
    return [attributes["id"] for _, attributes in tags(path) if attributes.get("id")]


def test_ids_are_unique(name):
    found = ids(SITE / name)
    assert {one for one in found if found.count(one) > 1} == set()


def test_links_lead_somewhere(name):
    page = SITE / name
    lost = []
    for _, attributes in tags(page):
        for address in filter(None, map(attributes.get, ("href", "src", "action"))):
            parts = urlsplit(address)
            if parts.scheme in ("http", "https", "mailto", "data"):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if parts.scheme or not target.is_file() or not target.is_relative_to(SITE):
                lost.append(address)
            elif parts.fragment and target.suffix == ".html":
                lost += [address] * (unquote(parts.fragment) not in ids(target))
    assert lost == []


def test_pictures_have_alternative_texts(name):
    pictures = [attributes for tag, attributes in tags(SITE / name) if tag == "img"]
    assert pictures or name not in CHAPTERS
    assert [one["src"] for one in pictures if not (one.get("alt") or "").strip()] == []


def test_a_page_is_light(name):
    # Chapter 09 shows all heads of six sentences, in four tabs
    assert (SITE / name).stat().st_size < (1.6e6 if "09_transformer" in name else 1e6)
