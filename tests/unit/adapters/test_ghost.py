"""Ghost's webhooks as Ghost 6 sent them, and answers of its Content API: read for what readers of the site see."""

from __future__ import annotations

import contextlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.intake.adapters.adapter import (
    ApiAnswer,
    Gone,
    Hint,
    HookRequest,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.ghost import ADAPTER
from service.intake.section_map import KnownSections
from tests.captured_hooks import (
    CAPTURES,
    CaptureOutcome,
    agrees,
    all_captured,
    captured,
    outcomes,
    reads_or_says_why,
    spoiled,
    with_one_letter_changed,
)

GHOST_SECRET = "ghost-made-up-secret"
AT = datetime(2026, 11, 28, 17, 10, tzinfo=UTC)
GHOST_SETTINGS = SourceSettings(base_url="https://ghost.example")
DESK = KnownSections.of(
    {
        "world": ("world", "World"),
        "harbour": ("harbour", "Harbour"),
        "china": ("china", "中国"),
        "other": ("other", "Other"),
    }
)
HARBOUR, BANK, SECOND = "6b0b08d6496bfc20c5170037", "6b0b0901496bfc20c5170079", "6b0b0906496bfc20c517007f"
CHINESE, URDU = "6b0b08ef496bfc20c517005b", "6b0b08f1496bfc20c5170062"
UNTAGGED, PICTURE = "6b0b08f3496bfc20c5170067", "6b0b08f5496bfc20c517006b"
REAL = "6b0b120f496bfc20c517009a"
BELL, WORLD, BOTH = CaptureOutcome("bell"), ("world",), ("world", "harbour")
_WORDS = {
    "dawn": "The first ferry left \"at dawn\" -- it's the Harbour's first since Friday's storm & flood.",
    "six": 'The first ferry left "at six" -- it\'s',
    "seven": 'Correction: left at seven.\n\nThe first ferry left "at seven" -- it\'s',
}


def _harbour(words: str, sections: tuple[str, ...] = WORLD) -> CaptureOutcome:
    return CaptureOutcome("story", HARBOUR, sections, _WORDS[words])


def _picture(sections: tuple[str, ...] = WORLD) -> CaptureOutcome:
    return CaptureOutcome("story", PICTURE, sections, "")


# By hand, from the captures. 118, a story of a megabyte, is not among them: 2.8 MB for one more `story`.
EXPECTED = {
    "01": CaptureOutcome("gone", HARBOUR),  # a draft: never here, so nothing is taken down
    "02": CaptureOutcome("gone", HARBOUR),
    "04": _harbour("dawn"),
    "05": _harbour("dawn"),
    "06": BELL,
    "08": _harbour("six"),
    "09": BELL,
    "10": _harbour("six"),
    "12": BELL,
    "13": _harbour("seven"),
    "14": _harbour("seven"),
    "16": _harbour("seven"),
    "17": _harbour("seven"),
    "18": BELL,
    "20": _harbour("seven", BOTH),
    "21": _harbour("seven", BOTH),
    "22": _harbour("seven", BOTH),
    "24": CaptureOutcome("gone", HARBOUR),  # published, but for members only
    "25": CaptureOutcome("gone", HARBOUR),
    "26": BELL,
    "28": _harbour("seven", BOTH),
    "29": BELL,
    "30": CaptureOutcome("gone", HARBOUR),
    "32": BELL,
    "33": _harbour("seven", BOTH),
    "34": _harbour("seven", BOTH),
    "36": BELL,
    "37": CaptureOutcome("gone", HARBOUR),  # deleted: it is all in `previous`, which says published
    "38": CaptureOutcome("gone", HARBOUR),
    "40": CaptureOutcome("story", CHINESE, ("china",), "第一班渡轮在黎明启航。时刻表"),
    "41": CaptureOutcome("story", CHINESE, ("china",), "第一班渡轮在黎明启航。时刻表"),
    "42": CaptureOutcome("story", CHINESE, ("china",), "第一班渡轮在黎明启航。时刻表"),
    "44": CaptureOutcome("story", URDU, WORLD, "پہلی"),
    "45": CaptureOutcome("story", URDU, WORLD, "پہلی"),
    "46": CaptureOutcome("story", URDU, WORLD, "پہلی"),
    "48": CaptureOutcome("story", UNTAGGED, ("other",)),
    "49": CaptureOutcome("story", UNTAGGED, ("other",)),
    "50": BELL,
    "52": _picture(),
    "53": _picture(),
    "54": BELL,
    "56": BELL,
    "57": BELL,
    "58": CaptureOutcome("story", CHINESE, ("china",), "第一班渡轮在黎明启航。时刻表"),
    "60": BELL,
    "61": BELL,
    "62": BELL,
    "64": CaptureOutcome("gone", BANK),  # scheduled
    "65": CaptureOutcome("gone", BANK),
    "66": CaptureOutcome("gone", BANK),
    "68": CaptureOutcome("gone", BANK),
    "69": CaptureOutcome("gone", SECOND),
    "70": CaptureOutcome("gone", SECOND),
    "72": CaptureOutcome("gone", SECOND),
    "73": CaptureOutcome("gone", SECOND),
    "74": _picture(),
    "76": BELL,
    "77": _picture(),
    "78": _picture(),
    "80": _picture(),
    "81": _picture(),
    "82": BELL,
    "84": _picture(),
    "85": _picture(),
    "116": BELL,
    "120": CaptureOutcome("story", BANK, ("harbour",)),
    "121": CaptureOutcome("story", BANK, ("harbour",)),
    "122": BELL,
    "124": _picture(),
    "125": BELL,
    "126": CaptureOutcome("story", REAL, WORLD),
    "128": CaptureOutcome("story", REAL, WORLD),
}


def test_every_capture_of_ghost_has_the_outcome_that_is_written_down() -> None:
    wrong = {}
    for number, request in all_captured("ghost").items():
        found = outcomes(ADAPTER, request, DESK, section_map={"world-news": "world"}, default_section="other")
        if len(found) != 1 or not agrees(found[0], EXPECTED[number]):
            wrong[number] = found
    assert wrong == {}
    assert set(EXPECTED) == set(all_captured("ghost"))


def story(name: str) -> dict[str, Any]:
    [event] = ADAPTER.read(captured("ghost", name), GHOST_SETTINGS)
    assert isinstance(event, StoryRead)
    return dict(event.fields)


def test_a_story_of_ghost_has_all_that_readers_see_and_nothing_of_its_staff() -> None:
    fields = story("20-")
    assert fields["headline"] == 'Harbour reopens: "calm" & safe'
    assert fields["summary"] == "The harbour is open again."
    assert fields["keywords"] == ["World", "Harbour"]
    assert fields["authors"] == [{"name": "Ayesha Khan", "url": "http://127.0.0.1:8702/author/ayesha/"}]
    assert fields["images"][0]["url"] == "http://127.0.0.1:8702/content/images/2026/11/ferry.png"
    assert fields["published_at"] == "2026-11-28T17:01:14.000Z"
    assert fields["updated_at"] == "2026-11-28T17:01:22.000Z"
    assert "herald.example" not in str(fields)
    assert "lexical" not in str(fields)


def test_a_takedown_says_when_it_was_where_ghost_says_it() -> None:
    [unpublished] = ADAPTER.read(captured("ghost", "30-"), GHOST_SETTINGS)
    [deleted] = ADAPTER.read(captured("ghost", "38-"), GHOST_SETTINGS)
    assert unpublished == Gone(HARBOUR, updated_at=datetime(2026, 11, 28, 17, 1, 30, tzinfo=UTC))
    assert deleted == Gone(HARBOUR)


@pytest.mark.parametrize("visibility", ["members", "paid", "tiers", "filter", None, 7])
def test_a_story_that_not_everybody_may_read_is_gone(visibility: object) -> None:
    post = {"current": {"id": "a1", "status": "published", "visibility": visibility, "html": "<p>Paid</p>"}}
    assert read({"post": post}) == [Gone("a1")]


@pytest.mark.parametrize("status", ["sent", "draft", "scheduled", "new one", None])
def test_a_post_of_any_other_status_than_published_is_gone(status: object) -> None:
    assert read({"post": {"current": {"id": "a1", "status": status, "visibility": "public"}}}) == [Gone("a1")]


def test_a_story_that_is_only_its_feature_image_has_it_for_a_body() -> None:
    current = {"id": "a1", "status": "published", "html": None, "feature_image": 'https://g.example/a"b.png'}
    [event] = read({"post": {"current": current}})
    assert event.fields["body_html"] == '<p><img src="https://g.example/a%22b.png" alt=""></p>'


def test_pages_and_members_are_no_stories_and_what_is_not_ghosts_is_held() -> None:
    assert type(read({"page": {"current": {"id": "1"}}})[0]).__name__ == "Ignore"
    assert type(read({"member": {"current": {"id": "1"}}})[0]).__name__ == "Ignore"
    for other in ({}, {"post": {}}, {"post": {"current": {"title": "No id"}}}, {"id": "1"}):
        with pytest.raises(Unreadable):
            read(other)


def read(hook: dict[str, Any]) -> list[Any]:
    request = HookRequest("POST", "/v1/hooks/g", {}, json.dumps(hook).encode())
    return list(ADAPTER.read(request, GHOST_SETTINGS))


def verified(request: HookRequest, *secrets: str) -> bool:
    return ADAPTER.verify(request, secrets or (GHOST_SECRET,), AT) is None


def signed(request: HookRequest, header: str) -> HookRequest:
    return replace(request, headers={**request.headers, "x-ghost-signature": header})


def test_every_captured_signature_verifies_and_none_that_is_spoiled() -> None:
    for request in all_captured("ghost").values():
        assert verified(request)
        assert verified(request, "the-new-secret", GHOST_SECRET)
        assert not verified(request, with_one_letter_changed(GHOST_SECRET))
        assert not verified(request, "")
        assert not verified(replace(request, body=request.body + b" "))
        assert not verified(replace(request, body=request.body.replace(b"e", b"f", 1)))
        sent = request.headers["x-ghost-signature"]
        assert not verified(signed(request, with_one_letter_changed(sent)))
        assert not verified(signed(request, sent[:-1] + str((int(sent[-1]) + 1) % 10)))
        assert not verified(replace(request, headers={}))


def test_ghost_of_before_july_2024_signs_the_body_alone() -> None:
    request = captured("ghost", "05-")
    old = hmac.digest(GHOST_SECRET.encode(), request.body, "sha256").hex()
    assert verified(signed(request, f"sha256={old}, t=1795885275052"))
    assert verified(signed(request, f"sha256={old}"))
    assert not verified(signed(request, f"sha256={with_one_letter_changed(old)}, t=1"))


@pytest.mark.parametrize("header", ["", "sha256=", "sha256=zz, t=1", "md5=1", "sha256=" + "é" * 64, ", t=1"])
def test_a_header_that_is_no_signature_of_ghosts_is_told(header: str) -> None:
    assert "X-Ghost-Signature" in str(
        ADAPTER.verify(signed(captured("ghost", "05-"), header), [GHOST_SECRET], AT)
    )


BODIES = [json.loads(each.body) for each in all_captured("ghost").values()]


@given(value=spoiled(BODIES))
@settings(max_examples=100, deadline=None)
def test_a_hook_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("ghost", "05-"), value)


