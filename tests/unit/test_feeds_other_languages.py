"""Readers in Go (gofeed), Rust (feed-rs) and Java (ROME) find in the golden feeds what we wrote there.

`make readers` runs them, and writes their findings to tests/golden/readers; these tests need none of the languages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from feeds.wording import correction_label, notice
from tests.readers.programs import PROGRAMS

GOLDEN = Path(__file__).parents[1] / "golden"
FINDINGS = GOLDEN / "readers"
ATOM = "{http://www.w3.org/2005/Atom}"
READ = [
    (program.name, path.name)
    for program in PROGRAMS
    for fmt in program.formats
    for path in sorted(GOLDEN.glob(f"*.{fmt}"))
]
SAMPLES = [each for each in READ if re.match("world|partner", each[1])]
READ_BY = pytest.mark.parametrize(("reader", "document"), READ)
SAMPLES_READ_BY = pytest.mark.parametrize(("reader", "document"), SAMPLES)


class StoryAsRead(NamedTuple):
    id: str
    title: str
    link: str
    published: datetime
    updated: datetime


class DocumentRead(NamedTuple):
    title: str
    home: str
    stories: list[StoryAsRead]


def moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text or "").astimezone(UTC)


def ours_rss(written: bytes) -> DocumentRead:
    channel = ElementTree.fromstring(written)[0]
    stories = [
        StoryAsRead(
            item.findtext("guid", ""),
            item.findtext("title", ""),
            item.findtext("link", ""),
            parsedate_to_datetime(item.findtext("pubDate", "")),
            moment(item.findtext(f"{ATOM}updated")),
        )
        for item in channel.iter("item")
    ]
    return DocumentRead(channel.findtext("title", ""), channel.findtext("link", ""), stories)


def ours_atom(written: bytes) -> DocumentRead:
    def alternate(element: ElementTree.Element) -> str:
        links = [link for link in element.iter(f"{ATOM}link") if link.get("rel") == "alternate"]
        return links[0].get("href", "") if links else ""

    feed = ElementTree.fromstring(written)
    stories = [
        StoryAsRead(
            entry.findtext(f"{ATOM}id", ""),
            entry.findtext(f"{ATOM}title", ""),
            alternate(entry),
            moment(entry.findtext(f"{ATOM}published")),
            moment(entry.findtext(f"{ATOM}updated")),
        )
        for entry in feed.iter(f"{ATOM}entry")
    ]
    return DocumentRead(feed.findtext(f"{ATOM}title", ""), alternate(feed), stories)


def ours_json(written: bytes) -> DocumentRead:
    feed = json.loads(written)
    stories = [
        StoryAsRead(
            item["id"],
            item["title"],
            item.get("url", ""),
            moment(item["date_published"]),
            moment(item["date_modified"]),
        )
        for item in feed["items"]
    ]
    return DocumentRead(feed["title"], feed["home_page_url"], stories)


OURS: dict[str, Callable[[bytes], DocumentRead]] = {
    ".rss": ours_rss,
    ".atom": ours_atom,
    ".json": ours_json,
}


def ours(document: str) -> DocumentRead:
    return OURS[Path(document).suffix]((GOLDEN / document).read_bytes())


def finding(reader: str, document: str) -> dict[str, Any]:
    path = FINDINGS / f"{reader}-{document}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def stories_of(found: dict[str, Any]) -> list[StoryAsRead]:
    return [
        StoryAsRead(
            item["id"], item["title"], item["link"], moment(item["published"]), moment(item["updated"])
        )
        for item in found["items"]
    ]


def items(reader: str, document: str) -> dict[int, dict[str, Any]]:
    """The items that a reader found, by their numbers."""
    return {int(item["id"].rpartition("/")[2]): item for item in finding(reader, document)["items"]}


def withdrawn() -> dict[int, tuple[Any, str | None]]:
    """(status, language) of the notices in the sample, by their numbers."""
    sample = json.loads((GOLDEN / "world.json").read_text(encoding="utf-8"))
    return {
        int(item["id"].rpartition("/")[2]): (item["_dateline"]["status"], item.get("language"))
        for item in sample["items"]
        if item["_dateline"]["status"] != "usable"
    }


def test_there_is_a_finding_of_every_reader_for_every_golden_feed_and_no_other() -> None:
    expected = {f"{reader}-{document}.json" for reader, document in READ}
    assert {path.name for path in FINDINGS.iterdir()} == expected, "run `make readers`"


@READ_BY
def test_readers_find_the_ids_titles_links_and_dates_of_the_golden_feeds(reader: str, document: str) -> None:
    found, expected = finding(reader, document), ours(document)
    hint = "run `make readers`, and see whether the readers still find all"
    assert stories_of(found) == expected.stories, hint
    assert found["title"] == expected.title, hint
    # Some readers write an address without a path with the slash that it stands for.
    assert {link.rstrip("/") for link in found["links"]} >= {expected.home.rstrip("/")}, hint


@pytest.mark.parametrize("document", ["world.rss", "world.atom", "partner.rss", "partner.atom"])
def test_java_reads_our_times_to_the_millisecond(document: str) -> None:
    """ROME once read six digits of a second as 884 seconds, and what was new seemed old."""
    read = {story.id: story for story in stories_of(finding("rome", document))}
    for story in ours_json((GOLDEN / "world.json").read_bytes()).stories:
        assert story.updated.microsecond > 0
        assert read[story.id].updated == story.updated
        if document.endswith(".atom"):  # pubDate has whole seconds
            assert read[story.id].published == story.published


@SAMPLES_READ_BY
def test_a_story_of_several_authors_shows_them_all(reader: str, document: str) -> None:
    """In RSS they are one: most readers show the first dc:creator alone."""
    authors = items(reader, document)[1]["authors"]
    names = ["Ann Lee", "Bo Ek", "李雷"]
    assert authors == ([", ".join(names)] if document.endswith(".rss") else names)


@SAMPLES_READ_BY
def test_every_item_opens_at_its_story_or_at_a_page_of_ours(reader: str, document: str) -> None:
    stories = ("https://paper.example/", "https://xn--r8jz45g.example/", "https://feeds.example/feeds/")
    for item in items(reader, document).values():
        assert item["link"].startswith(stories)
        assert item["links"][0] == item["link"]


@SAMPLES_READ_BY
def test_notice_is_known_by_its_words_and_has_nothing_of_the_story(reader: str, document: str) -> None:
    found = items(reader, document)
    assert {status for status, _ in withdrawn().values()} == {"killed", "withheld", "unpublished"}
    for number, (status, language) in withdrawn().items():
        item, words = found[number], notice(status, language)
        assert (item["title"], item["summary"]) == (words.title, words.text)
        assert item["authors"] == item["categories"] == []
        assert re.sub("<[^>]*>", "", item["content"])[:60] == words.text[:60]


@SAMPLES_READ_BY
def test_correction_is_seen_in_summary_and_body(reader: str, document: str) -> None:
    found = items(reader, document)
    for number, language in ((1, "en"), (3, "ur")):
        label = correction_label(language)
        assert found[number]["summary"].startswith(f"{label} ")
        assert f"<p><strong>{label}</strong> " in found[number]["content"]
    assert not found[2]["content"].startswith("<p><strong>")


@SAMPLES_READ_BY
def test_right_to_left_body_reaches_the_reader_with_its_direction(reader: str, document: str) -> None:
    found = items(reader, document)
    for number, language in ((3, "ur"), (5, "ur"), (10, "ar")):
        assert found[number]["content"].startswith(f'<div dir="rtl" lang="{language}">')


@pytest.mark.parametrize("reader", ["gofeed", "rome"])
def test_readers_that_know_dublin_core_learn_the_language_of_each_story(reader: str) -> None:
    languages = {number: item["language"] for number, item in items(reader, "world.rss").items()}
    assert languages == {
        1: "en", 2: "zh-Hans", 3: "ur", 4: "en", 5: "ur", 6: "zh", 7: "en", 8: "", 9: "", 10: "ar",
    }  # fmt: skip
