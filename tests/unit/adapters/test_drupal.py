"""Drupal's webhooks and JSON:API after their documentation and source: read for what everybody may read of a site."""

from __future__ import annotations

import contextlib
import hmac
import json
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
    HookRequest,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.drupal import ADAPTER
from service.intake.hook_privacy import stored_request
from service.intake.section_map import KnownSections
from tests.captured_hooks import (
    CaptureOutcome,
    agrees,
    outcomes,
    reads_or_says_why,
    spoiled,
    with_one_letter_changed,
)

DRUPAL_SECRET = "drupal-made-up-secret"
SAVED_AT = datetime(2026, 11, 28, 8, 5, tzinfo=UTC)
NODE = "3c38f39b-6601-41bd-a205-5e30c42c36fb"
DRUPAL_SITE = SourceSettings(base_url="https://drupal.example")
DRUPAL_SECTIONS = KnownSections.of({"world": ("world", "World"), "harbour": ("harbour", "Harbour")})
DAWN_HTML = "<p>The first ferry left at dawn.</p>"


def saved_node(**changes: Any) -> dict[str, Any]:
    """A node as Drupal's serialisation gives it, with what the Webhooks module sends of it."""
    return {
        "nid": [{"value": 7}],
        "uuid": [{"value": NODE}],
        "vid": [{"value": 9}],
        "langcode": [{"value": "en"}],
        "type": [{"target_id": "article", "target_type": "node_type", "target_uuid": "t"}],
        "status": [{"value": True}],
        "uid": [{"target_id": 1, "target_type": "user", "target_uuid": "u", "url": "/user/1"}],
        "title": [{"value": 'Harbour reopens: "calm" & safe'}],
        "created": [{"value": "2026-11-28T08:00:00+00:00", "format": "Y-m-d\\TH:i:sP"}],
        "changed": [{"value": "2026-11-28T08:05:00+00:00", "format": "Y-m-d\\TH:i:sP"}],
        "path": [{"alias": "/world/harbour reopens", "pid": 4, "langcode": "en"}],
        "body": [
            {"value": "The first", "format": "basic_html", "processed": DAWN_HTML, "summary": "It is open."}
        ],
        "field_image": [
            {
                "target_id": 2,
                "alt": "A ferry",
                "title": "",
                "target_type": "file",
                "target_uuid": "f",
                "url": "https://drupal.example/sites/default/files/ferry.png",
            }
        ],
        "field_tags": [
            {"target_id": 3, "target_type": "taxonomy_term", "target_uuid": "w", "url": "/tags/world"},
            {"target_id": 4, "target_type": "taxonomy_term", "target_uuid": "h", "url": "/taxonomy/term/4"},
        ],
        **changes,
    }


def drupal_hook(event: str = "update", **changes: Any) -> HookRequest:
    body: dict[str, Any] = {
        "event": f"entity:node:{event}",
        "user": {"mail": [{"value": "desk@herald.example"}]},
        "entity": saved_node(**changes),
    }
    return HookRequest("POST", "/v1/hooks/d", {"x-drupal-event": body["event"]}, json.dumps(body).encode())


UNPUBLISHED = {"status": [{"value": False}]}
DRAFT = {**UNPUBLISHED, "moderation_state": [{"value": "draft"}]}
ARCHIVED = {**UNPUBLISHED, "moderation_state": [{"value": "archived"}]}
OLD = {
    "status": [{"value": "1"}],
    "created": [{"value": "1795852800"}],
    "changed": [{"value": 1795853100}],
    "body": [{"value": DAWN_HTML, "format": "full_html"}],
}
HINT, GONE_NODE = CaptureOutcome("hint", NODE), CaptureOutcome("gone", NODE)
READ_NODE = CaptureOutcome("story", NODE, ("world",), "The first ferry left at dawn.")


@pytest.mark.parametrize(
    ("request_", "with_site", "alone"),
    [
        (drupal_hook("create"), HINT, READ_NODE),
        (drupal_hook("update"), HINT, READ_NODE),
        (drupal_hook("update", **OLD), HINT, READ_NODE),
        (drupal_hook("update", **UNPUBLISHED), GONE_NODE, GONE_NODE),
        (drupal_hook("update", **DRAFT), HINT, CaptureOutcome("ignored")),  # the published one may stay
        (drupal_hook("update", **ARCHIVED), HINT, GONE_NODE),
        (drupal_hook("delete"), GONE_NODE, GONE_NODE),
    ],
)
def test_every_event_of_a_node_has_the_outcome_that_is_written_down(
    request_: HookRequest, with_site: CaptureOutcome, alone: CaptureOutcome
) -> None:
    [found] = outcomes(ADAPTER, request_, DRUPAL_SECTIONS, base_url="https://drupal.example")
    assert agrees(found, with_site)
    [found] = outcomes(ADAPTER, request_, DRUPAL_SECTIONS)
    assert agrees(found, alone)


