"""Draws explorer.png, the README's picture: the explorer on a sentence, in the machine's Chromium.

`make picture` calls it.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from d2l_ext import views, weights

PICTURE = Path(__file__).with_suffix(".png")
SIZE = {"width": 1000, "height": 1120}  # down to query and context
START = (
    "step=3"  # "fatiguée" looks back at "tired", over a word that English has the other way round
)


def draw(path=PICTURE):
    """Draw the explorer with the library's model of chapter 05.

    Args:
        path: the PNG file to write.

    Raises:
        FileNotFoundError: if there is no Chromium.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    browser_path = next(filter(None, map(shutil.which, names)), None)
    if browser_path is None:
        raise FileNotFoundError("drawing the explorer needs Chromium: apt-get install chromium")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    page_path = path.with_name(".explorer.html")
    views.explorer(weights.pretrained("pytorch"), views.grammar_examples()).save(page_path)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=arguments)
            page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
            page.goto(f"{page_path.resolve().as_uri()}#{START}")
            page.locator(".word.now").wait_for()
            page.locator(".plain.number").nth(3).hover()  # the weight of "tired"
            page.screenshot(path=path)
            browser.close()
    finally:
        page_path.unlink()


if __name__ == "__main__":
    try:
        draw()
    except FileNotFoundError as error:
        sys.exit(str(error))
