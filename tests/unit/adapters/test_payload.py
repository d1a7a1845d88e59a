"""Payload's hooks as Payload 3 fired them: a draft over a published story takes nothing down."""

from __future__ import annotations

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
from service.intake.adapters.payload import ADAPTER
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

PAYLOAD_SETTINGS = SourceSettings(base_url="https://payload.example", language="en")
_ASK, _SKIP = "hint", "ignored"


def _doc(story_id: str, text: str, *sections: str) -> list[CaptureOutcome]:
    return [CaptureOutcome("story", story_id, sections or ("world",), text)]


def _of(kind: str, story_id: str = "") -> list[CaptureOutcome]:
    return [CaptureOutcome(kind, story_id)]


# By hand, from the captures, for a source in English that can ask Payload.
PAYLOAD_EXPECTED = {
    "01": _of(_SKIP),
    "02": _of(_ASK, "1"),  # a draft that was one before: the document may have been published before that
    "04": _of(_ASK, "1"),
    "05": _doc("1", "The first ferry left at six."),
    "06": _doc("1", "The first ferry left at seven."),
    "08": _of(_SKIP),  # Urdu
    "09": _of(_ASK, "1"),
    "10": _doc("1", "The first ferry left at seven.", "world", "harbour"),
    "12": _doc("1", "The first ferry left at seven.", "world", "harbour"),
    "13": _of("gone", "1"),
    "14": _of(_SKIP),  # Chinese
    "16": _doc("3", "b2"),
    "17": _doc("4", "b3"),
    "18": _doc("4", "b3"),
    "20": _doc("2", "b1"),
    "21": _of(_ASK, "4"),
    "22": _of(_ASK, "3"),
    "24": _doc("2", "b1"),
    "25": _doc("3", "b2"),
    "26": _of(_ASK, "3"),
    "28": _of("gone", "2"),
    "29": _of("gone", "4"),
    "30": _doc("2", "new"),
}


def test_every_capture_of_payload_has_the_outcome_that_is_written_down() -> None:
    options = {"base_url": "https://payload.example", "language": "en"}
    assert wrong_outcomes(ADAPTER, PAYLOAD_EXPECTED, **options) == {}


def test_without_a_language_each_translation_is_a_story_of_its_own() -> None:
    whole = {
        **PAYLOAD_EXPECTED,
        "02": _of(_SKIP),  # and there is nobody to ask
        "08": _doc("1.ur", "پہلی فیری", "world", "harbour"),
        "14": _doc("1.zh-Hans", "第一班渡轮在黎明启航。"),
    }
    assert wrong_outcomes(ADAPTER, whole) == {}
    compared = {"13": [*_of("gone", "1"), *_of("bell")], "28": [*_of("gone", "2"), *_of("bell")],
                "29": [*_of("gone", "4"), *_of("bell")]}  # fmt: skip
    asked = {**whole, **compared, "02": _of(_ASK, "1")}
    assert wrong_outcomes(ADAPTER, asked, base_url="https://payload.example") == {}


ANY_LANGUAGE = SourceSettings(base_url="https://payload.example")


def _hook(document: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"event": "afterChange", "operation": "update", "doc": {"id": 7, "title": "T", **document}, **more}


def test_the_end_of_a_document_is_that_of_all_its_translations() -> None:
    hook = {**_hook({}), "event": "afterDelete", "locale": "ur", "locales": ["en", "ur", "zh-Hans"]}
    ends = [Gone("7"), Gone("7.ur"), Gone("7.zh-Hans")]
    trashed = _hook({"deletedAt": "2026-11-28T17:24:02.500Z"}, locale="en", locales=["en", "ur", "zh-Hans"])
    for options in (ANY_LANGUAGE, SourceSettings()):
        assert hook_events(ADAPTER, hook, options) == ends
        assert hook_events(ADAPTER, trashed, options) == ends
    assert hook_events(ADAPTER, hook, PAYLOAD_SETTINGS) == [Gone("7")]


def test_a_draft_is_asked_for_in_all_its_languages_for_unpublishing_ends_them_all() -> None:
    for before in ("draft", "published"):
        hook = _hook({"_status": "draft"}, locale="ur", locales=["en", "ur"], previousStatus=before)
        assert hook_events(ADAPTER, hook, ANY_LANGUAGE) == [Hint(["7.ur", "7"])]
    assert isinstance(hook_events(ADAPTER, _hook({"_status": "draft"}), ANY_LANGUAGE)[0], Ignore)


