"""An Urdu story in a real browser, as feed readers show it: by its own markup, on a page that says nothing of Urdu."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator

import feedparser
import pytest
from playwright.sync_api import Browser, sync_playwright
from test_status_page import FLAGS, PROGRAMS

from feeds import ItemOrigin, render
from tests.feed_samples import a_feed, an_item

URDU = "جہاز جمعے کو بندرگاہ میں واپس آ گئے۔"
STORY = an_item(
    language="ur",
    headline="بندرگاہ دوبارہ کھل گئی",
    body_html=f"<p>{URDU}</p>",
    correction_note="نام درست کیا گیا۔",
    origin=ItemOrigin("بندرگاہ ڈیلی"),
)
# Of each paragraph: whether its text begins at the right edge of the page, and its direction.
DRAWN = """() => Array.from(document.querySelectorAll('p')).map(paragraph => {
    const range = document.createRange();
    range.selectNodeContents(paragraph);
    const text = range.getBoundingClientRect();
    const page = document.body.getBoundingClientRect();
    return [getComputedStyle(paragraph).direction, page.right - text.right < 2, text.left - page.left > 100];
})"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        words = f"no Chromium is installed (looked for {', '.join(PROGRAMS)}); apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(words)
        pytest.skip(words)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


def content(fmt: str) -> str:
    """The body as a reader takes it out of the feed."""
    if fmt == "json":
        body: str = json.loads(render(a_feed(), [STORY], "json"))["items"][0]["content_html"]
        return body
    (entry,) = feedparser.parse(render(a_feed(), [STORY], "rss" if fmt == "rss" else "atom")).entries
    return str(entry.content[0].value)


@pytest.mark.parametrize("fmt", ["rss", "atom", "json"])
def test_an_urdu_story_is_aligned_right_by_its_own_markup_alone(chromium: Browser, fmt: str) -> None:
    page = chromium.new_page(viewport={"width": 1000, "height": 600})
    page.set_content(f'<!doctype html><html lang="en"><body>{content(fmt)}</body></html>')
    drawn = page.evaluate(DRAWN)
    page.close()
    assert drawn == [["rtl", True, True]] * 3  # the note, the story, its source