def test_a_node_of_a_webhook_has_its_picture_times_and_what_is_known_of_its_sections() -> None:
    [event] = ADAPTER.read(drupal_hook(), SourceSettings())
    assert isinstance(event, StoryRead)
    assert event.fields == {
        "id": NODE,
        "headline": 'Harbour reopens: "calm" & safe',
        "summary": "It is open.",
        "body_html": DAWN_HTML,
        "sections": [["world", "/tags/world", "3"], ["4", "/taxonomy/term/4"]],
        "images": [{"url": "https://drupal.example/sites/default/files/ferry.png", "alt": "A ferry"}],
        "language": "en",
        "published_at": "2026-11-28T08:00:00Z",
        "updated_at": "2026-11-28T08:05:00Z",
    }


def test_other_entities_and_other_types_of_content_are_ignored_and_what_has_no_node_waits() -> None:
    for other in ({"event": "entity:user:update"}, {"event": "system:cron"}):
        assert isinstance(
            ADAPTER.read(replace(drupal_hook(), body=json.dumps(other).encode()), DRUPAL_SITE)[0], Ignore
        )
    page_node = drupal_hook("update", type=[{"target_id": "page"}])
    assert isinstance(ADAPTER.read(page_node, DRUPAL_SITE)[0], Ignore)
    assert ADAPTER.read(page_node, replace(DRUPAL_SITE, content_type="page")) == [Hint([NODE])]
    for broken in ({}, {"event": "entity:node:update"}, {"entity": {"nid": [{"value": 1}]}}):
        with pytest.raises(Unreadable, match="uuid"):
            ADAPTER.read(HookRequest("POST", "/", {}, json.dumps(broken).encode()), DRUPAL_SITE)


@pytest.mark.parametrize(
    ("header", "digest"), [("x-hub-signature-256", "sha256"), ("x-hub-signature", "sha1")]
)
def test_a_signature_of_the_webhooks_module_verifies_and_none_that_is_spoiled(
    header: str, digest: str
) -> None:
    request = drupal_hook()
    mark = f"{digest}={hmac.digest(DRUPAL_SECRET.encode(), request.body, digest).hex()}"
    signed = replace(request, headers={**request.headers, header: mark})

    def fault(one: HookRequest, *secrets: str) -> str | None:
        return ADAPTER.verify(one, secrets or (DRUPAL_SECRET,), SAVED_AT)

    assert fault(signed) is None
    assert fault(signed, "the-new-secret", DRUPAL_SECRET) is None
    assert fault(signed, with_one_letter_changed(DRUPAL_SECRET))
    assert fault(signed, "")
    assert fault(replace(signed, body=signed.body.replace(b"e", b"f", 1)))
    for other in (with_one_letter_changed(mark), "", "sha256=", "md5=aa", mark[7:]):
        assert fault(replace(signed, headers={header: other}))
    assert "X-Hub-Signature-256" in str(fault(request))


def drupal_document(**attributes: Any) -> dict[str, Any]:
    """A node as JSON:API answers, with the records that were asked for."""
    return {
        "jsonapi": {"version": "1.1"},
        "data": {
            "type": "node--article",
            "id": NODE,
            "attributes": {
                "drupal_internal__nid": 7,
                "langcode": "en",
                "status": True,
                "title": "Harbour reopens",
                "created": "2026-11-28T08:00:00+00:00",
                "changed": "2026-11-28T08:05:00+00:00",
                "path": {"alias": None, "pid": None, "langcode": "en"},
                "body": {"value": "x", "format": "basic_html", "processed": DAWN_HTML, "summary": ""},
                **attributes,
            },
            "relationships": {
                "field_tags": {"data": [{"type": "taxonomy_term--tags", "id": "w"}]},
                "field_image": {"data": {"type": "file--file", "id": "f", "meta": {"alt": "A ferry"}}},
                "field_hero": {"data": {"type": "media--image", "id": "m"}},
                "uid": {"data": {"type": "user--user", "id": "u"}},
            },
        },
        "included": [
            {"type": "taxonomy_term--tags", "id": "w", "attributes": {"name": "World"}},
            {"type": "file--file", "id": "f", "attributes": {"uri": {"url": "/sites/default/files/a.png"}}},
            {"type": "user--user", "id": "u", "attributes": {"display_name": "Ayesha Khan"}},
            {
                "type": "media--image",
                "id": "m",
                "relationships": {
                    "field_media_image": {
                        "data": {"type": "file--file", "id": "f", "meta": {"alt": "Through its medium"}}
                    }
                },
            },
        ],
    }


