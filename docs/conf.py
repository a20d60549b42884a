"""Sphinx's settings for the book: `make book`. tabbook/book.py writes the pages.

The Chinese book is built with the tag zh_CN, into a folder of that name beside the English pages;
two_languages says that there is one. BOOK_URL in the environment is where the book will lie on the
web, for search engines.
"""

import json
import logging
import os
import posixpath
import sys
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tabbook.project import LANGUAGE, Project  # noqa: E402

home = Project(ROOT).home
chinese = tags.has(LANGUAGE)  # noqa: F821 (Sphinx defines it)
two_languages = tags.has("two_languages")  # noqa: F821

project = "注意力与序列到序列学习" if chinese else "Attention and sequence-to-sequence learning"
author = "d2l-ext 的作者们" if chinese else "the authors of d2l-ext"
copyright = "the authors of d2l-ext. Texts and figures: CC BY 4.0; code: MIT"
if chinese:
    copyright = "d2l-ext 的作者们。文字和图：CC BY 4.0；代码：MIT"
language = LANGUAGE if chinese else "en"
if chinese:
    import jieba  # cuts the words for search, and would tell how it loads its own
    from sphinx.search.zh import SearchChinese

    jieba.setLogLevel(logging.WARNING)
    # Sphinx 9.0 names the stemmer's class after the language, but it is the English one's, and so
    # search would stop with an error.
    SearchChinese.language_name = "English"

extensions = ["myst_parser", "sphinx_design", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = "注意力，四个框架" if chinese else "Attention, in four frameworks"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"priority": 100})]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_use_index = False
address = os.environ.get("BOOK_URL", "").rstrip("/")
html_baseurl = f"{address}/{LANGUAGE}/" if address and chinese else address
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system says
html_theme_options = {
    "repository_url": home.repository,
    "repository_branch": home.branch,
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navbar_persistent": [],
    "toc_title": "本页内容" if chinese else "On this page",
    "search_bar_text": "搜索…" if chinese else "Search...",
    "article_header_end": ["language.html", "article-header-buttons.html"],
}


class EnglishIds(SphinxTransform):
    """Gives the sections of a Chinese page the ids of the English ones, so that links fit both."""

    default_priority = 5

    def apply(self):
        path = Path(self.app.srcdir, "sections.json")
        headings = json.loads(path.read_text("utf-8")).get(self.env.docname)
        if headings is None:
            return  # a page that is in English anyway
        sections = list(self.document.findall(nodes.section))
        if len(sections) != len(headings):
            raise ValueError(f"{self.env.docname}: {len(sections)} sections, not {len(headings)}")
        slugs = self.document.myst_slugs if hasattr(self.document, "myst_slugs") else {}
        for section, heading in zip(sections, headings):
            old, new = section["ids"][0], nodes.make_id(heading)
            section["ids"] = [new]
            self.document.ids[new] = section
            for name in section["names"]:
                self.document.nameids[name] = new
            for slug, (line, target, title) in list(slugs.items()):
                if target == old:
                    slugs[slug] = slugs[new] = (line, new, title)


def languages(app, name, template, context, doctree):
    """Tell a page where it is in each language: a link for readers, two for search engines."""
    if not two_languages:
        return
    here = posixpath.basename(name) + ".html"
    up = "../" * name.count("/")
    there = f"{up}../{name}.html" if chinese else f"{up}{LANGUAGE}/{name}.html"
    context["other_language"] = there
    context["chinese"] = chinese
    pages = {"en": there, "zh-CN": here} if chinese else {"en": here, "zh-CN": there}
    if address:
        pages = {"en": f"{address}/{name}.html", "zh-CN": f"{address}/{LANGUAGE}/{name}.html"}
    for code, page in pages.items():
        link = f'\n<link rel="alternate" hreflang="{code}" href="{page}" />'
        context["metatags"] = context.get("metatags", "") + link


def setup(app):
    scripts = app.srcdir / "scripts"  # the explorer's
    if scripts.is_dir():
        app.config.html_static_path.append(str(scripts))
    if chinese:
        app.add_transform(EnglishIds)
    app.connect("html-page-context", languages)
