"""Events of Arc XP as its documentation has them, forwarded and signed by an integration of the newsroom's own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings

from service.intake.adapters.adapter import Gone, HookRequest, Ignore, SourceSettings, StoryRead, Unreadable
from service.intake.adapters.arcxp import ADAPTER
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

ARC_SECRET = "whsec_YXJjLW1hZGUtdXAtc2VjcmV0LWZvci1zdGFuZGFyZC13ZWI="
FORWARDED_AT = datetime(2026, 11, 28, 9, 5, tzinfo=UTC)
ARC_SECTIONS = KnownSections.of({"world": ("world", "World"), "harbour": ("harbour", "Harbour")})
ARC_ID = "IG7VYBH2TFDPXAJ2T7TMX7UJTM"
ARC_SETTINGS = SourceSettings(base_url="https://herald.example")
ARC_STORY = CaptureOutcome(
    "story", ARC_ID, ("world", "harbour"), "The first ferry left at dawn. Timetable 🚢\n\nThe first ferry AP"
)

# By hand, from the captures.
ARC_EXPECTED = {
    "01": ARC_STORY,
    "02": CaptureOutcome("ignored"),  # an update that is not published
    "03": ARC_STORY,
    "04": CaptureOutcome("gone", ARC_ID),
    "05": CaptureOutcome("gone", ARC_ID),
}


def test_every_capture_of_arc_xp_has_the_outcome_that_is_written_down() -> None:
    wrong = {}
    for number, request in all_captured("arcxp").items():
        found = outcomes(ADAPTER, request, ARC_SECTIONS)
        if len(found) != 1 or not agrees(found[0], ARC_EXPECTED[number]):
            wrong[number] = found
    assert wrong == {}
    assert set(ARC_EXPECTED) == set(all_captured("arcxp"))


def arc_events(event: Any) -> list[Any]:
    request = HookRequest("POST", "/v1/hooks/arc", {}, json.dumps(event).encode())
    return list(ADAPTER.read(request, ARC_SETTINGS))


def arc_event(number: str, **changes: Any) -> dict[str, Any]:
    event = json.loads(captured("arcxp", number).body)
    return {**event, "body": {**event["body"], **changes}}


def arc_story(event: dict[str, Any]) -> StoryRead:
    [found] = arc_events(event)
    assert isinstance(found, StoryRead)
    return found


def test_a_story_of_arc_xp_has_its_address_authors_image_and_both_names_of_its_sections() -> None:
    fields = arc_story(arc_event("01")).fields
    assert fields["headline"] == 'Harbour reopens: "calm" & safe'
    assert fields["url"] == "https://herald.example/world/2026/11/28/harbour-reopens/"
    assert fields["sections"] == [["World", "/world", "world"], ["Harbour", "/harbour", "harbour"]]
    assert fields["keywords"] == ["storm"]
    assert fields["authors"] == [{"name": "Ayesha Khan"}]
    assert fields["images"] == [
        {
            "url": "https://cdn.arc.example/ferry.png",
            "alt": "A ferry",
            "caption": "The first ferry",
            "credit": "AP",
        }
    ]
    assert fields["published_at"] == "2026-11-28T08:00:00.000Z"
    assert fields["updated_at"] == "2026-11-28T09:05:00Z"  # of the event
    assert "origin" not in fields


def test_a_takedown_of_arc_xp_is_ordered_by_its_event() -> None:
    assert arc_events(arc_event("04")) == [Gone(ARC_ID, updated_at=FORWARDED_AT)]
    assert arc_events(arc_event("05")) == [Gone(ARC_ID, updated_at=FORWARDED_AT)]
    in_milliseconds = {**arc_event("05"), "time": 1795856700000}
    assert arc_events(in_milliseconds) == [Gone(ARC_ID, updated_at=FORWARDED_AT)]


def test_a_story_that_is_forwarded_without_its_event_is_read_if_it_is_published() -> None:
    fields = arc_story(arc_event("01")["body"]).fields
    assert fields["updated_at"] == "2026-11-28T08:05:00Z"
    assert isinstance(arc_events(arc_event("02")["body"])[0], Ignore)
    assert isinstance(arc_events({**arc_event("02"), "key": "story:create"})[0], Ignore)
    without_revision = arc_event("01")
    del without_revision["body"]["revision"]
    assert isinstance(arc_events({**without_revision, "key": "story:update"})[0], Ignore)
    assert arc_story(without_revision).fields["id"] == ARC_ID


@pytest.mark.parametrize("code", ["premium", "metered", "cerrada", " Paid "])
def test_a_story_of_arc_xp_that_not_everybody_may_read_is_gone(code: str) -> None:
    [event] = arc_events(arc_event("03", content_restrictions={"content_code": code}))
    assert isinstance(event, Gone)
    assert (event.id, event.status, event.updated_at) == (ARC_ID, "unpublished", FORWARDED_AT)
    assert code.strip() in str(event.reason)


@pytest.mark.parametrize(
    "restrictions", [None, {}, "premium", {"content_code": ""}, {"content_code": "Free"}]
)
def test_a_story_of_arc_xp_without_a_paywall_is_for_everybody(restrictions: Any) -> None:
    assert arc_story(arc_event("03", content_restrictions=restrictions)).fields["id"] == ARC_ID


def test_a_paywall_that_is_set_without_publishing_it_takes_nothing_down() -> None:
    draft = arc_event("02", content_restrictions={"content_code": "premium"})
    assert isinstance(arc_events(draft)[0], Ignore)


def test_events_of_images_are_ignored_and_one_without_a_story_waits() -> None:
    assert isinstance(arc_events({"key": "image:update", "body": {"_id": "a"}})[0], Ignore)
    assert isinstance(arc_events({"_id": "a", "type": "gallery"})[0], Ignore)
    for other in ({"key": "story:delete", "body": {}}, {"key": "story:update"}, {}):
        with pytest.raises(Unreadable, match="_id"):
            arc_events(other)


def test_the_elements_of_a_story_become_html_and_what_is_no_text_is_told() -> None:
    elements = [
        {"type": "header", "level": 3, "content": "What next"},
        {
            "type": "list",
            "list_type": "ordered",
            "items": [
                {"type": "text", "content": "one"},
                {"type": "list", "items": [{"type": "text", "content": "two"}]},
            ],
        },
        {
            "type": "quote",
            "content_elements": [{"type": "text", "content": "Calm."}],
            "citation": {"content": "Captain"},
        },
        {"type": "interstitial_link", "url": "https://herald.example/a?b=1&c=2", "content": "More"},
        {"type": "correction", "correction_type": "correction", "text": "It left at seven."},
        {"type": "table", "header": [{"content": "Time"}], "rows": [[{"content": "7:00"}]]},
        {"type": "video", "_id": "v"},
        {"type": "gallery", "_id": "g"},
    ]
    story = arc_story(arc_event("01", content_elements=elements))
    assert story.fields["body_html"].splitlines() == [
        "<h3>What next</h3>",
        "<ol><li>one</li><li><ul><li>two</li></ul></li></ol>",
        "<blockquote><p>Calm.</p><p>Captain</p></blockquote>",
        '<p><a href="https://herald.example/a?b=1&amp;c=2">More</a></p>',
        "<p><strong>It left at seven.</strong></p>",
        "<table><tr><th>Time</th></tr><tr><td>7:00</td></tr></table>",
    ]
    assert story.fields["correction_note"] == "It left at seven."
    assert story.warnings == [
        "an element of the type 'video' was left out",
        "an element of the type 'gallery' was left out",
    ]


@pytest.mark.parametrize(
    "address", ["\ud800", "http://[", "//herald.example:x/", "javascript:alert(1)", "a b"]
)
def test_an_address_that_is_none_keeps_no_story_of_arc_xp_out(address: str) -> None:
    url = arc_story(arc_event("01", canonical_url=address)).fields.get("url", "https://")
    assert url.startswith(("https://", "http://"))


def test_a_story_of_a_wire_names_its_agency() -> None:
    story = arc_story(arc_event("01", distributor={"name": "AP", "category": "wires"}))
    assert story.fields["origin"] == {"name": "AP"}
    assert arc_story(arc_event("01", owner={"sponsored": True})).warnings == [
        "it is sponsored (owner.sponsored)"
    ]


def test_lists_within_lists_are_read_to_a_depth_and_no_further() -> None:
    element: dict[str, Any] = {"type": "text", "content": "deep"}
    for _ in range(100):
        element = {"type": "list", "items": [element]}
    assert "deep" not in arc_story(arc_event("01", content_elements=[element])).fields.get("body_html", "")


def arc_verified(request: HookRequest, *secrets: str, at: datetime = FORWARDED_AT) -> bool:
    return ADAPTER.verify(request, secrets or (ARC_SECRET,), at) is None


def test_every_signature_of_the_integration_verifies_and_none_that_is_spoiled_or_old() -> None:
    for request in all_captured("arcxp").values():
        assert arc_verified(request)
        assert arc_verified(request, signatures.new_secret(), ARC_SECRET)
        assert not arc_verified(request, signatures.new_secret())
        assert not arc_verified(request, "")
        assert not arc_verified(request, at=FORWARDED_AT + timedelta(minutes=6))
        assert not arc_verified(replace(request, body=request.body + b" "))
        assert not arc_verified(replace(request, body=request.body.replace(b"e", b"f", 1)))
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            other = {**request.headers, name: with_one_letter_changed(request.headers[name])}
            assert not arc_verified(replace(request, headers=other))
        assert not arc_verified(replace(request, headers={}))


ARC_BODIES = [json.loads(each.body) for each in all_captured("arcxp").values()]


@given(value=spoiled(ARC_BODIES))
@settings(max_examples=100, deadline=None)
def test_an_event_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("arcxp", "01"), value)
