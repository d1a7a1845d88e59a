"""Refusals by which a system says that one story is gone: a worker hands them on, and does not take the system for one
that may not be asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from service.intake.adapters.adapter import Adapter, ApiAnswer, Gone, SourceSettings, Unreadable
from service.intake.adapters.registry import ADAPTERS
from workers.fetch import backoff

_STORY = "7"
_BASE = SourceSettings(base_url="https://cms.example", has_token=True)
_REFUSALS: Sequence[Any] = (
    {
        "errors": [
            {"status": "403", "detail": "The current user is not allowed to GET the selected resource."}
        ]
    },
    {"errors": [{"type": "NotFoundError", "message": "Resource not found."}]},
    {"errors": [{"message": "You don't have permission.", "extensions": {"code": "FORBIDDEN"}}]},
    {"code": "rest_forbidden", "message": "Sorry.", "data": {"status": 401}},
    {"code": "rest_post_invalid_id", "message": "Invalid post ID.", "data": {"status": 404}},
    {"data": None, "error": {"status": 403, "name": "ForbiddenError", "message": "Forbidden"}},
    {},
)
_ASKED = [each for each in ADAPTERS.values() if each.fetch is not None]


@pytest.mark.parametrize("adapter", _ASKED, ids=[each.name for each in _ASKED])
def test_an_unpublished_story_that_its_system_refuses_to_show_is_no_system_that_fails(
    adapter: Adapter,
) -> None:
    assert adapter.fetch is not None
    expected = adapter.fetch(_STORY, _BASE).expected
    for status in (401, 403, 404, 410, 500):
        for refusal in _REFUSALS:
            answer = ApiAnswer(status, {}, json.dumps(refusal).encode())
            if _says_gone(adapter, answer) and backoff.is_the_systems(answer):
                assert status in expected, f"{status} {refusal}"


def _says_gone(adapter: Adapter, answer: ApiAnswer) -> bool:
    assert adapter.fetched is not None
    try:
        return isinstance(adapter.fetched(answer, _STORY, _BASE), Gone)
    except Unreadable:
        return False
