"""A withdrawn story keeps its place, under the same id, and only a notice is left of it."""

import json
from datetime import datetime, timedelta

import feedparser
import pytest
from lxml import etree

from feeds import FORMATS, Format, Withdrawal, entry, render
from feeds.repairs import TOMBSTONE
from tests.feed_samples import T, a_feed, a_full_item, an_item

KINDS: tuple[Withdrawal, ...] = ("killed", "withheld", "unpublished")
SECRETS = (
    *(
        "Harbour",
        "Ships",
        "Ann Lee",
        "Bo Ek",
        "李雷",
        "韩梅梅",
        "港口",
        "The Paper",
        "img.example",
        "paper.example",
    ),
    *("harbour.example", "ports", "shipping", "wrong port", "No archiving"),
)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_the_story_is_left(kind: Withdrawal, fmt: Format) -> None:
    made = render(a_feed(), [a_full_item(withdrawn=kind)], fmt).decode()
    assert [secret for secret in SECRETS if secret in made] == []
    assert a_full_item().id in made


@pytest.mark.parametrize("fmt", FORMATS)
def test_each_kind_has_its_own_notice_and_each_language_its_own_words(fmt: Format) -> None:
    notices = {
        entry(an_item(withdrawn=kind, language=language), fmt)
        for kind in KINDS
        for language in ("en-GB", "zh-Hant", "ur")
    }
    assert len(notices) == 9


@pytest.mark.parametrize("fmt", ["rss", "atom"])
def test_a_notice_tells_its_own_language_when_the_storys_is_not_ours(fmt: Format) -> None:
    made = entry(an_item(withdrawn="killed", language="fi"), fmt).decode()
    assert "This story has been withdrawn by its publisher." in made
    assert 'lang="en"' in made or "<dc:language>en<" in made


@pytest.mark.parametrize("fmt", ["rss", "atom"])
def test_a_reader_sees_the_same_story_replaced(fmt: Format) -> None:
    before = feedparser.parse(render(a_feed(), [an_item()], fmt)).entries[0]
    later = an_item().updated + timedelta(hours=1)
    after = feedparser.parse(render(a_feed(), [an_item(withdrawn="killed", updated=later)], fmt)).entries[0]
    assert after.id == before.id
    assert after.title == "Story withdrawn"
    assert after.updated_parsed > before.updated_parsed
    assert after.get("link") in (None, after.id)  # feedparser takes the id of an Atom entry without a link


def test_atom_has_a_tombstone_of_the_same_moment_before_the_entries() -> None:
    root = etree.fromstring(render(a_feed(), [an_item(1), an_item(2, withdrawn="killed")], "atom"))
    (stone,) = root.findall(f"{{{TOMBSTONE}}}deleted-entry")
    gone = root.findall("{*}entry")[1]
    assert stone.get("ref") == gone.findtext("{*}id") == an_item(2).id
    assert stone.get("when") == gone.findtext("{*}updated")
    assert root.index(stone) < root.index(root.findall("{*}entry")[0])


def test_namespace_of_tombstones_is_declared_once_for_any_number() -> None:
    made = render(a_feed(), [an_item(n, withdrawn="killed") for n in range(5)], "atom")
    assert (
        made.count(b'xmlns:at="http://purl.org/atompub/tombstones/1.0"')
        == made.count(TOMBSTONE.encode())
        == 1
    )
    assert made.count(b"<at:deleted-entry ref=") == 5


def test_a_feed_without_withdrawn_stories_declares_no_tombstones() -> None:
    assert TOMBSTONE.encode() not in render(a_feed(), [an_item()], "atom")


def test_json_tells_the_withdrawal_in_the_item_and_in_the_feed() -> None:
    told = json.loads(render(a_feed(), [an_item(withdrawn="unpublished", revision=7)], "json"))
    (item,) = told["items"]
    assert item["_dateline"] == {"revision": 7, "status": "unpublished"}
    assert told["_dateline"]["deleted"] == [{"id": item["id"], "when": item["date_modified"]}]


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_withdrawn_story_may_come_with_nothing_at_all(fmt: Format) -> None:
    bare = an_item(withdrawn="killed", headline="", body_html=None, summary=None, url=None, language=None)
    assert b"withdrawn by its publisher" in entry(bare, fmt)


@pytest.mark.parametrize("fmt", ["rss", "atom"])
def test_a_restored_story_is_itself_again(fmt: Format) -> None:
    later: datetime = T + timedelta(days=1)
    made = feedparser.parse(render(a_feed(), [an_item(updated=later, revision=3)], fmt)).entries[0]
    assert (made.id, made.title) == (an_item().id, an_item().headline)