PUBLIC = {
    "id": "a1",
    "title": "Harbour reopens",
    "html": "<p>At dawn.</p>",
    "visibility": "public",
    "updated_at": "2026-11-28T17:01:14.000+00:00",
    "tags": [{"name": "World", "slug": "world", "visibility": "public"}],
}


def answer(value: Any, status: int = 200) -> ApiAnswer:
    return ApiAnswer(status, {}, json.dumps(value).encode())


def page(*posts: dict[str, Any], following: int | None = None) -> ApiAnswer:
    return answer({"posts": list(posts), "meta": {"pagination": {"next": following}}})


def fetched(given: ApiAnswer, story_id: str = "a1") -> StoryRead | Gone:
    assert ADAPTER.fetched is not None
    return ADAPTER.fetched(given, story_id, GHOST_SETTINGS)


def test_a_post_is_asked_for_with_the_key_that_the_worker_fills_in() -> None:
    assert ADAPTER.fetch is not None
    request = ADAPTER.fetch("a/1", GHOST_SETTINGS)
    assert (
        request.url
        == "https://ghost.example/ghost/api/content/posts/a%2F1/?include=tags%2Cauthors&key={token}"
    )
    found = fetched(page(PUBLIC))
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["World", "world"]]


def test_only_ghosts_own_not_found_says_that_a_story_is_gone() -> None:
    not_found = {"errors": [{"type": "NotFoundError", "message": "Resource not found error"}]}
    assert fetched(answer(not_found, 404)) == Gone("a1")
    assert isinstance(fetched(page({**PUBLIC, "visibility": "members"})), Gone)
    for unclear in (
        answer({}, 404),
        ApiAnswer(404, {}, b"<h1>Not found</h1>"),
        page(),
        page({**PUBLIC, "id": "b"}),
        answer({}),
        answer([], 301),
    ):
        with pytest.raises(Unreadable):
            fetched(unclear)


