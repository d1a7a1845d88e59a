"""Storyblok's webhooks as its documentation has them, and answers of its Content Delivery API."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.adapter import (
    ApiAnswer,
    FieldRule,
    Gone,
    Hint,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.storyblok import ADAPTER
from service.intake.rich_text import storyblok as rich_text
from service.intake.section_map import KnownSections
from tests.captured_hooks import (
    CaptureOutcome,
    agrees,
    all_captured,
    any_json,
    captured,
    outcomes,
    reads_or_says_why,
    spoiled,
    with_one_letter_changed,
)
from tests.hosted_systems import any_answer_is_read, api_answer, hook_of, looked_up

STORYBLOK_SECRET = "storyblok-made-up-secret"
SENT_AT = datetime(2026, 11, 28, 17, 10, tzinfo=UTC)
SPACE = SourceSettings(base_url="https://api.storyblok.example", has_token=True)
FERRY = "107350372"
EXPECTED = {
    "01": CaptureOutcome("hint", FERRY),
    "02": CaptureOutcome("gone", FERRY),
    "03": CaptureOutcome("gone", FERRY),
    "04": CaptureOutcome("hint", FERRY),
}
VERSION = {"space": {"id": 606, "name": "herald", "domain": "https://herald.example/", "version": 1795856700}}
STORY: dict[str, Any] = {
    "name": "Harbour reopens",
    "id": 107350372,
    "uuid": "fb33b858-277f-4690-81fb-e0a080bd39ac",
    "slug": "harbour-reopens",
    "full_slug": "world/harbour-reopens",
    "lang": "default",
    "tag_list": ["Ferries"],
    "created_at": "2026-11-28T07:00:00.000Z",
    "published_at": "2026-11-28T08:05:00.000Z",
    "first_published_at": "2026-11-28T08:01:00.000Z",
    "content": {
        "_uid": "c1",
        "component": "article",
        "title": 'Harbour reopens: "calm" & safe',
        "teaser": "The harbour is open again.",
        "image": {"fieldtype": "asset", "filename": "https://a.storyblok.example/f/606/1200x675/ab/ferry.png",
                  "alt": "A ferry", "title": "The first ferry", "copyright": "Herald"},
        "author": "Ayesha Khan",
        "body": {"type": "doc", "content": [
            {"type": "heading", "attrs": {"level": 2}, "content": [{"type": "text", "text": "At <dawn>"}]},
            {"type": "paragraph", "content": [
                {"type": "text", "text": "The first ferry "},
                {"type": "text", "text": "left", "marks": [
                    {"type": "bold"},
                    {"type": "link", "attrs": {"href": "/timetable?a=1&b=2", "linktype": "url"}}]},
                {"type": "hard_break"},
                {"type": "text", "text": "at six."}]},
            {"type": "bullet_list", "content": [{"type": "list_item", "content": [
                {"type": "paragraph", "content": [{"type": "text", "text": "Tea"}]}]}]},
            {"type": "blok", "attrs": {"body": [{"component": "quote", "words": {"type": "doc", "content": [
                {"type": "paragraph", "content": [{"type": "text", "text": "Calm."}]}]}}]}},
            {"type": "horizontal_rule"}]},
    },
}  # fmt: skip


def test_every_capture_of_storyblok_has_the_outcome_that_is_written_down() -> None:
    desk = KnownSections.of({"world": ("world", "World")})
    requests = all_captured("storyblok")
    found = {number: outcomes(ADAPTER, each, desk) for number, each in requests.items()}
    assert set(found) == set(EXPECTED)
    assert [number for number, [each] in found.items() if not agrees(each, EXPECTED[number])] == []


def test_every_captured_signature_of_storyblok_verifies_and_none_that_is_spoiled() -> None:
    def verified(request: Any, *secrets: str) -> bool:
        return ADAPTER.verify(request, secrets or (STORYBLOK_SECRET,), SENT_AT) is None

    for request in all_captured("storyblok").values():
        sent = request.headers["webhook-signature"]
        assert verified(request)
        assert verified(request, "the-new-secret", STORYBLOK_SECRET)
        assert not verified(request, with_one_letter_changed(STORYBLOK_SECRET))
        assert not verified(request, "")
        assert not verified(replace(request, body=request.body + b" "))
        assert not verified(
            replace(request, headers={**request.headers, "webhook-signature": sent[:-1] + "g"})
        )
        changed = with_one_letter_changed(sent)
        assert not verified(replace(request, headers={**request.headers, "webhook-signature": changed}))
        assert not verified(replace(request, headers={}))


def read(hook: Any, **headers: str) -> Any:
    [event] = ADAPTER.read(hook_of(hook, **headers), SPACE)
    return event


def test_an_event_of_something_else_is_ignored_and_what_is_not_storybloks_is_held() -> None:
    assert isinstance(read({"action": "entries_updated", "space_id": 606, "datasource_slug": "x"}), Ignore)
    assert isinstance(read({"action": "pipeline", "story_id": 7}), Ignore)
    assert read({"story_id": 7}, x_storyblok_topic="story.published") == Hint(["7"])
    with pytest.raises(Unreadable):
        read({"hello": "world"})


def test_a_story_of_storyblok_is_asked_for_at_the_newest_version_of_the_cache() -> None:
    found, requests = looked_up(ADAPTER, FERRY, SPACE, api_answer(VERSION), api_answer({"story": STORY}))
    assert [each.url for each in requests] == [
        "https://api.storyblok.example/v2/cdn/spaces/me?token={token}",
        "https://api.storyblok.example/v2/cdn/stories/107350372?version=published&cv=1795856700&token={token}",
    ]
    assert isinstance(found, StoryRead)
    assert dict(found.fields) == {
        "id": FERRY,
        "headline": 'Harbour reopens: "calm" & safe',
        "summary": "The harbour is open again.",
        "sections": [["world"], ["Ferries"]],
        "keywords": ["Ferries"],
        "authors": [{"name": "Ayesha Khan"}],
        "images": [
            {
                "url": "https://a.storyblok.example/f/606/1200x675/ab/ferry.png",
                "alt": "A ferry",
                "caption": "The first ferry",
                "credit": "Herald",
            }
        ],
        "published_at": "2026-11-28T08:01:00Z",
        "updated_at": "2026-11-28T08:05:00Z",
        "body_html": "<h2>At &lt;dawn&gt;</h2><p>The first ferry "
        '<a href="/timetable?a=1&amp;b=2"><strong>left</strong></a><br>at six.</p>'
        "<ul><li><p>Tea</p></li></ul><p>Calm.</p><hr>",
    }


def test_a_redirect_to_the_newest_version_is_followed_without_the_token_in_it() -> None:
    moved = api_answer({}, 301, {"location": "/v2/cdn/spaces/me?cv=1795856701&token=secret"})
    found, requests = looked_up(ADAPTER, FERRY, SPACE, moved, api_answer({"story": STORY}))
    assert isinstance(found, StoryRead)
    assert "cv=1795856701&token={token}" in requests[1].url


def test_only_storybloks_own_not_found_says_that_a_story_is_gone() -> None:
    for body in (["This record could not be found"], {"error": "This record could not be found"}):
        assert looked_up(ADAPTER, FERRY, SPACE, api_answer(VERSION), api_answer(body, 404))[0] == Gone(FERRY)
    page = {"story": {**STORY, "content": {"component": "page"}}}
    assert looked_up(ADAPTER, FERRY, SPACE, api_answer(VERSION), api_answer(page))[0] == Gone(FERRY)
    assert ADAPTER.fetched is not None
    for unclear in (
        ApiAnswer(404, {}, b"<h1>Not found</h1>"),
        api_answer({}, 301),
        api_answer({"space": {"version": "x&token=1"}}),
        api_answer({"story": {**STORY, "id": 8}}),
        api_answer({}),
        api_answer([]),
        api_answer({}, 422),
    ):
        with pytest.raises(Unreadable):
            ADAPTER.fetched(unclear, FERRY, SPACE)


def test_the_content_type_and_the_fields_of_a_space_can_be_named() -> None:
    rules = {"headline": FieldRule("/name"), "body_html": FieldRule("/content/parts/0/words")}
    chosen = replace(SPACE, content_type="page, dispatch", fields=rules)
    content = {"component": "dispatch", "title": "No", "parts": [{"words": "One.\n\nTwo & three."}]}
    story = {"story": {**STORY, "content": content, "lang": "de"}}
    found, _ = looked_up(ADAPTER, FERRY, chosen, api_answer(VERSION), api_answer(story))
    assert isinstance(found, StoryRead)
    assert found.fields["headline"] == "Harbour reopens"
    assert found.fields["body_html"] == "<p>One.</p><p>Two &amp; three.</p>"
    assert found.fields["language"] == "de"


def test_a_rich_text_of_storyblok_that_is_nested_without_end_is_refused() -> None:
    node: dict[str, Any] = {"type": "paragraph", "content": []}
    for _ in range(100):
        node = {"type": "blockquote", "content": [node]}
    with pytest.raises(Unreadable):
        rich_text.to_html(node)


@given(value=spoiled([{"story_id": 7, "action": "published"}]))
@settings(max_examples=60, deadline=None)
def test_a_hook_of_storyblok_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("storyblok", "01"), value)


@given(value=spoiled([VERSION, {"story": {**STORY, "id": "a1"}}]), status=st.sampled_from((200, 301, 404)))
@settings(max_examples=100, deadline=None)
def test_any_answer_of_storyblok_is_read_or_its_fault_told(value: Any, status: int) -> None:
    any_answer_is_read(ADAPTER, SPACE, api_answer(value, status))


@given(value=spoiled([STORY["content"]["body"]]) | any_json())
@settings(max_examples=60, deadline=None)
def test_any_rich_text_of_storyblok_gives_markup_without_a_stranger_in_it(value: Any) -> None:
    assert "<script" not in rich_text.to_html(value)
