"""Every byte of the sample desk's feeds is kept in tests/golden; a difference is shown as a diff.

`make golden` writes the files anew. Entries and documents are stored under `feeds.PROFILE`, so it refuses to write
other bytes of them under the same profile: raise the profile first, then a desk that is updated makes them anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from difflib import unified_diff
from functools import partial
from pathlib import Path

import pytest

import feeds
from feeds import (
    ARCHIVED,
    FORMATS,
    PROFILE,
    RENDITIONS,
    Feed,
    Format,
    Item,
    ItemAuthor,
    ItemImage,
    ItemOrigin,
    ItemRights,
    Masthead,
    opml,
    page,
    sitemap,
)
from tests.feed_samples import T, a_feed, a_full_item, an_item

GOLDEN = Path(__file__).parents[1] / "golden"
WRITES = os.environ.get("GOLDEN") == "write"  # `make golden`
# These are made when they are asked for, so no stored bytes of them can be old.
UNSTORED = {"closed.json", "feeds.opml", "feeds.html", "news.xml", "news-index.xml"}
LOGO = Masthead("F & Co", "https://feeds.example/logo.png?a=1&b=2")
DESK = "https://feeds.example/feeds"  # our pages: each story has a place there
HOSTILE = """<b>"A" & 'B'</b> ]]> </item></entry> &amp; \x00\x07\u202eright to left\u202c 😀"""


def items_of_every_kind() -> list[Item]:
    """Every status and language, and the texts and addresses that formats have broken at."""
    return [
        a_full_item(1),
        an_item(2, language="zh-Hans", headline="港口重新开放", origin=ItemOrigin("新华社"), summary=None),
        an_item(
            3, language="ur", headline="بندرگاہ دوبارہ کھل گئی", body_html=None, body_text="جہاز واپس آ گئے۔\n\nآج۔",
            correction_note="نام درست کیا گیا۔",
        ),
        a_full_item(4, withdrawn="killed", desk_url=f"{DESK}/all#story-000004"),
        a_full_item(5, withdrawn="withheld", language="ur", desk_url=f"{DESK}/all#story-000005"),
        a_full_item(6, withdrawn="unpublished", language="zh-Hant", desk_url=f"{DESK}/all#story-000006"),
        an_item(
            7, headline=HOSTILE, summary=HOSTILE, body_html=f"<p>{HOSTILE}</p>", body_text=HOSTILE,
            authors=(ItemAuthor(HOSTILE, "javascript:alert(1)"),), origin=ItemOrigin(HOSTILE, "https://a.example/?a=1&b=\"2\""),
            correction_note=HOSTILE, keywords=(HOSTILE,), packages=("a&b",), source_name=HOSTILE,
            rights=ItemRights(HOSTILE, HOSTILE, HOSTILE, "https://a.example/licence?x=<y>"),
            images=(ItemImage('https://img.example/a b.webp?"x"', alt=HOSTILE, caption=HOSTILE, credit=HOSTILE),),
        ),
        an_item(8, language=None, url="https://例え.example/港?口=1#口", updated=T, sections=()),
        an_item(
            9, language=None, url=None, desk_url=f"{DESK}/world#story-000009", summary=None,
            body_html="<p>Only &lt;HTML&gt; &amp; nothing else.</p>",
        ),
        an_item(
            10, language="ar", headline="أعيد فتح الميناء", body_html="<p>عادت السفن.</p>", url=None, updated=T,
            desk_url=f"{DESK}/world#story-000010", published=T - timedelta(seconds=0.115308),
            origin=ItemOrigin("الجريدة", "https://al.example/?a=1&b=2"),
        ),
    ]  # fmt: skip


def feeds_of_every_kind() -> list[tuple[str, Feed]]:
    plain = a_feed(pages=2, description="World & beyond", masthead=LOGO)
    urdu = replace(plain, slug="language/ur", title="اردو", language="ur", pages=0, hub=None)
    return [("Sections", plain), ("Languages", urdu)]


def documents() -> dict[str, Callable[[], bytes]]:
    items = items_of_every_kind()
    nameless = a_feed(slug="nameless", masthead=Masthead(logo_url=LOGO.logo_url))
    world, private = a_feed(pages=2, description="World & beyond"), a_feed(slug="partner/paper", private=True)
    groups = [(title, [feed]) for title, feed in feeds_of_every_kind()]
    entries = [
        sitemap.NewsEntry("https://paper.example/1?a=1&b=2", "The Paper", "zh-Hans", T, HOSTILE),
        sitemap.NewsEntry("https://paper.example/2", "The Paper & Co", "ur", T + timedelta(hours=1), "اردو"),
    ]
    return {
        **_rendered("world", world, items, RENDITIONS),
        **_rendered("world-page-1", replace(world, page=1), items, ARCHIVED),
        **_rendered("partner", private, items, FORMATS),
        **_rendered("empty", a_feed(), [], RENDITIONS),
        **_rendered("nameless", nameless, items[:1], RENDITIONS),
        "closed.json": lambda: feeds.closed_feed(
            "World", "https://f.example/w.json", "https://f.example", "Closed."
        ),
        "feeds.opml": lambda: opml.opml_bytes("Feeds of F & Co", groups),
        "feeds.html": lambda: page.index_bytes(LOGO, "https://feeds.example", groups),
        "news.xml": lambda: sitemap.sitemap_bytes(entries),
        "news-index.xml": lambda: sitemap.index_bytes(["https://f.example/sitemaps/news-1.xml"]),
    }


def _rendered(
    name: str, feed: Feed, items: list[Item], formats: tuple[Format, ...]
) -> dict[str, Callable[[], bytes]]:
    return {f"{name}.{fmt}": partial(feeds.render, feed, items, fmt) for fmt in formats}


def difference(golden: bytes, made: bytes, name: str) -> str:
    """A unified diff, with every element and every field of JSON on a line of its own."""
    parted = [re.sub(r'(?<=>)(?=<)|(?<=[,\[{])(?=["{])', "\n", text.decode()) for text in (golden, made)]
    before, after = (text.splitlines(keepends=True) for text in parted)
    return "".join(unified_diff(before, after, f"golden/{name}", "made now"))


@pytest.mark.parametrize("name", documents())
def test_bytes_of_the_sample_are_the_golden_ones(name: str) -> None:
    path, made = GOLDEN / name, documents()[name]()
    golden = path.read_bytes() if path.exists() else b""
    if WRITES and made != golden:
        stored = name not in UNSTORED
        assert not golden or not stored or _profile() != PROFILE, (
            "other bytes need another PROFILE: raise it first"
        )
        path.write_bytes(made)
        golden = made
    if made != golden:
        told = f"{name} differs; if that is meant, raise feeds.PROFILE, then `make golden`"
        pytest.fail(f"{told}\n{difference(golden, made, name)}", pytrace=False)


def test_golden_files_are_those_of_this_profile_and_no_others() -> None:
    if WRITES:
        (GOLDEN / "profile").write_text(f"{PROFILE}\n")
    assert _profile() == PROFILE
    assert {path.name for path in GOLDEN.iterdir()} == {*documents(), "profile", "readers"}


def test_difference_is_shown_element_by_element() -> None:
    shown = difference(b"<a><b>1</b><c/></a>", b"<a><b>2</b><c/></a>", "world.rss").splitlines()
    assert shown[:2] == ["--- golden/world.rss", "+++ made now"]
    assert shown[3:] == [" <a>", "-<b>1</b>", "+<b>2</b>", " <c/>", " </a>"]


def _profile() -> str:
    path = GOLDEN / "profile"
    return path.read_text().strip() if path.exists() else ""
