"""Directus's flows as Directus 12 ran them, and answers of its API: what changed is asked for, what is gone is gone."""

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
from service.intake.adapters.directus import ADAPTER
from tests.adapter_checks import (
    CHECKED_AT,
    any_answer_is_read_or_its_fault_told,
    fetched_story,
    hook_events,
    json_answer,
    verifies_nothing_changed,
    wrong_outcomes,
)
from tests.captured_hooks import CAPTURES, CaptureOutcome, all_captured, captured, reads_or_says_why, spoiled

DIRECTUS_SETTINGS = SourceSettings(base_url="https://directus.example")


def _asked_for(ids: str) -> list[CaptureOutcome]:
    return [CaptureOutcome("hint", ids)]


# By hand, from the captures. A trigger has the changed fields alone; an item that the flow has read is whole.
DIRECTUS_EXPECTED = {
    "01": _asked_for("1"),
    "02": [CaptureOutcome("gone", "1")],  # a draft: never here, so nothing is taken down
    "04": _asked_for("1"),
    "05": _asked_for("1"),
    "06": _asked_for("1"),
    "08": _asked_for("1"),
    "09": _asked_for("1"),
    "10": _asked_for("2"),
    "12": _asked_for("3"),
    "13": [CaptureOutcome("story", "2", ("other",), "b0")],
    "14": [CaptureOutcome("story", "3", ("other",), "b1")],
    "16": _asked_for("2 3 4"),
    "17": [CaptureOutcome("gone", each) for each in ("2", "3", "4")],
    "18": _asked_for("5"),
    "20": _asked_for("6"),
    "21": [CaptureOutcome("story", "6", ("other",), "پہلی فیری")],
    "22": _asked_for("6"),
}


def test_every_capture_of_directus_has_the_outcome_that_is_written_down() -> None:
    # Directus says no language.
    assert (
        wrong_outcomes(ADAPTER, DIRECTUS_EXPECTED, base_url="https://directus.example", language="en") == {}
    )


_ITEM: dict[str, Any] = {
    "id": 1, "status": "published", "title": 'Harbour "calm" & safe', "body": "<p>At dawn &amp; calm.</p>",
    "summary": "Open again.", "author": {"first_name": "Ayesha", "last_name": "Khan", "email": "a@herald.example"},
    "image": {"id": "5c1f", "title": "Ferry", "description": "A ferry", "width": 1200, "height": 675},
    "date_updated": "2026-11-28T17:35:20.254Z", "publish_at": "2026-12-01T09:00:00", "correction_note": None,
    "sections": [{"id": 4, "sections_id": {"id": 1, "name": "World", "slug": "world"}}],
}  # fmt: skip


def test_an_item_of_directus_has_the_names_at_the_end_of_its_relations_and_no_address_of_staff() -> None:
    found = fetched_story(ADAPTER, json_answer({"data": [_ITEM]}), "1", DIRECTUS_SETTINGS)
    assert isinstance(found, StoryRead)
    assert dict(found.fields) == {
        "id": "1", "headline": 'Harbour "calm" & safe', "summary": "Open again.",
        "body_html": "<p>At dawn &amp; calm.</p>", "sections": [["World", "world"]],
        "authors": [{"name": "Ayesha Khan"}],
        "images": [{"url": "https://directus.example/assets/5c1f", "alt": "A ferry", "width": 1200, "height": 675}],
        "embargo_until": "2026-12-01T09:00:00Z", "updated_at": "2026-11-28T17:35:20.254000Z",
    }  # fmt: skip


def test_a_row_of_a_junction_that_names_the_story_first_is_read_for_its_section() -> None:
    """Directus 12.4 answered so for a token that may read the junction: each row has the whole story in it."""
    file = CAPTURES / "directus" / "api" / "item-with-junction.json"
    answer = json_answer(json.loads(file.read_text(encoding="utf-8")))
    found = fetched_story(ADAPTER, answer, "1", DIRECTUS_SETTINGS)
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["World", "world"]]