def test_changes_are_read_from_the_last_ones_time_on_and_by_number_within_one_second() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.changed(AT, GHOST_SETTINGS)
    assert "filter=updated_at%3A%3E%3D%272026-11-28%2017%3A10%3A00%27" in first.url
    assert "limit=100" in first.url
    later = {**PUBLIC, "id": "a2", "updated_at": "2026-11-28T17:11:00.000+00:00"}
    found = comparison.changed_page(page(PUBLIC, later, following=2), first, GHOST_SETTINGS)
    assert found.events == [Hint(["a1", "a2"])]
    assert found.next is not None
    assert "2026-11-28%2017%3A11%3A00%27" in found.next.url
    assert "page=1&" in found.next.url
    again = comparison.changed_page(page(later, following=2), found.next, GHOST_SETTINGS)
    assert again.next is not None
    assert "2026-11-28%2017%3A11%3A00%27" in again.next.url
    assert "page=2&" in again.next.url
    assert comparison.changed_page(page(later), again.next, GHOST_SETTINGS).next is None


def test_a_list_of_changes_is_asked_for_as_a_ghost_with_sqlite_answers_it() -> None:
    """Ghost 6.65 was asked for the same time in two forms: with a T in it there was no change on that day."""
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    without, changes = json.loads((CAPTURES / "ghost" / "api" / "changes.json").read_text(encoding="utf-8"))
    assert without["answer"]["posts"] == []
    asked = comparison.changed(datetime(2026, 11, 29, 10, 41, 40, 7, tzinfo=UTC), GHOST_SETTINGS)
    assert parse_qs(urlsplit(asked.url).query)["filter"] == [changes["filter"]]
    found = comparison.changed_page(answer(changes["answer"]), asked, GHOST_SETTINGS)
    assert found.events == [Hint(["6b0c03bc8b68b976b8dc3413", "6b0c03bc8b68b976b8dc341a"])]
    assert found.next is not None


