"""Sanity's webhooks after its documentation, and answers of its query API, which knows what a document refers to."""

from __future__ import annotations

import json
from dataclasses import replace
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
from service.intake.adapters.sanity import ADAPTER
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

SANITY_SETTINGS = SourceSettings(base_url="https://abc123.api.sanity.io/v2025-02-19/data/query/production")
_BODY = "The first ferry left at dawn"

# By hand, from the captures. Without the API a reference is its id, which a source's map can name.
SANITY_EXPECTED = {
    "01": [CaptureOutcome("story", "a1b2c3", ("world",), _BODY)],
    "02": [CaptureOutcome("story", "a1b2c3", ("world",), _BODY)],
    "03": [CaptureOutcome("ignored")],
    "04": [CaptureOutcome("gone", "a1b2c3")],
}


def test_every_capture_of_sanity_has_the_outcome_that_is_written_down() -> None:
    options = {"section_map": {"sec-world": "world"}, "language": "en"}
    assert wrong_outcomes(ADAPTER, SANITY_EXPECTED, **options) == {}
    asked = [CaptureOutcome("hint", "a1b2c3")]
    assert (
        wrong_outcomes(
            ADAPTER, {**SANITY_EXPECTED, "01": asked, "02": asked}, base_url=SANITY_SETTINGS.base_url
        )
        == {}
    )


def test_a_story_of_sanity_has_its_portable_text_and_the_address_of_its_images() -> None:
    [event] = ADAPTER.read(captured("sanity", "01-"), SourceSettings())
    assert isinstance(event, StoryRead)
    fields = event.fields
    assert fields["headline"] == 'Harbour reopens: "calm" & safe 🚢'
    assert fields["body_html"] == (
        '<p>The first ferry left <a href="/timetable"><strong>at dawn</strong></a></p>'
        '<figure><img src="https://cdn.sanity.io/images/made-up/production/abc-1200x675.png" alt="A ferry"></figure>'
    )
    assert fields["updated_at"] == "2026-11-28T08:05:00Z"
    assert fields["published_at"] == "2026-11-28T08:00:00Z"


def test_a_projection_that_brings_only_a_part_has_the_document_asked_for() -> None:
    for body in (
        {"_id": "a1"},
        {"_id": "a1", "_type": "article", "before": {"title": "A"}, "after": {"title": "B"}},
    ):
        assert hook_events(ADAPTER, body, SANITY_SETTINGS) == [Hint(["a1"])]
        assert hook_events(ADAPTER, body, SANITY_SETTINGS, sanity_operation="delete") == [Gone("a1")]
    assert hook_events(ADAPTER, {}, SANITY_SETTINGS, sanity_document_id="a1", sanity_operation="delete") == [
        Gone("a1")
    ]
    for draft in ("drafts.a1", "versions.r1.a1"):
        [event] = hook_events(
            ADAPTER, {"_id": draft, "title": "T"}, SANITY_SETTINGS, sanity_operation="delete"
        )
        assert isinstance(event, Ignore)
    [whole] = hook_events(ADAPTER, {"_id": "a1", "_type": "post", "title": "T", "body": "B"}, SANITY_SETTINGS)
    assert isinstance(whole, StoryRead)
    with pytest.raises(Unreadable):
        hook_events(ADAPTER, {"title": "T"}, SANITY_SETTINGS)
    [other] = hook_events(ADAPTER, {"_id": "a1", "_type": "author", "name": "T"}, SANITY_SETTINGS)
    assert isinstance(other, Ignore)


def test_sanity_signs_the_time_and_the_body() -> None:
    for request in all_captured("sanity").values():
        verifies_nothing_changed(ADAPTER, request, "sanity-made-up-secret", "sanity-webhook-signature")
        sent = request.headers["sanity-webhook-signature"]
        spoilt = [
            replace(request, body=request.body.replace(b"e", b"f", 1)),
            replace(
                request, headers={**request.headers, "sanity-webhook-signature": sent.replace("t=1", "t=2")}
            ),
        ]
        assert all(ADAPTER.verify(each, ["sanity-made-up-secret"], CHECKED_AT) for each in spoilt)