def test_a_first_publication_is_one_of_all_translations_and_a_change_of_one_alone() -> None:
    first = _hook({}, locale="ur", locales=["en", "ur"], previousStatus="draft")
    story, others = hook_events(ADAPTER, first, ANY_LANGUAGE)
    assert isinstance(story, StoryRead)
    assert (story.fields["id"], story.fields["language"], others) == ("7.ur", "ur", Hint(["7"]))
    assert len(hook_events(ADAPTER, {**first, "previousStatus": "published"}, ANY_LANGUAGE)) == 1


def test_a_change_in_all_languages_at_once_is_asked_for() -> None:
    hook = _hook({"title": {"en": "T", "ur": "ط"}}, locale="all", locales=["en", "ur"])
    assert hook_events(ADAPTER, hook, ANY_LANGUAGE) == [Hint(["7", "7.ur"])]
    assert hook_events(ADAPTER, hook, PAYLOAD_SETTINGS) == [Hint(["7"])]


def test_a_translation_is_asked_for_in_its_own_language_alone() -> None:
    assert ADAPTER.fetch is not None
    wanted = "where[id][equals]=7&depth=1&limit=2&locale={}&fallback-locale=none&draft=false"
    for story_id, locale in (("7.zh-Hans", "zh-Hans"), ("7", "en")):
        assert unquote(ADAPTER.fetch(story_id, ANY_LANGUAGE).url).endswith(wanted.format(locale))
    found = fetched_story(ADAPTER, json_answer({"docs": [{"id": 7, "title": "ط"}]}), "7.ur", ANY_LANGUAGE)
    assert isinstance(found, StoryRead)
    assert (found.fields["id"], found.fields["language"]) == ("7.ur", "ur")
    untranslated = json_answer({"docs": [{"id": 7, "title": None, "image": 3}]})
    assert fetched_story(ADAPTER, untranslated, "7.ur", ANY_LANGUAGE) == Gone("7.ur")
    english_now = json_answer({"docs": [{"id": 7, "title": "T"}]})
    assert fetched_story(ADAPTER, english_now, "7.ur", PAYLOAD_SETTINGS) == Gone("7.ur")


def test_a_hook_and_a_look_up_say_the_same_of_a_storys_language() -> None:
    for options, language in ((ANY_LANGUAGE, None), (PAYLOAD_SETTINGS, "en")):
        [story] = hook_events(ADAPTER, _hook({}, locale="en", previousStatus="published"), options)
        assert isinstance(story, StoryRead)
        found = fetched_story(ADAPTER, json_answer({"docs": [{"id": 7, "title": "T"}]}), "7", options)
        assert isinstance(found, StoryRead)
        assert story.fields.get("language") == found.fields.get("language") == language
    [alone] = hook_events(ADAPTER, _hook({}, locale="en"), SourceSettings())
    assert isinstance(alone, StoryRead)
    assert alone.fields["language"] == "en"


def test_a_comparison_has_every_translation_that_has_a_headline() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    both = {"id": 7, "title": {"en": "T", "ur": "ط", "de": ""}, "_status": "published"}
    plain = {"id": 8, "title": "One language", "content": _DOC["content"]}
    answer = json_answer({"docs": [both, plain, {**both, "id": 9, "_status": "draft"}]})
    changes = comparison.changed(CHECKED_AT, ANY_LANGUAGE)
    assert "locale=all" in changes.url
    first, second, third = comparison.changed_page(answer, changes, ANY_LANGUAGE).events
    assert (first, third) == (Hint(["7", "7.ur"]), Hint(["9", "9.ur"]))
    assert isinstance(second, StoryRead)
    ids = comparison.all_ids(replace(ANY_LANGUAGE, fields={"headline": FieldRule("/meta/line")}))
    assert "locale=all" in ids.url
    assert "select[meta]=true" in unquote(ids.url)
    assert list(comparison.ids_page(answer, ids, ANY_LANGUAGE).ids) == ["7", "7.ur", "8"]


