"""Documents are spliced from entries, and nothing but their input is in their bytes."""

import json
import locale
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import feedparser
import pytest
from lxml import etree

import feeds
from feeds import CONTENT_TYPES, FORMATS, EntryError, Format, changed_at, document, entry, render, tombstones
from feeds.feedgen_xml import full_build
from feeds.public import public, public_feed
from tests.feed_samples import T, a_feed, a_full_item, an_item, some_items

XML: tuple[Format, ...] = ("rss", "atom")


@pytest.mark.parametrize("fmt", XML)
@pytest.mark.parametrize("items", [some_items(), [], [an_item()]], ids=["many", "none", "one"])
def test_a_spliced_document_has_the_bytes_of_a_full_feedgen_build(
    fmt: Format, items: list[feeds.Item]
) -> None:
    shown = [public(item) for item in items]
    whole = full_build(public_feed(a_feed()), shown, tombstones(items), changed_at(a_feed(), items), fmt)
    assert render(a_feed(), items, fmt) == whole


@pytest.mark.parametrize("item", [a_full_item(), an_item(), an_item(withdrawn="killed")])
def test_the_entries_of_all_formats_at_once_are_those_of_each(item: feeds.Item) -> None:
    assert feeds.entries(item) == {fmt: entry(item, fmt) for fmt in feeds.RENDITIONS}


def test_a_story_too_long_for_xml_is_still_in_the_formats_that_can_hold_it() -> None:
    made = feeds.entries(an_item(body_html="<p>x</p>" * 1_500_000))
    assert {fmt for fmt in made if isinstance(made[fmt], EntryError)} == {"rss", "atom"}
    assert {str(each) for each in feeds.entries(an_item(headline="\x00")).values()} == {
        f"{an_item().id}: the headline has no printable character; send one"
    }


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_item_in_many_sections_is_serialised_once(fmt: Format) -> None:
    made = entry(a_full_item(), fmt)
    world, china = a_feed(), a_feed(slug="china", title="China", language="zh", hub=None)
    for feed in (world, china):
        assert made in document(feed, [made], fmt, updated=T)
        assert document(feed, [made], fmt, updated=T + timedelta(minutes=1, milliseconds=1)) == render(
            feed, [a_full_item()], fmt
        )


@pytest.mark.parametrize("fmt", XML)
def test_an_entry_declares_no_namespace(fmt: Format) -> None:
    assert b"xmlns" not in entry(a_full_item(), fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_entries_keep_the_order_they_are_given_in(fmt: Format) -> None:
    text = render(a_feed(), [an_item(n) for n in (3, 1, 2)], fmt).decode()
    assert text.index("day 3") < text.index("day 1") < text.index("day 2")


@pytest.mark.parametrize("fmt", FORMATS)
def test_time_of_a_feed_is_that_of_the_last_change_in_any_order(fmt: Format) -> None:
    items = some_items()
    assert changed_at(a_feed(), items) == changed_at(a_feed(), items[::-1]) == max(i.updated for i in items)
    assert render(a_feed(), items, fmt) == render(a_feed(), items, fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_empty_feed_tells_the_time_of_its_making(fmt: Format) -> None:
    made = render(a_feed(), [], fmt)
    assert made == render(a_feed(), [], fmt)
    assert (b"2026-01-02T08:00:00" if fmt != "rss" else b"Fri, 02 Jan 2026 08:00:00 +0000") in made


def test_an_empty_json_feed_is_json() -> None:
    assert json.loads(render(a_feed(), [], "json"))["items"] == []


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_same_moment_in_another_zone_gives_the_same_bytes(fmt: Format) -> None:
    beijing = timezone(timedelta(hours=8))
    moved = replace(an_item(), published=T.astimezone(beijing), updated=an_item().updated.astimezone(beijing))
    assert entry(moved, fmt) == entry(an_item(), fmt)


@pytest.mark.parametrize("fmt", FORMATS)
def test_empty_and_absent_fields_give_the_same_bytes(fmt: Format) -> None:
    blank = an_item(correction_note="", original_author=" ", source_name="", original_headline="\x00")
    assert entry(blank, fmt) == entry(an_item(), fmt)


def test_two_processes_with_other_hash_seeds_locales_and_zones_give_the_same_bytes() -> None:
    first = _digests(PYTHONHASHSEED="1", LC_ALL="C", TZ="UTC")
    second = _digests(PYTHONHASHSEED="4242", LC_ALL=_another_locale(), TZ="Asia/Karachi", PYTHONUTF8="0")
    assert first == second != ""


def _digests(**environment: str) -> str:
    program = (
        "import hashlib, locale; locale.setlocale(locale.LC_ALL, '');"
        "from feeds import FORMATS, render; from tests.feed_samples import a_feed, some_items;"
        "print([hashlib.sha256(render(a_feed(), some_items(), f)).hexdigest() for f in FORMATS])"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def _another_locale() -> str:
    """One with other names of days, if this machine has any."""
    for name in ("zh_CN.UTF-8", "de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
        before = locale.setlocale(locale.LC_ALL)
        try:
            locale.setlocale(locale.LC_ALL, name)
        except locale.Error:
            continue
        finally:
            locale.setlocale(locale.LC_ALL, before)
        return name
    return "C"


@pytest.mark.parametrize("fmt", FORMATS)
def test_one_bad_story_raises_its_own_error_and_names_itself(fmt: Format) -> None:
    with pytest.raises(EntryError, match="headline") as caught:
        entry(an_item(headline="\x00\x07"), fmt)
    assert caught.value.item_id == an_item().id


@pytest.mark.parametrize("fmt", XML)
def test_story_too_large_for_xml_parsers_is_left_out_of_the_feed(fmt: Format) -> None:
    with pytest.raises(EntryError, match="well-formed"):
        entry(an_item(body_html="<p>x</p>" * 1_500_000), fmt)


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": "tag:a\x00b"},
        {"id": "tag:a\ud800"},
        {"published": datetime(2026, 1, 2)},  # noqa: DTZ001 - the fault in question
        {"updated": datetime(2026, 1, 2)},  # noqa: DTZ001
        {"published": datetime.min.replace(tzinfo=timezone(timedelta(hours=8)))},
    ],
)
def test_a_story_without_a_usable_id_or_time_is_refused(fmt: Format, fields: dict[str, Any]) -> None:
    with pytest.raises(EntryError):
        entry(an_item(**fields), fmt)


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such format: ninjs; there are rss, atom, json"):
        entry(an_item(), "ninjs")  # type: ignore[arg-type]


def test_a_feed_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="feed world: home_url"):
        render(a_feed(home_url="/world"), [], "rss")


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_feeds_own_texts_are_cleaned_too(fmt: Format) -> None:
    made = render(a_feed(title="Wor\x00ld\ud800", home_url="https://feeds.example/世界"), [an_item()], fmt)
    assert b"https://feeds.example/%E4%B8%96%E7%95%8C" in made
    assert b"World" in made


def test_content_types_are_exact() -> None:
    assert CONTENT_TYPES == {
        "rss": "application/rss+xml; charset=utf-8",
        "atom": "application/atom+xml; charset=utf-8",
        "json": "application/feed+json; charset=utf-8",
        "html": "text/html; charset=utf-8",
    }


@pytest.mark.parametrize("fmt", XML)
def test_dates_of_early_and_late_years_are_written_in_full(fmt: Format) -> None:
    early = datetime(101, 5, 6, 7, 8, 9, tzinfo=UTC)
    made = render(a_feed(), [an_item(published=early)], fmt)
    etree.fromstring(made)
    assert b"0101" in made
    assert not feedparser.parse(made).bozo