def test_a_row_of_a_junction_that_gives_the_storys_number_alone_is_read_for_its_section() -> None:
    row = {"id": 4, "articles_id": 1, "sections_id": 7}
    named = replace(DIRECTUS_SETTINGS, content_type="articles")
    found = fetched_story(ADAPTER, json_answer({"data": [{**_ITEM, "sections": [row]}]}), "1", named)
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["7"]]


@pytest.mark.parametrize("status", ["draft", "archived", "in review", 7])
def test_an_item_of_any_other_status_than_published_is_gone(status: object) -> None:
    answer = json_answer({"data": [{**_ITEM, "status": status}]})
    assert fetched_story(ADAPTER, answer, "1", DIRECTUS_SETTINGS) == Gone("1")


def test_a_site_says_itself_where_its_status_is() -> None:
    own = replace(DIRECTUS_SETTINGS, fields={"status": FieldRule("/state")})
    assert fetched_story(ADAPTER, json_answer({"data": [{**_ITEM, "state": "off"}]}), "1", own) == Gone("1")
    found = fetched_story(
        ADAPTER, json_answer({"data": [{**_ITEM, "status": "x", "state": "live"}]}), "1", own
    )
    assert isinstance(found, StoryRead)


def test_triggers_name_items_in_each_of_directuss_ways() -> None:
    uuid = "0b1d8a34-0a52-4a52-9d4f-0f7ad1a0c111"
    for hook, ids in (
        ({"event": "posts.items.create", "key": uuid, "collection": "posts"}, [uuid]),
        ({"event": "posts.items.update", "keys": ["1", 2, "2"], "collection": "posts"}, ["1", "2"]),
        ({"event": "items.update", "keys": ["9"], "collection": "news"}, ["9"]),
    ):
        assert hook_events(ADAPTER, hook, DIRECTUS_SETTINGS) == [Hint(ids)]
    deleted = {"event": "articles.items.delete", "payload": [7], "collection": "articles"}
    assert hook_events(ADAPTER, deleted, DIRECTUS_SETTINGS) == [Gone("7")]
    assert isinstance(
        hook_events(ADAPTER, {**deleted, "collection": "sections"}, DIRECTUS_SETTINGS)[0], Ignore
    )
    for hook in ({}, {"event": "articles.items.update", "collection": "articles", "keys": "undefined"}):
        with pytest.raises(Unreadable):
            hook_events(ADAPTER, hook, DIRECTUS_SETTINGS)


def test_directus_bears_the_secret_and_a_flow_without_it_is_told_how() -> None:
    for request in all_captured("directus").values():
        if request.target == "/directus/trigger":
            verifies_nothing_changed(ADAPTER, request, "directus-made-up", "authorization")
    refusal = ADAPTER.verify(captured("directus", "02-"), ["directus-made-up"], CHECKED_AT)
    assert refusal is not None
    assert "Authorization" in refusal


def test_one_item_is_asked_for_as_a_list_for_directuss_403_proves_nothing() -> None:
    assert ADAPTER.fetch is not None
    request = ADAPTER.fetch("a/1", replace(DIRECTUS_SETTINGS, content_type="stories"))
    assert (
        request.url
        == "https://directus.example/items/stories?filter%5Bid%5D%5B_eq%5D=a%2F1&fields=%2A.%2A.%2A"
    )
    assert fetched_story(ADAPTER, json_answer({"data": []}), "1", DIRECTUS_SETTINGS) == Gone("1")
    for unclear in (json_answer({}, 403), json_answer({}), json_answer({"data": [{**_ITEM, "id": 2}]})):
        with pytest.raises(Unreadable):
            fetched_story(ADAPTER, unclear, "1", DIRECTUS_SETTINGS)


