"""Superdesk's HTTP Push as its own formatter and transmitter sent it: read for what its newsroom published."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from service.intake.adapters.adapter import Gone, HookRequest, Ignore, SourceSettings, StoryRead, Unreadable
from service.intake.adapters.superdesk import ADAPTER
from service.intake.section_map import KnownSections
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

SUPERDESK_SECRET = "superdesk-made-up-secret"
PUSHED_AT = datetime(2026, 11, 28, 17, 32, tzinfo=UTC)
HARBOUR_GUID = "urn:newsml:herald.example:2026-11-28T08:00:00.000000:1c4d"
SUPERDESK_SECTIONS = KnownSections.of({"world": ("world", "World"), "harbour": ("harbour", "Harbour")})
CALM = 'The first ferry left "at dawn" & it\'s calm. Timetable'
PUSHED = CaptureOutcome("story", HARBOUR_GUID, ("world",), CALM)
CANCELED = CaptureOutcome("gone", HARBOUR_GUID)

# By hand, from the captures.
SUPERDESK_EXPECTED = {
    "01": PUSHED,
    "02": PUSHED,
    "03": PUSHED,
    "05": CaptureOutcome("story", HARBOUR_GUID, ("world", "harbour"), CALM),
    "06": CANCELED,
    "07": CANCELED,
    "08": CANCELED,  # unpublished: it comes with its whole body
    "10": CaptureOutcome("story", "urn:x:zh", ("world",), "第一班渡轮在黎明启航。"),
    "11": CaptureOutcome("story", "urn:x:ur", ("world",), "پہلی فیری"),
    "12": CaptureOutcome("ignored"),  # a package
    "13": PUSHED,
    "15": PUSHED,
}


def test_every_capture_of_superdesk_has_the_outcome_that_is_written_down() -> None:
    wrong = {}
    for number, request in all_captured("superdesk").items():
        found = outcomes(ADAPTER, request, SUPERDESK_SECTIONS)
        if len(found) != 1 or not agrees(found[0], SUPERDESK_EXPECTED[number]):
            wrong[number] = found
    assert wrong == {}
    assert set(SUPERDESK_EXPECTED) == set(all_captured("superdesk"))


def pushed(item: Any, **headers: str) -> list[Any]:
    request = HookRequest("POST", "/v1/hooks/s", headers, json.dumps(item).encode())
    return list(ADAPTER.read(request, SourceSettings()))


def captured_item(number: str, **changes: Any) -> dict[str, Any]:
    return {**json.loads(captured("superdesk", number).body), **changes}


def superdesk_story(item: dict[str, Any]) -> dict[str, Any]:
    [event] = pushed(item)
    assert isinstance(event, StoryRead)
    return dict(event.fields)


def test_a_story_of_superdesk_has_its_version_picture_rights_and_a_headline_without_entities() -> None:
    fields = superdesk_story(captured_item("01"))
    assert fields["headline"] == 'Harbour reopens: "calm" & safe'
    assert fields["version"] == 3
    assert fields["summary"] == "The harbour is open again."
    assert fields["keywords"] == ["harbour", "storm", "port"]
    assert fields["authors"] == [{"name": "Ayesha Khan", "role": "writer"}]
    assert fields["images"] == [
        {
            "url": "https://herald.example/i.jpg",
            "type": "image/jpeg",
            "width": 1600,
            "height": 900,
            "alt": "A ferry",
            "caption": "The first ferry",
            "credit": "AP",
        }
    ]
    assert fields["rights"] == {"holder": "Harbour Herald", "notice": "(c) Harbour Herald"}
    assert fields["urgency"] == 3
    assert fields["published_at"] == "2026-11-28T08:05:00Z"
    assert fields["updated_at"] == "2026-11-28T08:05:00Z"
    assert "correction_note" not in fields


def test_a_note_to_editors_that_begins_with_correction_corrects_the_story() -> None:
    fields = superdesk_story(captured_item("03"))
    assert fields["correction_note"] == "an earlier version said that the ferry left at dawn."
    assert fields["ednote"].startswith("CORRECTION: an earlier version")
    other = superdesk_story(captured_item("03", ednote="Corrections desk: call the harbour first."))
    assert "correction_note" not in other


@pytest.mark.parametrize(("number", "version", "minute"), [("06", 6, 30), ("07", 7, 31), ("08", 8, 32)])
def test_a_canceled_item_is_killed_in_its_order(number: str, version: int, minute: int) -> None:
    moment = datetime(2026, 11, 28, 8, minute, tzinfo=UTC)
    assert pushed(captured_item(number)) == [Gone(HARBOUR_GUID, "killed", updated_at=moment, version=version)]


def test_a_withheld_item_is_withheld_and_one_of_an_unknown_status_waits() -> None:
    [event] = pushed(captured_item("01", pubstatus="withheld", ednote="Legal asks to wait."))
    assert (event.status, event.reason) == ("withheld", "Legal asks to wait.")
    with pytest.raises(Unreadable, match="pubstatus"):
        pushed(captured_item("01", pubstatus="perhaps"))


def test_an_embargo_of_superdesk_is_kept_and_one_that_cannot_be_read_holds_the_story() -> None:
    fields = superdesk_story(captured_item("01", embargoed="2026-12-01T08:00:00+0500"))
    assert fields["embargo_until"] == "2026-12-01T03:00:00Z"
    for unreadable in ("tomorrow", 7, ["2026-12-01T08:00:00Z"]):
        with pytest.raises(Unreadable, match="embargo"):
            pushed(captured_item("01", embargoed=unreadable))


def test_a_package_that_has_its_stories_inside_gives_each_of_them() -> None:
    inside = captured_item("01")
    picture = inside["associations"]["featuremedia"]
    events = pushed(captured_item("12", associations={"a": inside, "b": None, "c": picture}))
    assert [each.fields["id"] for each in events] == [HARBOUR_GUID]
    ended = pushed(captured_item("12", pubstatus="canceled", associations={"a": inside}))
    assert [type(each) for each in ended] == [Ignore]


def test_pictures_and_their_files_are_no_stories() -> None:
    for kind in ("picture", "video", "audio", "graphic", "event"):
        assert isinstance(pushed({"guid": "a", "type": kind})[0], Ignore)
    form = HookRequest("POST", "/", {"content-type": "multipart/form-data; boundary=x"}, b"--x\xff--")
    assert isinstance(ADAPTER.read(form, SourceSettings())[0], Ignore)
    with pytest.raises(Unreadable, match="guid"):
        pushed({"type": "text", "headline": "No guid"})


def test_a_story_without_services_is_in_the_sections_of_its_subjects() -> None:
    fields = superdesk_story(captured_item("01", service=[], authors=[], byline="BY Ayesha Khan"))
    assert fields["sections"] == [["port", "20000045"]]
    assert fields["authors"] == [{"name": "Ayesha Khan"}]


def superdesk_verified(request: HookRequest, *secrets: str) -> bool:
    return ADAPTER.verify(request, secrets or (SUPERDESK_SECRET,), PUSHED_AT) is None


def test_every_signature_of_superdesk_verifies_and_none_that_is_spoiled() -> None:
    for request in all_captured("superdesk").values():
        sent = request.headers["x-superdesk-signature"]
        assert superdesk_verified(request)
        assert superdesk_verified(request, "the-new-secret", SUPERDESK_SECRET)
        assert not superdesk_verified(request, with_one_letter_changed(SUPERDESK_SECRET))
        assert not superdesk_verified(request, "")
        assert not superdesk_verified(replace(request, body=request.body + b" "))
        assert not superdesk_verified(replace(request, body=request.body.replace(b"e", b"f", 1)))
        for header in (with_one_letter_changed(sent), "", "sha1=", "sha1=zz", sent[5:], "sha256=" + sent[5:]):
            spoiled_one = replace(request, headers={**request.headers, "x-superdesk-signature": header})
            assert "x-superdesk-signature" in str(ADAPTER.verify(spoiled_one, [SUPERDESK_SECRET], PUSHED_AT))
        longer = hmac.digest(SUPERDESK_SECRET.encode(), request.body, "sha256").hex()
        assert not superdesk_verified(replace(request, headers={"x-superdesk-signature": f"sha1={longer}"}))


SUPERDESK_BODIES = [json.loads(each.body) for each in all_captured("superdesk").values()]


@given(value=spoiled(SUPERDESK_BODIES))
@settings(max_examples=100, deadline=None)
def test_an_item_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, captured("superdesk", "01"), value)
