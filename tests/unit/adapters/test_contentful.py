"""Contentful's webhooks after its documentation, and answers of its Content Delivery API, with what they link to."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.adapter import (
    FieldRule,
    Gone,
    Hint,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.contentful import ADAPTER
from tests.adapter_checks import (
    CHECKED_AT,
    any_answer_is_read_or_its_fault_told,
    fetched_story,
    hook_events,
    json_answer,
    verifies_nothing_changed,
    wrong_outcomes,
)
from tests.captured_hooks import CaptureOutcome, all_captured, captured, reads_or_says_why, spoiled

CONTENTFUL_SETTINGS = SourceSettings(base_url="https://cdn.contentful.com/spaces/s/environments/master")
CONTENTFUL_SECRET = "a" * 64
_ENTRY_ID = "5KsDBWseXY6QegucYAoacS"
_GONE_ENTRY = [CaptureOutcome("gone", _ENTRY_ID)]

# By hand, from the captures. Without the API a link is its id, which a source's map can name.
CONTENTFUL_EXPECTED = {
    "01": [CaptureOutcome("story", _ENTRY_ID, ("world",), "The first ferry left at dawn. Bold")],
    "02": [CaptureOutcome("ignored")],
    "03": _GONE_ENTRY,
    "04": _GONE_ENTRY,
    "05": _GONE_ENTRY,
}


def test_every_capture_of_contentful_has_the_outcome_that_is_written_down() -> None:
    assert wrong_outcomes(ADAPTER, CONTENTFUL_EXPECTED, section_map={"sec1": "world"}) == {}
    asked = {**CONTENTFUL_EXPECTED, "01": [CaptureOutcome("hint", _ENTRY_ID)]}
    assert wrong_outcomes(ADAPTER, asked, base_url=CONTENTFUL_SETTINGS.base_url) == {}


def _published(language: str | None = None) -> dict[str, Any]:
    [event] = ADAPTER.read(captured("contentful", "01-"), SourceSettings(language=language))
    assert isinstance(event, StoryRead)
    return dict(event.fields)


def test_a_story_of_contentful_is_read_in_the_sources_language() -> None:
    fields = _published()
    assert fields["headline"] == 'Harbour reopens: "calm" & safe'
    assert fields["body_html"] == "<p>The first ferry left at dawn. <strong>Bold</strong></p>"
    assert fields["language"] == "en-US"
    assert fields["keywords"] == ["world"]
    assert fields["updated_at"] == "2026-11-28T08:05:00.000Z"
    assert fields["published_at"] == "2026-11-28T08:01:00.000Z"
    assert _published("en")["language"] == "en-US"
    chinese = _published("zh-Hans")
    assert chinese["headline"] == "港口重新开放 🚢"
    assert chinese["sections"] == [["sec1"]]
    [missing] = ADAPTER.read(captured("contentful", "01-"), SourceSettings(language="ur"))
    assert missing == Gone(_ENTRY_ID)


def test_a_takedown_of_contentful_says_when_it_was() -> None:
    [event] = ADAPTER.read(captured("contentful", "03-"), CONTENTFUL_SETTINGS)
    assert event == Gone(_ENTRY_ID, updated_at=datetime(2026, 11, 28, 8, 30, tzinfo=UTC))


def test_other_types_and_topics_are_no_stories_and_what_is_not_contentfuls_is_held() -> None:
    entry = json.loads(captured("contentful", "01-").body)
    entry["sys"]["contentType"]["sys"]["id"] = "author"
    topic = "ContentManagement.Entry.publish"
    [other] = hook_events(ADAPTER, entry, CONTENTFUL_SETTINGS, x_contentful_topic=topic)
    assert isinstance(other, Ignore)
    own = replace(CONTENTFUL_SETTINGS, content_type="author")
    assert hook_events(ADAPTER, entry, own, x_contentful_topic=topic) == [Hint([_ENTRY_ID])]
    assert hook_events(ADAPTER, entry, own) == [Hint([_ENTRY_ID])]
    [asset] = hook_events(ADAPTER, entry, own, x_contentful_topic="ContentManagement.Asset.publish")
    assert isinstance(asset, Ignore)
    for hook in ({}, {"sys": {"type": "Entry"}}, {"sys": {"type": "Asset", "id": "1"}}):
        with pytest.raises(Unreadable):
            hook_events(ADAPTER, hook, CONTENTFUL_SETTINGS, x_contentful_topic=topic)


def test_contentful_signs_its_method_its_path_its_headers_and_its_body() -> None:
    for request in all_captured("contentful").values():
        verifies_nothing_changed(ADAPTER, request, CONTENTFUL_SECRET, "x-contentful-signature")
        spoilt = [
            replace(request, method="PUT"),
            replace(request, target=request.target + "?a=b"),
            replace(request, body=request.body.replace(b"e", b"f", 1)),
            *(
                replace(request, headers={**request.headers, name: request.headers[name] + "x"})
                for name in ("x-contentful-topic", "x-contentful-timestamp", "x-contentful-signed-headers")
            ),
        ]
        assert all(ADAPTER.verify(each, [CONTENTFUL_SECRET], CHECKED_AT) for each in spoilt)


def test_a_topic_that_is_not_signed_is_not_believed() -> None:
    names = "x-contentful-signed-headers,x-contentful-timestamp"
    message = f"POST\n/v1/hooks/c\nx-contentful-signed-headers:{names};x-contentful-timestamp:1\n{{}}"
    mark = hmac.digest(CONTENTFUL_SECRET.encode(), message.encode(), "sha256").hex()
    headers = {
        "x-contentful-signature": mark,
        "x-contentful-signed-headers": names,
        "x-contentful-timestamp": "1",
    }
    request = replace(captured("contentful", "01-"), target="/v1/hooks/c", headers=headers, body=b"{}")
    assert ADAPTER.verify(request, [CONTENTFUL_SECRET], CHECKED_AT) is None
    with_topic = replace(request, headers={**headers, "x-contentful-topic": "ContentManagement.Entry.delete"})
    assert "Topic" in str(ADAPTER.verify(with_topic, [CONTENTFUL_SECRET], CHECKED_AT))


def _link(kind: str, target: str) -> dict[str, Any]:
    return {"sys": {"type": "Link", "linkType": kind, "id": target}}


_ENTRY: dict[str, Any] = {
    "sys": {"id": "a1", "type": "Entry", "contentType": _link("ContentType", "article"),
            "updatedAt": "2026-11-28T08:05:00.000Z", "createdAt": "2026-11-28T08:01:00.000Z"},
    "fields": {
        "title": {"en-US": "Harbour", "zh-Hans": "港口"},
        "body": {"en-US": {"nodeType": "document", "content": [
            {"nodeType": "paragraph", "content": [{"nodeType": "text", "value": "At dawn"}]},
            {"nodeType": "embedded-asset-block", "data": {"target": _link("Asset", "as1")}, "content": []}]}},
        "section": {"en-US": _link("Entry", "sec1")},
        "authors": {"en-US": [_link("Entry", "au1")]},
        "cover": {"en-US": _link("Asset", "as1")},
    },
}  # fmt: skip
_INCLUDES: dict[str, Any] = {
    "Entry": [
        {"sys": {"id": "sec1", "type": "Entry"}, "fields": {"name": {"en-US": "World"}, "slug": {"en-US": "world"}}},
        {"sys": {"id": "au1", "type": "Entry"}, "fields": {"name": {"en-US": "Ayesha Khan"}}},
    ],
    "Asset": [
        {"sys": {"id": "as1", "type": "Asset"}, "fields": {
            "title": {"en-US": "Ferry"}, "description": {"en-US": "A ferry"},
            "file": {"en-US": {"url": "//images.ctfassets.net/s/as1/f.png", "contentType": "image/png"}}}},
    ],
}  # fmt: skip


def test_entries_and_assets_behind_links_are_found_in_the_answer() -> None:
    answer = json_answer({"total": 1, "items": [_ENTRY], "includes": _INCLUDES})
    found = fetched_story(ADAPTER, answer, "a1", CONTENTFUL_SETTINGS)
    assert isinstance(found, StoryRead)
    fields = found.fields
    assert fields["sections"] == [["World", "world"]]
    assert fields["authors"] == [{"name": "Ayesha Khan"}]
    assert fields["images"] == [{"url": "https://images.ctfassets.net/s/as1/f.png", "alt": "A ferry"}]
    assert '<img src="https://images.ctfassets.net/s/as1/f.png" alt="A ferry">' in fields["body_html"]
    assert found.warnings == ()
    rule = replace(CONTENTFUL_SETTINGS, language="zh", fields={"headline": FieldRule("/title")})
    chinese = fetched_story(ADAPTER, answer, "a1", rule)
    assert isinstance(chinese, StoryRead)
    assert chinese.fields["headline"] == "港口"
    assert chinese.fields["sections"] == [["World", "world"]]


def test_one_entry_is_asked_for_in_all_its_locales() -> None:
    assert ADAPTER.fetch is not None
    url = unquote(ADAPTER.fetch("a1", CONTENTFUL_SETTINGS).url)
    assert url == f"{CONTENTFUL_SETTINGS.base_url}/entries?sys.id=a1&include=2&locale=*"
    assert fetched_story(ADAPTER, json_answer({"total": 0, "items": []}), "a1", CONTENTFUL_SETTINGS) == Gone(
        "a1"
    )
    for unclear in (json_answer({}, 404), json_answer({}), json_answer({"items": [_ENTRY, _ENTRY]})):
        with pytest.raises(Unreadable):
            fetched_story(ADAPTER, unclear, "a1", CONTENTFUL_SETTINGS)


def test_changes_and_ids_of_contentful_are_read_page_by_page() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(CHECKED_AT, CONTENTFUL_SETTINGS)
    assert "sys.updatedAt[gte]=2026-11-28T17:10:00Z" in unquote(first.url)
    author = {"sys": {**_ENTRY["sys"], "contentType": _link("ContentType", "author")}}
    listed = {"total": 51, "items": [_ENTRY, author, {**_ENTRY, "fields": {}}]}
    found = comparison.changed_page(json_answer(listed), first, CONTENTFUL_SETTINGS)
    assert [type(each).__name__ for each in found.events] == ["StoryRead", "Hint"]
    assert found.next is not None
    assert "skip=50" in found.next.url
    assert comparison.changed_page(json_answer(listed), found.next, CONTENTFUL_SETTINGS).next is None
    ids = comparison.ids_page(
        json_answer(listed), comparison.all_ids(CONTENTFUL_SETTINGS), CONTENTFUL_SETTINGS
    )
    assert set(ids.ids) == {"a1"}
    assert ids.next is None
    fewer = json_answer({"total": 51, "limit": 20, "items": [_ENTRY] * 20})
    found = comparison.changed_page(fewer, first, CONTENTFUL_SETTINGS)
    assert found.next is not None
    assert "skip=20" in found.next.url, "none is passed over though it gives fewer than asked for"


@given(value=spoiled([json.loads(each.body) for each in all_captured("contentful").values()]))
@settings(max_examples=60, deadline=None)
def test_a_contentful_hook_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("contentful", "01-"), value)


@given(
    value=spoiled([{"total": 90, "items": [_ENTRY], "includes": _INCLUDES}]),
    status=st.sampled_from((200, 404)),
)
@settings(max_examples=60, deadline=None)
def test_any_answer_of_contentful_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read_or_its_fault_told(ADAPTER, json_answer(value, status), CONTENTFUL_SETTINGS)