def test_a_collection_without_a_time_of_creation_or_a_status_is_compared_all_the_same() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(CHECKED_AT, DIRECTUS_SETTINGS)
    assert "[date_created][_gte]=2026-11-28T17:10:00Z" in unquote(first.url)
    simpler = comparison.changed_page(json_answer({}, 403), first, DIRECTUS_SETTINGS).next
    assert 403 in first.expected
    assert simpler is not None
    assert "filter[date_updated][_gte]=2026-11-28T17:10:00Z" in unquote(simpler.url)
    assert "date_created" not in simpler.url
    with pytest.raises(Unreadable):
        comparison.changed_page(json_answer({}, 403), simpler, DIRECTUS_SETTINGS)
    ids = comparison.all_ids(DIRECTUS_SETTINGS)
    bare = comparison.ids_page(json_answer({}, 403), ids, DIRECTUS_SETTINGS).next
    assert bare is not None
    assert "fields=id&" in bare.url
    with pytest.raises(Unreadable):
        comparison.ids_page(json_answer({}, 403), bare, DIRECTUS_SETTINGS)


def test_changes_and_ids_of_directus_are_read_page_by_page() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(CHECKED_AT, DIRECTUS_SETTINGS)
    archived = {**_ITEM, "id": 2, "status": "archived"}
    found = comparison.changed_page(json_answer({"data": [_ITEM, archived] * 25}), first, DIRECTUS_SETTINGS)
    assert found.events[1] == Gone("2")
    assert found.next is not None
    assert found.next.url.endswith("page=2")
    assert comparison.changed_page(json_answer({"data": []}), found.next, DIRECTUS_SETTINGS).next is None
    listed = [{"id": 1, "status": "published"}, {"id": 2, "status": "draft"}]
    page = comparison.ids_page(
        json_answer({"data": listed * 500}), comparison.all_ids(DIRECTUS_SETTINGS), DIRECTUS_SETTINGS
    )
    assert set(page.ids) == {"1"}
    assert page.next is not None


def test_a_summary_of_an_editor_that_makes_html_is_its_text_and_a_language_that_is_a_relation_its_code() -> (
    None
):
    item = {
        **_ITEM,
        "summary": "<p>Ferries &amp; trams run again.</p><p>Fares are as before.</p>",
        "language": {"code": "ur", "name": "Urdu"},
    }
    hook = json.dumps({"event": "articles.items.update", "collection": "articles", "item": item}).encode()
    request = replace(captured("directus", "13-"), body=hook)
    [story] = ADAPTER.read(request, DIRECTUS_SETTINGS)
    assert isinstance(story, StoryRead)
    assert " ".join(story.fields["summary"].split()) == "Ferries & trams run again. Fares are as before."
    assert story.fields["language"] == "ur"
    item["summary"] = "5 < 7, and 9 > 8"
    hook = json.dumps({"event": "articles.items.update", "collection": "articles", "item": item}).encode()
    [story] = ADAPTER.read(replace(request, body=hook), DIRECTUS_SETTINGS)
    assert isinstance(story, StoryRead)
    assert story.fields["summary"] == "5 < 7, and 9 > 8"


def test_a_directus_that_gives_fewer_items_than_asked_for_is_read_to_its_end() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.all_ids(DIRECTUS_SETTINGS)
    capped = json_answer({"data": [{"id": each, "status": "published"} for each in range(100)]})
    page = comparison.ids_page(capped, first, DIRECTUS_SETTINGS)  # QUERY_LIMIT_MAX=100
    assert page.next is not None
    assert page.next.url.endswith("page=2")
    assert comparison.ids_page(json_answer({"data": []}), page.next, DIRECTUS_SETTINGS).next is None


@given(value=spoiled([json.loads(each.body) for each in all_captured("directus").values()]))
@settings(max_examples=60, deadline=None)
def test_a_directus_hook_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("directus", "13-"), value)


@given(
    value=spoiled([{"data": [_ITEM, _ITEM]}, {"data": [{**_ITEM, "id": "a1"}]}]),
    status=st.sampled_from((200, 403)),
)
@settings(max_examples=60, deadline=None)
def test_any_answer_of_directus_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read_or_its_fault_told(ADAPTER, json_answer(value, status), DIRECTUS_SETTINGS)
