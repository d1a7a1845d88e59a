"""A feed as a page: what people read, whatever the stories bring along."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import timedelta
from html.parser import HTMLParser

from hypothesis import given, settings
from test_feeds_unicode import ANY_TEXT

from feeds import FORMATS, NAMELESS, Feed, Item, ItemAuthor, ItemOrigin, ItemRights, Masthead, render
from feeds.page import STYLE, content_security_policy, index_bytes
from tests.feed_samples import T, a_feed, a_full_item, an_item, some_items

VOID = {"meta", "link", "br"}


class Outline(HTMLParser):
    """Parses strictly: every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def outline(made: bytes) -> Outline:
    parser = Outline()
    parser.feed(made.decode())
    parser.close()
    assert parser.stack == []
    return parser


def page(*items: Item, **fields: object) -> Outline:
    return outline(render(a_feed(**fields), list(items), "html"))


def attributes(parsed: Outline, tag: str) -> list[dict[str, str | None]]:
    return [found for name, found in parsed.seen if name == tag]


def test_every_format_can_be_subscribed_to_from_the_page() -> None:
    alternates = [a for a in attributes(page(an_item()), "link") if a["rel"] == "alternate"]
    assert [(a["type"], a["href"]) for a in alternates] == [
        ("application/rss+xml", "https://feeds.example/feeds/world.rss"),
        ("application/atom+xml", "https://feeds.example/feeds/world.atom"),
        ("application/feed+json", "https://feeds.example/feeds/world.json"),
    ]
    links = {a["href"] for a in attributes(page(an_item()), "a")}
    assert {f"https://feeds.example/feeds/world.{fmt}" for fmt in FORMATS} <= links


def test_each_story_tells_its_language_and_direction() -> None:
    told = [(a.get("lang"), a.get("dir")) for a in attributes(page(*some_items()), "article")]
    assert told == [("en", "ltr"), ("zh-Hans", "ltr"), ("ur", "rtl"), ("en", "ltr")]
    assert attributes(page(an_item(language=None)), "article") == [{"id": "story-000001", "dir": "auto"}]


def test_a_story_is_shown_with_its_attribution_and_its_correction() -> None:
    text = " ".join("".join(page(a_full_item()).texts).split())
    for part in ("Harbour reopens, day 1", "Correction: An earlier version named the wrong port.",
                 "Ships are back in the harbour.", "Ann Lee, Bo Ek, 李雷", "Harbour Daily", "The Paper",
                 "Original headline: 港口重新开放", "Editor: 韩梅梅", "© 2026 The Paper – No archiving."):  # fmt: skip
        assert part in text


def test_a_story_without_a_summary_shows_how_it_begins() -> None:
    assert "Ships returned on Friday." in "".join(page(an_item(summary=None)).texts)


def test_nothing_is_left_of_a_withdrawn_story() -> None:
    made = render(a_feed(), [a_full_item(withdrawn="killed")], "html").decode()
    assert "Story withdrawn" in made
    assert not re.search(r"Harbour reopens|Ships|Ann Lee|Harbour Daily|wrong port|李雷", made)


def test_the_page_runs_no_script_loads_nothing_and_allows_its_own_style_only() -> None:
    parsed = page(a_full_item(headline="<script>alert(1)</script>", summary='"><img src=x onerror=alert(1)>'))
    tags = {tag for tag, _ in parsed.seen}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "form"})
    assert not [a for _, found in parsed.seen for a in found if a.startswith("on") or a == "style"]
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in content_security_policy(NAMELESS)
    assert f"<style>{STYLE}</style>".encode() in render(a_feed(), [], "html")


def test_older_stories_are_led_to_when_there_are_pages() -> None:
    assert "Older stories" not in "".join(page(an_item()).texts)
    links = {a["href"] for a in attributes(page(an_item(), pages=7), "a")}
    assert "https://feeds.example/feeds/world/7.rss" in links


def test_all_feeds_are_listed_by_kind() -> None:
    urdu = Feed("language/ur", "اردو", "x", "https://f.example", "https://f.example", T, language="ur")
    parsed = outline(
        index_bytes(
            Masthead("F & Co"), "https://f.example", [("Sections", [a_feed()]), ("Languages", [urdu])]
        )
    )
    assert [text for text in parsed.texts if text in {"Sections", "Languages"}] == ["Sections", "Languages"]
    assert {"lang": "ur", "dir": "rtl", "href": "https://f.example/feeds/language/ur"} in attributes(
        parsed, "a"
    )


@settings(max_examples=60, deadline=timedelta(seconds=2))
@given(text=ANY_TEXT, other=ANY_TEXT)
def test_any_text_in_any_field_gives_a_well_formed_page(text: str, other: str) -> None:
    item = an_item(
        headline="x" + text, summary=other, language=other[:5], authors=(ItemAuthor(text, other),), url=text,
        origin=ItemOrigin(other, text), original_author=text, original_headline=other, responsible_editor=text,
        rights=ItemRights(text, other, text, other), correction_note=other, source_name=text,
    )  # fmt: skip
    parsed = page(item, title=text, description=other)
    assert len(attributes(parsed, "article")) == 1
    assert {tag for tag, _ in parsed.seen}.isdisjoint({"script", "img"})
