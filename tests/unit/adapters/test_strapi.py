"""Strapi's webhooks as Strapi 5 sent them, and answers of its API: read for what readers of the site see."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.adapter import FieldRule, Gone, Ignore, SourceSettings, StoryRead, Unreadable
from service.intake.adapters.strapi import ADAPTER
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

STRAPI_SETTINGS = SourceSettings(base_url="https://strapi.example")
_FERRY, _CHINESE_STORY = "e6isuod1pljy67h1066r2y49.en", "ip9y4bogo7sjs2gihbpmeti8.en"
_BULK = {
    0: "tl668o80nid532kedxpyj145.en",
    1: "ukn5m9pc0lllep2eb022olwv.en",
    2: "pdxsokfhknoriegreteyawzh.en",
}
_E = "gk2sagbo92co936906brh7bm.en"


def _story_of(story_id: str, text: str, *sections: str) -> list[CaptureOutcome]:
    return [CaptureOutcome("story", story_id, sections or ("world",), text)]


def _taken_down(story_id: str) -> list[CaptureOutcome]:
    return [CaptureOutcome("gone", story_id)]


_DRAFTS = [
    "06",
    "08",
    "10",
    "12",
    "14",
    "16",
    "18",
    "20",
    "24",
    "28",
    "32",
    "34",
    "36",
    "50",
    "52",
    "54",
    "56",
    "58",
    "60",
    "62",
    "65",
    "66",
    "68",
]
_OF_OTHER_TYPES = ["01", "02", "04", "05", "22"]
# By hand, from the captures.
STRAPI_EXPECTED = {
    **{number: [CaptureOutcome("ignored")] for number in (*_DRAFTS, *_OF_OTHER_TYPES)},
    "09": _story_of(_FERRY, "The first ferry left at dawn & it's calm. Timetable 🚢"),
    "13": _story_of(_FERRY, "The first ferry left at six & it's calm."),
    "17": _story_of(_FERRY, "The first ferry left at seven & it's calm."),
    "21": _story_of(_FERRY, "The first ferry left at seven & it's calm.", "world", "harbour"),
    "25": _story_of(_FERRY, "The first ferry left at seven & it's calm.", "world", "harbour"),
    "26": _taken_down(_FERRY),
    "29": _story_of(_CHINESE_STORY, "第一班渡轮在黎明启航。"),
    "30": _story_of("ip9y4bogo7sjs2gihbpmeti8.ur", "پہلی فیری", "other"),
    "33": _story_of(_BULK[0], "Body 0"),
    "37": _story_of(_BULK[2], "Body 2"),
    "38": _taken_down(_BULK[2]),
    "40": _taken_down(_BULK[1]),
    "41": _story_of(_BULK[0], "Body 0"),
    "42": _story_of(_BULK[1], "Body 1"),
    "44": _taken_down(_BULK[0]),
    "45": _taken_down(_BULK[2]),
    "46": _taken_down(_BULK[2]),
    "48": _taken_down(_BULK[1]),
    "49": _taken_down(_BULK[1]),
    "53": _story_of(_E, "e2", "other"),
    "57": _story_of(_E, "version 1", "other"),
    "61": _story_of(_E, "version 3", "other"),
    "64": _story_of(_E, "version 5", "other"),
    "69": _story_of(_E, "version 7", "other"),
}


@pytest.mark.parametrize("base_url", ["", "https://strapi.example"])
def test_every_capture_of_strapi_has_the_outcome_that_is_written_down(base_url: str) -> None:
    assert wrong_outcomes(ADAPTER, STRAPI_EXPECTED, base_url=base_url) == {}


def _read(name: str, given_settings: SourceSettings = STRAPI_SETTINGS) -> dict[str, Any]:
    [event] = ADAPTER.read(captured("strapi", name), given_settings)
    assert isinstance(event, StoryRead)
    return dict(event.fields)


def test_a_story_of_strapi_has_its_sections_authors_picture_and_correction() -> None:
    fields = _read("17-")
    assert fields["headline"] == 'Harbour reopens: "calm" & safe'
    assert fields["summary"] == "The harbour is open again."
    assert fields["sections"] == [["World", "world"]]
    assert fields["authors"] == [{"name": "Ayesha Khan"}]
    assert fields["correction_note"] == "An earlier version said six."
    assert fields["language"] == "en"
    assert fields["images"] == [
        {"url": "https://strapi.example/uploads/ferry_dce2630ae4.png", "alt": "A ferry at the pier",
         "caption": "Photo: AP", "width": 1200, "height": 675}
    ]  # fmt: skip
    assert '<img src="https://strapi.example/uploads/ferry.png" alt="A ferry"' in fields["body_html"]
    assert 'href="/timetable"' in fields["body_html"]
    assert "5 &lt; 6" in fields["body_html"]


def test_a_bulk_publication_is_as_new_as_its_publication_not_as_its_last_edit() -> None:
    assert _read("41-")["updated_at"] == "2026-11-28T17:18:32.569000Z"
    assert _read("09-")["updated_at"] == "2026-11-28T17:18:09.389000Z"


def test_a_site_says_itself_where_its_body_is_and_what_it_is_written_in() -> None:
    own = SourceSettings(
        fields={"body_html": FieldRule("/blocks", "strapi-blocks"), "headline": FieldRule("/slug")}
    )
    fields = _read("09-", own)
    assert fields["body_html"] == "<p>Blocks body <strong>bold</strong></p>"
    assert fields["headline"] == "harbour-reopens"


def test_a_type_without_drafts_is_public_as_soon_as_it_is_saved() -> None:
    entry = {"id": 7, "documentId": "d7", "title": "T", "body": "B", "publishedAt": "2026-11-28T08:00:00Z"}
    [event] = hook_events(
        ADAPTER, {"event": "entry.update", "model": "post", "entry": entry}, STRAPI_SETTINGS
    )
    assert isinstance(event, StoryRead)
    assert event.fields["id"] == "d7"
    [old] = hook_events(
        ADAPTER,
        {"event": "entry.publish", "model": "article", "entry": {"id": 7, "title": "T"}},
        STRAPI_SETTINGS,
    )
    assert isinstance(old, StoryRead)
    assert old.fields["id"] == "7"


def test_another_name_of_the_type_is_a_setting() -> None:
    hook = {
        "event": "entry.delete",
        "model": "report",
        "uid": "api::report.report",
        "entry": {"documentId": "d"},
    }
    assert isinstance(hook_events(ADAPTER, hook, STRAPI_SETTINGS)[0], Ignore)
    for name in ("report", "api::report.report"):
        assert hook_events(ADAPTER, hook, SourceSettings(content_type=name)) == [Gone("d")]


def test_a_hook_that_is_not_strapis_is_held() -> None:
    for hook in ({}, {"event": "entry.publish", "model": "article"}, {"event": "entry.publish", "model": "article",
                 "entry": {"documentId": "d", "publishedAt": "x"}}):  # fmt: skip
        with pytest.raises(Unreadable):
            hook_events(ADAPTER, hook, STRAPI_SETTINGS)


def test_strapi_bears_the_secret_and_nothing_else_opens_the_door() -> None:
    for request in all_captured("strapi").values():
        verifies_nothing_changed(ADAPTER, request, "strapi-made-up-token", "authorization")


_LISTED = {
    "id": 9, "documentId": "a1", "title": "T", "body": "**B**", "publishedAt": "2026-11-28T08:00:00.000Z",
    "updatedAt": "2026-11-28T08:00:00.000Z", "sections": [{"name": "World", "slug": "world"}],
}  # fmt: skip


def _page(*entries: Any, page: int = 1, of: int = 1) -> Any:
    return json_answer({"data": list(entries), "meta": {"pagination": {"page": page, "pageCount": of}}})


def test_one_story_is_asked_for_as_a_list_for_strapis_404_proves_nothing() -> None:
    assert ADAPTER.fetch is not None
    url = unquote(ADAPTER.fetch("a1.zh-Hans", STRAPI_SETTINGS).url)
    assert url.startswith(
        "https://strapi.example/api/articles?filters[documentId][$eq]=a1&populate=*&status=published"
    )
    assert url.endswith("locale=zh-Hans")
    assert fetched_story(ADAPTER, _page(), "a1", STRAPI_SETTINGS) == Gone("a1")
    found = fetched_story(ADAPTER, _page(_LISTED), "a1", STRAPI_SETTINGS)
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["World", "world"]]
    not_found = {"data": None, "error": {"status": 404, "name": "NotFoundError", "message": "Not Found"}}
    for unclear in (
        json_answer(not_found, 404),
        _page({**_LISTED, "documentId": "b"}),
        json_answer({}),
        json_answer([]),
    ):
        with pytest.raises(Unreadable):
            fetched_story(ADAPTER, unclear, "a1", STRAPI_SETTINGS)


def test_changes_and_ids_of_strapi_are_read_page_by_page() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(
        CHECKED_AT, SourceSettings("https://strapi.example", content_type="api::story.story")
    )
    assert "/api/stories?" in first.url
    assert "[publishedAt][$gte]=2026-11-28T17:10:00Z" in unquote(first.url)
    found = comparison.changed_page(_page(_LISTED, {**_LISTED, "title": ""}, of=2), first, STRAPI_SETTINGS)
    assert [type(each).__name__ for each in found.events] == ["StoryRead", "Hint"]
    assert found.next is not None
    assert "pagination[page]=2" in unquote(found.next.url)
    assert "[$gte]=2026-11-28T17:10:00Z" in unquote(found.next.url)
    assert comparison.changed_page(_page(_LISTED, page=2, of=2), found.next, STRAPI_SETTINGS).next is None
    ids = comparison.ids_page(
        _page(_LISTED, {**_LISTED, "locale": "ur"}, {**_LISTED, "documentId": "d", "publishedAt": None}),
        comparison.all_ids(STRAPI_SETTINGS), STRAPI_SETTINGS,
    )  # fmt: skip
    assert list(ids.ids) == ["a1", "a1.ur"]


def test_a_strapi_that_counts_no_pages_is_read_to_its_end() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.all_ids(STRAPI_SETTINGS)
    uncounted = {"pagination": {"page": 1, "pageSize": 2}}  # api.rest.withCount: false, maxLimit: 2
    full = json_answer({"data": [_LISTED, {**_LISTED, "documentId": "b"}], "meta": uncounted})
    page = comparison.ids_page(full, first, STRAPI_SETTINGS)
    assert page.next is not None
    assert "pagination[page]=2" in unquote(page.next.url)
    end = json_answer({"data": [_LISTED], "meta": uncounted})
    assert comparison.ids_page(end, page.next, STRAPI_SETTINGS).next is None


def test_the_ids_of_a_type_without_localization_are_asked_for_without_its_locale() -> None:
    """Strapi 5.54 answered so: without that, an unpublished story of such a type was never found by a comparison."""
    file = CAPTURES / "strapi" / "api" / "ids-without-localization.json"
    refused, listed = json.loads(file.read_text(encoding="utf-8"))
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.all_ids(STRAPI_SETTINGS)
    assert refused["status"] in first.expected
    page = comparison.ids_page(json_answer(refused["answer"], 400), first, STRAPI_SETTINGS)
    assert page.ids == []
    assert page.next is not None
    assert "]=locale" not in unquote(page.next.url)
    found = comparison.ids_page(json_answer(listed["answer"]), page.next, STRAPI_SETTINGS)
    assert list(found.ids) == ["i73s9pmgv21fwrhq63ve4feo"]
    assert found.next is None
    with pytest.raises(Unreadable):
        comparison.ids_page(json_answer(refused["answer"], 400), page.next, STRAPI_SETTINGS)


@given(value=spoiled([json.loads(each.body) for each in all_captured("strapi").values()]))
@settings(max_examples=60, deadline=None)
def test_a_strapi_hook_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("strapi", "09-"), value)


@given(
    value=spoiled([{"data": [_LISTED], "meta": {"pagination": {"page": 1, "pageCount": 2}}}]),
    status=st.sampled_from((200, 404)),
)
@settings(max_examples=60, deadline=None)
def test_any_answer_of_strapi_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read_or_its_fault_told(ADAPTER, json_answer(value, status), STRAPI_SETTINGS)
