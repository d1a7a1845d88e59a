"""Answers of hosted content systems, and an adapter's way from an id to its story over several of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    Gone,
    HookRequest,
    SourceSettings,
    StoryRead,
    Unreadable,
)


def api_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> ApiAnswer:
    return ApiAnswer(status, headers or {}, json.dumps(value).encode())


def hook_of(value: Any, **headers: str) -> HookRequest:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return HookRequest("POST", "/v1/hooks/cms", named, json.dumps(value).encode())


def looked_up(
    adapter: Adapter, story_id: str, settings: SourceSettings, *answers: ApiAnswer
) -> tuple[StoryRead | Gone, list[ApiRequest]]:
    """The story that these answers lead to, and the requests that were made for them."""
    assert adapter.fetch is not None
    assert adapter.fetched is not None
    requests = [adapter.fetch(story_id, settings)]
    for answer in answers:
        event = adapter.fetched(answer, story_id, settings)
        if not isinstance(event, ApiRequest):
            assert len(requests) == len(answers)
            return event, requests
        requests.append(event)
    raise AssertionError(f"{len(answers)} answers led to no story")


def any_answer_is_read(adapter: Adapter, settings: SourceSettings, answer: ApiAnswer) -> None:
    """An answer with whatever JSON is read, or its fault is told."""
    assert adapter.fetched is not None
    with contextlib.suppress(Unreadable):
        adapter.fetched(answer, "a1", settings)
    comparison = adapter.reconciliation
    if comparison is None:
        return
    with contextlib.suppress(Unreadable):
        asked = comparison.changed(datetime(2026, 11, 28, tzinfo=UTC), settings)
        comparison.changed_page(answer, asked, settings)
    with contextlib.suppress(Unreadable):
        comparison.ids_page(answer, comparison.all_ids(settings), settings)
