"""WordPress's webhooks as plug-ins and a newsroom's own code sent them, and answers of its REST API."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.adapter import (
    ApiAnswer,
    Event,
    Gone,
    Hint,
    HookRequest,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.wordpress import ADAPTER
from service.intake.section_map import KnownSections
from service.webhooks import signatures
from tests.captured_hooks import (
    CaptureOutcome,
    agrees,
    all_captured,
    captured,
    outcomes,
    reads_or_says_why,
    spoiled,
    with_one_letter_changed,
)

WP_SECRET, WP_WEBHOOKS_SECRET = "wp-made-up-secret", "wpwh-made-up-secret"
SIGNED_AT = datetime(2026, 11, 28, 16, 45, tzinfo=UTC)
WITHOUT_ADDRESS, WITH_ADDRESS = SourceSettings(), SourceSettings(base_url="https://wp.example")
WP_DESK = KnownSections.of(
    {
        "world": ("world", "World"),
        "business": ("business", "Business & Markets"),
        "harbour": ("harbour", "Harbour"),
        "china": ("china", "中国"),
    }
)
WP_MAP = {"harbour-and-sea": "harbour"}
ALL = ("business", "harbour", "world")
DAWN = "The first ferry left “at dawn” — it’s the Harbour’s first since Friday’s storm & flood."
SIX = "The first ferry left “at six” — it’s"
CORRECTED = "Correction: an earlier version said that the ferry"


def _numbered(*rows: tuple[str, CaptureOutcome]) -> dict[str, CaptureOutcome]:
    return {number: outcome for numbers, outcome in rows for number in numbers.split()}


def _gone(post_id: int) -> CaptureOutcome:
    return CaptureOutcome("gone", str(post_id))


def _held(post_id: int) -> CaptureOutcome:
    """It names only Uncategorized, which is stored before the categories are; or it has no title."""
    return CaptureOutcome("held", str(post_id))


def _story(post_id: int, sections: tuple[str, ...], words: str) -> CaptureOutcome:
    return CaptureOutcome("story", str(post_id), sections, words)


# By hand, from the captures; drafts are "gone" too, and were never here. 145 and 146, of 1.2 MB, are not among them.
OWN_CODE = _numbered(
    ("01 02 04 05 06 08 09", _gone(5)),
    ("10 12", _story(5, ("world",), DAWN)),
    ("13 14 16 17 18", _story(5, ("world",), SIX)),
    ("20 21 22 24 25 26 28 29", _story(5, ("world",), CORRECTED)),
    ("30 34 36 44 45 49 50", _story(5, ALL, CORRECTED)),
    ("32 33 37 38", _gone(5)),  # a draft again; private
    ("40 41 42", _gone(5)),  # it says publish, and has a password
    ("46 48 52 53 54", _gone(5)),
    ("56 57", _held(9)),
    ("58", _story(9, ("china",), "第一班渡轮在黎明启航。时刻表")),
    ("60", _held(10)),
    ("61", _story(10, ("world",), "پہلی فیری صبح")),
    ("62", _held(11)),
    ("64 65 66 68 69 70 72 73", _story(11, ("business",), "The rate stays at 3.25%.")),
    ("74 76 77 78 80 81 82", _gone(13)),
    ("84", _gone(15)),
    ("85 86", _held(16)),
    ("88 89", _held(17)),
    ("90", _story(17, ("world",), "Body 1")),
    ("92", _held(18)),
    ("93", _story(18, ("world",), "Body 2")),
    ("94 96", _story(16, ("harbour",), "Body 0")),
    ("97 98 116 117", _story(16, ("harbour", "china"), "Body 0")),
    ("100 101 102 118 120", _story(17, ("world", "china"), "Body 1")),
    ("104 105 121 122", _story(18, ("world", "china"), "Body 2")),
    ("106 108 124 125 126 133", _gone(16)),
    ("109 110 128 129 134", _gone(17)),
    ("112 113 114 130 132", _gone(18)),
    ("136 137 138", _gone(22)),
    ("140", _held(23)),
    ("141", _story(23, ("world",), "Another.")),
    ("142 144", _held(24)),
    ("148 149 150", _story(13, ("business",), "The rate falls to 2.9%.")),
)
BLOCK_EDITOR = _numbered(
    ("01 03 04 06 07 09 10", _gone(75)),
    ("12 13", _held(75)),
    ("15 16 18 19 21 22", _story(75, ("world",), "The first ferry left at dawn.")),
)
PLUGIN = _numbered(
    ("01 06 08 09 13", _gone(26)),  # 13 deletes it, and says that it is published
    ("02 04 11 12 16", CaptureOutcome("ignored")),  # revisions
    ("03", _story(26, ("world",), 'The first ferry left "at dawn".')),
    ("05 07 10", _story(26, ("harbour", "world"), "The first ferry left at six.")),
    ("14", _story(29, ("world",), "第一班渡轮在黎明启航。")),
    ("15", _gone(30)),
    ("17", _story(29, ("world",), "五百")),
    ("18", _story(30, ("world",), "3%.")),
)


@pytest.mark.parametrize(
    ("system", "expected"), [("wp", OWN_CODE), ("wp-gutenberg", BLOCK_EDITOR), ("wp-webhooks", PLUGIN)]
)
def test_every_capture_of_wordpress_has_the_outcome_that_is_written_down(
    system: str, expected: dict[str, CaptureOutcome]
) -> None:
    wrong = {}
    for number, request in all_captured(system).items():
        found = outcomes(ADAPTER, request, WP_DESK, section_map=WP_MAP)
        if len(found) != 1 or not agrees(found[0], expected[number]):
            wrong[number] = found
    assert wrong == {}
    assert set(expected) == set(all_captured(system))


def read(hook: Any, where: SourceSettings = WITHOUT_ADDRESS, **headers: str) -> Event:
    body = json.dumps(hook).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    [event] = ADAPTER.read(HookRequest("POST", "/v1/hooks/wp", named, body), where)
    return event


def fields_of(event: Event) -> dict[str, Any]:
    assert isinstance(event, StoryRead)
    return dict(event.fields)


def test_a_post_of_the_rest_api_has_all_that_readers_see() -> None:
    [event] = ADAPTER.read(captured("wp", "12-"), WITHOUT_ADDRESS)
    fields = fields_of(event)
    assert fields["headline"] == "Harbour reopens: “calm” & safe — it’s on"
    assert fields["summary"] == "The harbour is open again."
    assert fields["url"] == "http://127.0.0.1:8701/2026/11/harbour-reopens-calm-safe-its-on/"
    assert fields["authors"] == [{"name": "Ayesha Khan", "url": "http://127.0.0.1:8701/author/ayesha/"}]
    assert fields["keywords"] == ["ferry", "storm"]
    assert fields["images"] == [
        {
            "url": "http://127.0.0.1:8701/wp-content/uploads/2026/11/ferry.png",
            "alt": "A ferry at the pier",
            "caption": "The first ferry",
            "width": 1200,
            "height": 675,
        }
    ]
    assert fields["published_at"] == fields["updated_at"] == "2026-11-28T16:38:41Z"


def test_an_excerpt_that_wordpress_made_of_the_body_is_no_summary() -> None:
    [event] = ADAPTER.read(captured("wp", "58-"), WITHOUT_ADDRESS)
    assert "summary" not in fields_of(event)


def test_a_scheduled_post_that_came_due_is_as_new_as_its_date() -> None:
    [event] = ADAPTER.read(captured("wp", "150-"), WITHOUT_ADDRESS)
    assert fields_of(event)["updated_at"] == "2026-11-28T16:41:13Z"


def test_a_post_with_no_category_yet_is_asked_for_and_so_is_one_that_is_not_rendered() -> None:
    for system, name, post_id in (
        ("wp", "56-", "9"),
        ("wp-gutenberg", "12-", "75"),
        ("wp-webhooks", "03-", "26"),
    ):
        assert list(ADAPTER.read(captured(system, name), WITH_ADDRESS)) == [Hint([post_id])]
    assert list(ADAPTER.read(captured("wp-webhooks", "13-"), WITH_ADDRESS)) == [Gone("26")]
    [complete] = ADAPTER.read(captured("wp", "58-"), WITH_ADDRESS)
    assert isinstance(complete, StoryRead)
    [raw] = ADAPTER.read(captured("wp-webhooks", "03-"), WITHOUT_ADDRESS)
    assert isinstance(raw, StoryRead)
    assert "not rendered" in raw.warnings[0]


def test_a_post_as_php_has_it_with_a_password_is_gone_and_an_old_editors_one_gets_its_paragraphs() -> None:
    post = {"ID": 7, "post_type": "post", "post_status": "publish", "post_title": "A &amp; B"}
    assert read({"post": {**post, "post_password": "x"}}) == Gone("7")
    fields = fields_of(read({"post": {**post, "post_content": "One\n\nTwo\nlines"}, "taxonomies": []}))
    assert fields["body_html"] == "<p>One</p><p>Two\nlines</p>"
    assert fields["headline"] == "A & B"


STORED = {
    "__type": "WP_Post",
    "ID": 7,
    "post_type": "post",
    "post_status": "publish",
    "post_title": "Harbour",
    "post_content": "<p>At dawn.</p>",
    "post_date_gmt": "0000-00-00 00:00:00",
}


def test_a_hooks_arguments_name_the_post_which_is_asked_for_as_it_is_now() -> None:
    inserted = {"hook": "wp_after_insert_post", "args": [7, STORED, True, {**STORED, "post_status": "draft"}]}
    assert read(inserted, WITH_ADDRESS) == Hint(["7"])
    assert fields_of(read(inserted))["headline"] == "Harbour"
    transition = {
        "hook": "transition_post_status",
        "args": ["draft", "publish", {**STORED, "post_status": "draft"}],
    }
    assert read(transition, WITH_ADDRESS) == Hint(["7"])
    assert read(transition) == Gone("7")
    for name in ("trashed_post", "before_delete_post", "wp_trash_post"):
        assert read({"hook": name, "args": [7]}) == Gone("7")
        assert read({"hook": name, "args": [7]}, WITH_ADDRESS) == Hint(["7"])
    assert read({"hook": "untrashed_post", "args": [7, "publish"]}) == Hint(["7"])
    assert read({"hook": "save_post", "args": [7, {"__type": "WP_Post", "id": 7}]}) == Hint(["7"])
    revision = {**STORED, "post_type": "revision"}
    assert isinstance(read({"hook": "save_post", "args": [8, revision, False]}), Ignore)
    with pytest.raises(Unreadable):
        read({"hook": "save_post", "args": ["publish"]})


def test_only_the_types_of_the_sources_stories_are_read() -> None:
    page = {"post": {"id": 7, "type": "page", "content": {"rendered": "<p>About us</p>"}}, "post_id": 7}
    assert isinstance(read(page), Ignore)
    article = {**page, "post": {**page["post"], "type": "article"}}
    assert isinstance(read(article), Ignore)
    assert isinstance(read(article, SourceSettings(content_type="articles")), StoryRead)


def test_datelines_own_json_is_taken_as_it_is() -> None:
    native = {"id": "7", "headline": "Harbour", "sections": ["world"], "body_html": "<p>At dawn.</p>"}
    assert fields_of(read(native)) == native
    assert fields_of(read({"id": "7", "status": "unpublished"}))["status"] == "unpublished"


def test_a_body_of_nobody_known_is_held() -> None:
    for other in ({}, {"hello": "world"}, {"post": {}}, {"post": {"title": 7}}, {"post": {"ID": True}}):
        with pytest.raises(Unreadable):
            read(other)


def verified(request: HookRequest, *secrets: str) -> bool:
    return ADAPTER.verify(request, secrets, SIGNED_AT) is None


@pytest.mark.parametrize(
    ("system", "header", "secret"),
    [
        ("wp", "x-wp-signature", WP_SECRET),
        ("wp-gutenberg", "x-wp-signature", WP_SECRET),
        ("wp-webhooks", "x-wp-webhook-signature", WP_WEBHOOKS_SECRET),
    ],
)
def test_every_captured_signature_verifies_and_none_that_is_spoiled(
    system: str, header: str, secret: str
) -> None:
    for request in all_captured(system).values():
        assert verified(request, secret)
        assert verified(request, "the-new-secret", secret)
        assert not verified(request, with_one_letter_changed(secret), "")
        assert not verified(replace(request, body=request.body + b" "), secret)
        for name in {header, "x-wp-timestamp"} & set(request.headers):
            changed = {**request.headers, name: with_one_letter_changed(request.headers[name])}
            assert not verified(replace(request, headers=changed), secret)
        assert not verified(replace(request, headers={}), secret)


def test_a_bearer_token_and_datelines_own_signature_verify() -> None:
    secret = signatures.new_secret()
    body = b'{"id": "7"}'
    mark = signatures.sign([secret], "msg_1", int(SIGNED_AT.timestamp()), body)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(SIGNED_AT.timestamp())),
        "webhook-signature": mark,
    }
    own = HookRequest("POST", "/", headers, body)
    assert verified(own, "no-key-of-that-kind", secret)
    assert not verified(replace(own, body=b'{"id": "8"}'), secret)
    bearer = HookRequest("POST", "/", {"authorization": "Bearer fswa-made-up"}, body)
    assert verified(bearer, "new", "fswa-made-up")
    assert not verified(bearer, "fswa-made-uq", "")
    assert not verified(replace(bearer, headers={"authorization": "Bearer "}), "")
    assert not verified(replace(bearer, headers={"authorization": "Bearer é\udc80"}), secret)


def _bodies(systems: Iterable[str]) -> list[Any]:
    return [json.loads(each.body) for system in systems for each in all_captured(system).values()]


ANY_OF_WORDPRESS = [
    *_bodies(("wp", "wp-webhooks")),
    {"hook": "wp_after_insert_post", "args": [7, STORED, True, None]},
]


@given(value=spoiled(ANY_OF_WORDPRESS))
@settings(max_examples=100, deadline=None)
def test_a_hook_of_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("wp-webhooks", "03-"), value)


def answer(value: Any, status: int = 200) -> ApiAnswer:
    return ApiAnswer(status, {}, json.dumps(value).encode())


def fetched(given_answer: ApiAnswer, post_id: str = "5") -> StoryRead | Gone:
    assert ADAPTER.fetched is not None
    return ADAPTER.fetched(given_answer, post_id, WITH_ADDRESS)


SHOWN: dict[str, Any] = json.loads(captured("wp", "12-").body)["post"]


def test_a_post_is_asked_for_with_its_terms_author_and_picture() -> None:
    assert ADAPTER.fetch is not None
    asked = ADAPTER.fetch("5", WITH_ADDRESS).url
    assert asked.startswith("https://wp.example/wp-json/wp/v2/posts/5?_embed=author")
    assert "/wp/v2/articles/5?" in ADAPTER.fetch("5", replace(WITH_ADDRESS, content_type="articles")).url
    assert fields_of(fetched(answer(SHOWN)))["sections"] == [["World", "world"]]


def test_only_wordpresss_own_refusals_say_that_a_story_is_gone() -> None:
    assert fetched(answer({"code": "rest_post_invalid_id"}, 404)) == Gone("5")
    assert fetched(answer({"code": "rest_forbidden", "data": {"status": 401}}, 401)) == Gone("5")
    for unclear in (
        answer({"code": "rest_no_route"}, 404),
        answer({"code": "rest_not_logged_in"}, 401),
        ApiAnswer(404, {}, b"<h1>Not found</h1>"),
        answer({}),
        answer({**SHOWN, "id": 6}),
        answer([], 301),
    ):
        with pytest.raises(Unreadable):
            fetched(unclear)


def listed(*ids: int, at: str = "2026-11-28T16:50:00") -> ApiAnswer:
    return answer([{"id": each, "modified_gmt": at, "date_gmt": at} for each in ids])


def test_the_changes_are_those_that_were_modified_and_those_that_were_published() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(SIGNED_AT, WITH_ADDRESS)
    assert "modified_after=2026-11-28T16%3A45%3A00Z" in first.url
    found = comparison.changed_page(listed(5, 6), first, WITH_ADDRESS)
    assert found.events == [Hint(["5", "6"])]
    assert found.next is not None
    assert "v2/posts?after=2026-11-28T16%3A45%3A00Z" in found.next.url
    assert comparison.changed_page(listed(13), found.next, WITH_ADDRESS).next is None


def test_a_full_page_of_changes_is_followed_from_its_last_time_or_by_number_within_one() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(SIGNED_AT, WITH_ADDRESS)
    full = listed(*range(1, 101))
    second = comparison.changed_page(full, first, WITH_ADDRESS).next
    assert second is not None
    assert "modified_after=2026-11-28T16%3A49%3A59Z" in second.url
    assert "page=1&" in second.url
    third = comparison.changed_page(full, second, WITH_ADDRESS).next
    assert third is not None
    assert "modified_after=2026-11-28T16%3A49%3A59Z" in third.url
    assert "page=2&" in third.url
    behind = answer({"code": "rest_post_invalid_page_number"}, 400)
    last = comparison.changed_page(behind, third, WITH_ADDRESS).next
    assert last is not None
    assert "v2/posts?after=2026-11-28T16%3A45%3A00Z" in last.url


def test_ids_come_a_hundred_at_a_time() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    found = comparison.ids_page(listed(*range(1, 101)), comparison.all_ids(WITH_ADDRESS), WITH_ADDRESS)
    assert len(found.ids) == 100
    assert found.next is not None
    assert "page=2" in found.next.url
    end = comparison.ids_page(listed(101), found.next, WITH_ADDRESS)
    assert (list(end.ids), end.next) == (["101"], None)
    with pytest.raises(Unreadable):
        comparison.ids_page(answer({"posts": []}), found.next, WITH_ADDRESS)


def test_a_page_from_which_a_plugin_left_posts_out_is_not_the_last() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    of_three = {"x-wp-totalpages": "3"}
    first = comparison.all_ids(WITH_ADDRESS)
    for found in (listed(*range(1, 98)), answer([])):
        page = comparison.ids_page(replace(found, headers=of_three), first, WITH_ADDRESS)
        assert page.next is not None
        assert "page=2" in page.next.url
    changes = comparison.changed(SIGNED_AT - timedelta(days=1), WITH_ADDRESS)
    short = replace(listed(*range(1, 98)), headers=of_three)
    following = comparison.changed_page(short, changes, WITH_ADDRESS).next
    assert following is not None
    assert "modified_after=" in following.url


@given(
    value=spoiled([SHOWN, [SHOWN] * 2, json.loads(listed(*range(1, 101)).body)]),
    status=st.sampled_from((200, 400, 401, 404)),
)
@settings(max_examples=100, deadline=None)
def test_any_answer_of_the_rest_api_is_read_or_its_fault_told(value: Any, status: int) -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    changes = comparison.changed(SIGNED_AT - timedelta(days=1), WITH_ADDRESS)
    for ask in (
        lambda: fetched(answer(value, status)),
        lambda: comparison.changed_page(answer(value, status), changes, WITH_ADDRESS),
        lambda: comparison.ids_page(answer(value, status), comparison.all_ids(WITH_ADDRESS), WITH_ADDRESS),
    ):
        with contextlib.suppress(Unreadable):
            ask()
