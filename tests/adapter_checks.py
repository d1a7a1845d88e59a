"""Checks that every adapter passes: of its captures' outcomes, of its signatures, of its API's answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    Event,
    Gone,
    HookRequest,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.section_map import KnownSections
from tests.captured_hooks import CaptureOutcome, agrees, all_captured, outcomes, with_one_letter_changed

CHECKED_AT = datetime(2026, 11, 28, 17, 10, tzinfo=UTC)
SECTIONS_OF_DESK = KnownSections.of(
    {"world": ("world", "World"), "harbour": ("harbour", "Harbour"), "other": ("other", "Other")}
)


def wrong_outcomes(adapter: Adapter, expected: Mapping[str, Sequence[CaptureOutcome]], **options: Any) -> Any:
    """The captures that have another outcome than the one written down, and those that have none."""
    requests = all_captured(adapter.name)
    wrong: dict[str, Any] = {number: "not written down" for number in requests if number not in expected}
    for number, wanted in expected.items():
        options = {"default_section": "other", **options}
        found = outcomes(adapter, requests[number], SECTIONS_OF_DESK, **options)
        if len(found) != len(wanted) or not all(map(agrees, found, wanted)):
            wrong[number] = found
    return wrong


def verifies_nothing_changed(adapter: Adapter, request: HookRequest, secret: str, header: str) -> None:
    """The request verifies with its secret, old or new, and with no other, nor with a byte of it changed."""
    assert adapter.verify(request, [secret], CHECKED_AT) is None
    assert adapter.verify(request, ["the-new-secret", secret], CHECKED_AT) is None
    assert adapter.verify(request, [], CHECKED_AT)
    assert adapter.verify(request, [""], CHECKED_AT)
    assert adapter.verify(request, [with_one_letter_changed(secret)], CHECKED_AT)
    for value in (with_one_letter_changed(request.headers[header]), "", "é", "=", "a" * 5_000):
        changed = replace(request, headers={**request.headers, header: value})
        assert adapter.verify(changed, [secret], CHECKED_AT)
    missing = {name: value for name, value in request.headers.items() if name != header}
    assert adapter.verify(replace(request, headers=missing), [secret], CHECKED_AT)


def json_answer(value: Any, status: int = 200) -> ApiAnswer:
    return ApiAnswer(status, {}, json.dumps(value).encode())


def hook_events(adapter: Adapter, hook: Any, settings: SourceSettings, **headers: str) -> list[Event]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(
        adapter.read(HookRequest("POST", "/v1/hooks/cms", named, json.dumps(hook).encode()), settings)
    )


def fetched_story(
    adapter: Adapter, answer: ApiAnswer, story_id: str, settings: SourceSettings
) -> StoryRead | Gone:
    assert adapter.fetched is not None
    found = adapter.fetched(answer, story_id, settings)
    assert isinstance(found, StoryRead | Gone)
    return found


def any_answer_is_read_or_its_fault_told(
    adapter: Adapter, answer: ApiAnswer, settings: SourceSettings
) -> None:
    comparison = adapter.reconciliation
    assert comparison is not None
    changed, ids = comparison.changed(CHECKED_AT, settings), comparison.all_ids(settings)
    for ask in (
        lambda: fetched_story(adapter, answer, "a1", settings),
        lambda: comparison.changed_page(answer, changed, settings),
        lambda: comparison.ids_page(answer, ids, settings),
    ):
        with contextlib.suppress(Unreadable):
            ask()