def test_ids_are_those_of_what_everybody_may_read() -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    first = comparison.all_ids(GHOST_SETTINGS)
    hidden = {"id": "b", "visibility": "paid"}
    found = comparison.ids_page(page({"id": "a1"}, hidden, following=2), first, GHOST_SETTINGS)
    assert list(found.ids) == ["a1"]
    assert found.next is not None
    assert "page=2&" in found.next.url
    assert comparison.ids_page(page(), found.next, GHOST_SETTINGS).next is None


@given(
    value=spoiled([{"posts": [PUBLIC, PUBLIC], "meta": {"pagination": {"next": 2}}}]),
    status=st.sampled_from((200, 404)),
)
@settings(max_examples=100, deadline=None)
def test_any_answer_of_the_content_api_is_read_or_its_fault_told(value: Any, status: int) -> None:
    comparison = ADAPTER.reconciliation
    assert comparison is not None
    given_answer = answer(value, status)
    requests = (comparison.changed(AT, GHOST_SETTINGS), comparison.all_ids(GHOST_SETTINGS))
    for ask in (
        lambda: fetched(given_answer),
        lambda: comparison.changed_page(given_answer, requests[0], GHOST_SETTINGS),
        lambda: comparison.ids_page(given_answer, requests[1], GHOST_SETTINGS),
    ):
        with contextlib.suppress(Unreadable):
            ask()
