"""Sphinx's settings for the book: `make book`. tabbook/book.py writes the pages."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from d2l_ext import weights  # noqa: E402
from tabbook.book import MODELS  # noqa: E402
from tabbook.project import Project  # noqa: E402

home = Project(ROOT).home

project = "Attention and sequence-to-sequence learning"
author = "the authors of d2l-ext"
copyright = "the authors of d2l-ext. Texts and figures: CC BY 4.0; code: MIT"
language = "en"

extensions = ["myst_parser", "sphinx_design", "sphinx.ext.mathjax", "sphinx-mathjax-offline"]
myst_enable_extensions = ["attrs_inline", "colon_fence", "dollarmath", "fieldlist"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = "Attention, in four frameworks"
html_static_path = ["_static", str(weights.PRETRAINED.with_name("explorer"))]
html_static_path += [str(weights.pretrained(name)) for name in MODELS]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"priority": 100})]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_use_index = False
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
    "toc_title": "On this page",
}