_DOCUMENT: dict[str, Any] = {
    "_id": "a1", "_type": "article", "_createdAt": "2026-11-28T08:00:00Z", "_updatedAt": "2026-11-28T08:05:00Z",
    "title": "T", "body": [{"_type": "block", "children": [{"_type": "span", "text": "B"}]}],
    "categories": [{"_id": "c", "_type": "category", "title": "World", "slug": {"current": "world"}}],
    "author": {"name": "Ayesha Khan"},
    "mainImage": {"asset": {"_ref": "image-abc-1200x675-png"}, "alt": "A ferry"},
}  # fmt: skip


def test_one_document_is_asked_for_with_the_names_of_what_it_refers_to() -> None:
    assert ADAPTER.fetch is not None
    own = replace(SANITY_SETTINGS, fields={"sections": FieldRule("/rubrics")})
    url = unquote(ADAPTER.fetch("a1", own).url)
    assert url.startswith(f"{SANITY_SETTINGS.base_url}?query=*[_id == $id]{{...,")
    assert 'defined(author._ref)=>{"author":author->{_id,_type,name,title,slug,url}}' in url
    assert 'defined(rubrics[0]._ref)=>{"rubrics":rubrics[]->' in url
    assert url.endswith('&$id="a1"&perspective=published')
    found = fetched_story(ADAPTER, json_answer({"result": [_DOCUMENT]}), "a1", SANITY_SETTINGS)
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["World", "world"]]
    assert found.fields["authors"] == [{"name": "Ayesha Khan"}]
    assert found.fields["images"] == [
        {"url": "https://cdn.sanity.io/images/abc123/production/abc-1200x675.png", "alt": "A ferry"}
    ]
    assert fetched_story(ADAPTER, json_answer({"result": []}), "a1", SANITY_SETTINGS) == Gone("a1")
    for unclear in (
        json_answer({}, 404),
        json_answer({}),
        json_answer({"result": [{**_DOCUMENT, "_id": "b"}]}),
    ):
        with pytest.raises(Unreadable):
            fetched_story(ADAPTER, unclear, "a1", SANITY_SETTINGS)


def test_changes_and_ids_of_sanity_go_on_behind_the_last_id() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(CHECKED_AT, replace(SANITY_SETTINGS, content_type="story"))
    assert '_type == "story" && ' in unquote(first.url)
    assert '$since="2026-11-28T17:10:00Z"' in unquote(first.url)
    many = [{**_DOCUMENT, "_id": f"a{number:02}"} for number in range(50)]
    found = comparison.changed_page(json_answer({"result": many}), first, SANITY_SETTINGS)
    assert len(found.events) == 50
    assert found.next is not None
    assert '$since="2026-11-28T17:10:00Z"&$after="a49"' in unquote(found.next.url)
    assert comparison.changed_page(json_answer({"result": []}), found.next, SANITY_SETTINGS).next is None
    listed = [{"_id": "a1", "_type": "article"}, {"_id": "b", "_type": "author"}]
    ids = comparison.all_ids(SANITY_SETTINGS)
    assert list(comparison.ids_page(json_answer({"result": listed}), ids, SANITY_SETTINGS).ids) == ["a1"]
    full = comparison.ids_page(json_answer({"result": listed * 500}), ids, SANITY_SETTINGS)
    assert full.next is not None
    assert '$after="b"' in unquote(full.next.url)


@given(value=spoiled([json.loads(each.body) for each in all_captured("sanity").values()]))
@settings(max_examples=60, deadline=None)
def test_a_sanity_hook_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("sanity", "01-"), value)


@given(value=spoiled([{"result": [_DOCUMENT] * 2}]), status=st.sampled_from((200, 404)))
@settings(max_examples=60, deadline=None)
def test_any_answer_of_sanity_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read_or_its_fault_told(ADAPTER, json_answer(value, status), SANITY_SETTINGS)