def _shown(document: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A hook of the code on our page: it has the document as readers see it."""
    return _hook({"updatedAt": "2026-11-28T17:24:02.500Z", **document}, shown=True, **more)


@pytest.mark.parametrize("options", [SourceSettings(), ANY_LANGUAGE, PAYLOAD_SETTINGS])
def test_a_story_that_is_unpublished_after_its_draft_was_saved_goes_at_once(options: SourceSettings) -> None:
    hook = _shown({"_status": "draft"}, locale="en", previousStatus="draft")
    assert hook_events(ADAPTER, hook, options) == [
        Gone("7", updated_at=datetime(2026, 11, 28, 17, 24, 2, 500_000, UTC))
    ]


def test_unpublishing_ends_all_translations_though_nobody_can_be_asked() -> None:
    hook = _shown({"_status": "draft"}, locale="ur", locales=["en", "ur"], previousStatus="published")
    ends = hook_events(ADAPTER, hook, SourceSettings())
    assert [each.id for each in ends if isinstance(each, Gone)] == ["7.ur", "7"]


def test_a_draft_over_a_published_story_leaves_what_readers_see() -> None:
    hook = _shown({"_status": "published"}, locale="en", previousStatus="draft")
    [story] = hook_events(ADAPTER, hook, SourceSettings())
    assert isinstance(story, StoryRead)
    assert story.fields["headline"] == "T"


def test_a_translation_that_was_taken_back_is_gone() -> None:
    hook = _shown({"title": None, "_status": "published"}, locale="ur", previousStatus="published")
    assert hook_events(ADAPTER, hook, SourceSettings()) == [Gone("7.ur")]
    assert hook_events(ADAPTER, hook, ANY_LANGUAGE) == [Hint(["7.ur"])]


_ROW_ID, _ROW_UUID = "64f0c0ffee64f0c0ffee64f0", "0190c0ff-ee00-7000-8000-0190c0ffee00"


@pytest.mark.parametrize(
    "bare",
    [
        {"sections": [1]},
        {"category": _ROW_ID},
        {"authors": [_ROW_UUID]},
        {"heroImage": 3},
        {"tags": [{"relationTo": "tags", "value": 2}]},
    ],
)
def test_a_hook_with_bare_ids_from_an_editors_screen_is_asked_for(bare: dict[str, Any]) -> None:
    hook = _hook(bare, locale="en", previousStatus="published")
    assert hook_events(ADAPTER, hook, ANY_LANGUAGE) == [Hint(["7"])]
    assert isinstance(hook_events(ADAPTER, {**hook, "shown": True}, ANY_LANGUAGE)[0], StoryRead)
    named = {"sections": ["world"], "authors": [{"id": 1, "name": "A"}], "tags": "sea, port"}
    assert isinstance(hook_events(ADAPTER, _hook(named, locale="en"), ANY_LANGUAGE)[0], StoryRead)


def test_an_author_of_whom_a_hook_has_the_number_alone_has_no_name() -> None:
    [story] = hook_events(ADAPTER, _hook({"authors": [1, {"name": "Ayesha Khan"}]}), SourceSettings())
    assert isinstance(story, StoryRead)
    assert story.fields["authors"] == [{"name": "Ayesha Khan"}]


def test_a_source_with_a_language_has_no_story_in_another() -> None:
    urdu = replace(PAYLOAD_SETTINGS, language="ur")
    [event] = ADAPTER.read(captured("payload", "08-"), urdu)
    assert isinstance(event, StoryRead)
    assert event.fields["language"] == "ur"
    assert isinstance(ADAPTER.read(captured("payload", "10-"), urdu)[0], Ignore)
    assert list(ADAPTER.read(captured("payload", "13-"), urdu)) == [Gone("1")]


def test_a_story_of_payload_has_its_lexical_text_and_no_address_of_staff() -> None:
    hook = json.loads(captured("payload", "05-").body)
    hook["doc"]["body"]["root"]["children"].append(
        {"type": "upload", "value": {"url": "/api/media/file/f.png", "alt": "F"}}
    )
    [event] = hook_events(ADAPTER, hook, PAYLOAD_SETTINGS)
    assert isinstance(event, StoryRead)
    fields = event.fields
    assert fields["headline"] == "Harbour reopens"
    assert fields["authors"] == [{"name": "Ayesha Khan"}]
    assert fields["sections"] == [["World", "world"]]
    assert fields["published_at"] == "2026-11-28T17:24:00.630000Z"
    assert fields["updated_at"] == "2026-11-28T17:24:01.665000Z"
    assert (
        '<figure><img src="https://payload.example/api/media/file/f.png" alt="F"></figure>'
        in fields["body_html"]
    )
    assert "herald.example" not in str(fields)


def test_another_document_under_a_deleted_ones_id_was_made_at_another_time() -> None:
    [first] = ADAPTER.read(captured("payload", "24-"), PAYLOAD_SETTINGS)
    [second] = ADAPTER.read(captured("payload", "30-"), PAYLOAD_SETTINGS)
    assert isinstance(first, StoryRead)
    assert isinstance(second, StoryRead)
    assert first.fields["id"] == second.fields["id"]
    assert first.fields["published_at"] != second.fields["published_at"]


def test_a_document_in_the_trash_is_gone_though_its_status_says_published() -> None:
    doc = {"id": 1, "title": "T", "_status": "published", "deletedAt": "2026-11-28T17:24:02.500Z"}
    hook = {"event": "afterChange", "doc": doc, "previousStatus": "published"}
    assert hook_events(ADAPTER, hook, PAYLOAD_SETTINGS) == [Gone("1")]
    assert fetched_story(ADAPTER, json_answer({"docs": [doc]}), "1", PAYLOAD_SETTINGS) == Gone("1")


def test_other_collections_are_no_stories_and_what_is_not_payloads_is_held() -> None:
    hook = {"event": "afterChange", "collection": "media", "doc": {"id": 1, "title": "T"}}
    assert isinstance(hook_events(ADAPTER, hook, PAYLOAD_SETTINGS)[0], Ignore)
    assert isinstance(hook_events(ADAPTER, hook, SourceSettings(content_type="media"))[0], StoryRead)
    for other in ({}, {"event": "afterChange"}, {"event": "afterChange", "doc": {"id": 1}}):
        with pytest.raises(Unreadable):
            hook_events(ADAPTER, other, PAYLOAD_SETTINGS)


def test_payload_signs_the_time_and_the_body() -> None:
    for request in all_captured("payload").values():
        verifies_nothing_changed(ADAPTER, request, "payload-made-up-secret", "x-signature")
    request = captured("payload", "05-")
    spoilt = [
        replace(request, body=request.body.replace(b"e", b"f", 1)),
        replace(request, body=request.body + b" "),
        replace(request, headers={**request.headers, "x-timestamp": "1795886640857"}),
    ]
    assert all(ADAPTER.verify(each, ["payload-made-up-secret"], CHECKED_AT) for each in spoilt)


_DOC: dict[str, Any] = {
    "id": "a1", "title": "T", "_status": "published", "updatedAt": "2026-11-28T17:24:00.630Z",
    "content": {"root": {"children": [{"type": "paragraph", "children": [{"type": "text", "text": "B"}]}]}},
    "categories": [{"id": 1, "title": "World"}],
}  # fmt: skip


def test_a_document_is_asked_for_without_its_drafts() -> None:
    assert ADAPTER.fetch is not None
    request = ADAPTER.fetch("7", replace(PAYLOAD_SETTINGS, content_type="posts"))
    assert unquote(request.url) == (
        "https://payload.example/api/posts?where[id][equals]=7&depth=1&limit=2&draft=false&locale=en"
    )
    assert request.headers["Authorization"] == "users API-Key {token}"
    found = fetched_story(ADAPTER, json_answer({"docs": [_DOC]}), "a1", PAYLOAD_SETTINGS)
    assert isinstance(found, StoryRead)
    assert found.fields["body_html"] == "<p>B</p>"
    assert found.fields["sections"] == [["World"]]
    draft = json_answer({"docs": [{**_DOC, "_status": "draft"}]})
    assert fetched_story(ADAPTER, draft, "a1", PAYLOAD_SETTINGS) == Gone("a1")
    assert fetched_story(ADAPTER, json_answer({"docs": []}), "a1", PAYLOAD_SETTINGS) == Gone("a1")
    for unclear in (json_answer({}, 404), json_answer({}), json_answer({"docs": [{**_DOC, "id": 2}]})):
        with pytest.raises(Unreadable):
            fetched_story(ADAPTER, unclear, "a1", PAYLOAD_SETTINGS)


def test_changes_and_ids_of_payload_are_read_page_by_page() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(CHECKED_AT, PAYLOAD_SETTINGS)
    assert "where[updatedAt][greater_than_equal]=2026-11-28T17:10:00Z" in unquote(first.url)
    docs = {"docs": [_DOC, {**_DOC, "id": 2, "_status": "draft"}], "hasNextPage": True}
    found = comparison.changed_page(json_answer(docs), first, PAYLOAD_SETTINGS)
    assert isinstance(found.events[0], StoryRead)
    assert found.events[1] == Gone("2")
    assert found.next is not None
    assert "page=2" in found.next.url
    page = comparison.ids_page(json_answer(docs), comparison.all_ids(PAYLOAD_SETTINGS), PAYLOAD_SETTINGS)
    assert list(page.ids) == ["a1"]
    assert page.next is not None
    assert comparison.ids_page(json_answer({"docs": []}), page.next, PAYLOAD_SETTINGS).next is None


@given(value=spoiled([json.loads(each.body) for each in all_captured("payload").values()]))
@settings(max_examples=60, deadline=None)
def test_a_payload_hook_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("payload", "05-"), value)


@given(value=spoiled([{"docs": [_DOC], "hasNextPage": True}]), status=st.sampled_from((200, 404)))
@settings(max_examples=60, deadline=None)
def test_any_answer_of_payload_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read_or_its_fault_told(ADAPTER, json_answer(value, status), PAYLOAD_SETTINGS)
