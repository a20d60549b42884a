"""The book's site on a local server, and the machine's Chromium to read it with."""

import functools
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import sync_playwright

from tests.book.pages import SITE


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site():
    """The address of the book's site, which `make book` has built."""
    if not (SITE / "index.html").is_file():
        pytest.fail("no site in build/book/html: run make book")
    handler = functools.partial(Handler, directory=SITE)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # pages are left while they load
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def browser():
    """The machine's own Chromium. Without it tests are skipped or, with NEED_BROWSER=1, fail."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        missing = pytest.fail if os.environ.get("NEED_BROWSER") == "1" else pytest.skip
        missing("needs Chromium: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, site):
    """A reader's first visit: a page of a new context; addresses are relative to the site."""
    with browser.new_context(base_url=site) as context:
        yield context.new_page()