def drupal_fetched(value: Any, status: int = 200, site: SourceSettings = DRUPAL_SITE) -> StoryRead | Gone:
    assert ADAPTER.fetched is not None
    return ADAPTER.fetched(ApiAnswer(status, {}, json.dumps(value).encode()), NODE, site)


def test_a_node_of_json_api_comes_with_its_sections_author_and_picture() -> None:
    assert ADAPTER.fetch is not None
    asked = ADAPTER.fetch(NODE, DRUPAL_SITE).url
    assert asked == f"https://drupal.example/jsonapi/node/article/{NODE}?include=field_tags,field_image,uid"
    found = drupal_fetched(drupal_document())
    assert isinstance(found, StoryRead)
    assert found.fields["sections"] == [["World"]]
    assert found.fields["authors"] == [{"name": "Ayesha Khan"}]
    assert found.fields["images"] == [
        {"url": "https://drupal.example/sites/default/files/a.png", "alt": "A ferry"}
    ]
    assert found.fields["url"] == "https://drupal.example/node/7"
    assert found.fields["body_html"] == DAWN_HTML


def test_fields_of_another_name_are_found_by_the_settings() -> None:
    assert ADAPTER.fetch is not None
    rules = {
        "sections": "/relationships/field_section",
        "images": "/relationships/field_hero/field_media_image",
        "body_html": "/attributes/field_text",
        "authors": "/attributes/field_byline",
        "correction_note": "/attributes/field_correction",
    }
    site = replace(
        DRUPAL_SITE,
        content_type="news",
        fields={name: FieldRule(pointer) for name, pointer in rules.items()},
    )
    asked = ADAPTER.fetch(NODE, site).url
    assert asked.endswith(f"/jsonapi/node/news/{NODE}?include=field_section,field_hero.field_media_image,uid")
    document = drupal_document(
        field_text={"processed": "<p>Text</p>"}, field_byline="By Ali", field_correction={"value": "Seven."}
    )
    found = drupal_fetched(document, site=site)
    assert isinstance(found, StoryRead)
    assert found.fields["body_html"] == "<p>Text</p>"
    assert found.fields["authors"] == [{"name": "By Ali"}]
    assert found.fields["correction_note"] == "Seven."
    assert found.fields["images"][0]["alt"] == "Through its medium"
    assert "sections" not in found.fields


def test_only_an_answer_of_json_api_says_that_a_node_is_gone() -> None:
    for status in (403, 404):
        faults = {"errors": [{"status": str(status), "detail": "The current user is not allowed to GET it."}]}
        assert drupal_fetched(faults, status) == Gone(NODE)
    assert drupal_fetched(drupal_document(status=False)) == Gone(NODE, updated_at=SAVED_AT)
    no_route = {"errors": [{"status": "404", "detail": 'No route found for "GET /jsonapi/node/article/x"'}]}
    for value, status in (
        (no_route, 404),
        ({}, 404),
        ({}, 200),
        ({"errors": [{"detail": "`field_tags` is not a valid relationship field name."}]}, 400),
    ):
        with pytest.raises(Unreadable):
            drupal_fetched(value, status)


def test_the_address_of_the_editor_who_saved_is_not_kept() -> None:
    stored = stored_request(drupal_hook(), [DRUPAL_SECRET])
    assert b"herald.example" not in stored.body
    assert ADAPTER.read(stored, SourceSettings()) == ADAPTER.read(drupal_hook(), SourceSettings())


def test_a_field_without_a_value_is_an_empty_field() -> None:
    [event] = ADAPTER.read(drupal_hook(body=[{"format": "x"}], title=[{}], created=[None]), SourceSettings())
    assert isinstance(event, StoryRead)
    assert "body_html" not in event.fields


@given(value=spoiled([json.loads(drupal_hook().body), json.loads(drupal_hook("update", **DRAFT).body)]))
@settings(max_examples=100, deadline=None)
def test_a_webhook_of_drupal_with_any_json_is_read_or_held(value: Any) -> None:
    reads_or_says_why(ADAPTER, drupal_hook(), value)


@given(value=spoiled([drupal_document()]), status=st.sampled_from((200, 403)))
@settings(max_examples=60, deadline=None)
def test_any_answer_of_json_api_is_read_or_its_fault_told(value: Any, status: int) -> None:
    with contextlib.suppress(Unreadable):
        drupal_fetched(value, status)
