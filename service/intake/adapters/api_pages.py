"""Answers of systems' APIs, page by page: their JSON, and the request for the next one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from service.intake.adapters.adapter import (
    ApiAnswer,
    ApiRequest,
    Event,
    Hint,
    SourceSettings,
    Unreadable,
)
from service.intake.adapters.json_values import decoded


def body(answer: ApiAnswer, allowed: Collection[int] = (200,)) -> dict[str, Any]:
    """The object in an answer. Raises Unreadable, with the status of any other answer."""
    if answer.status not in allowed:
        raise Unreadable(f"answered {answer.status}")
    try:
        return decoded(answer.body)
    except Unreadable:
        raise Unreadable(f"answered {answer.status} without JSON: is --base-url right?") from None


def event(
    read: Callable[[dict[str, Any], str, SourceSettings], Event],
    record: dict[str, Any],
    story_id: str,
    settings: SourceSettings,
) -> Event:
    """The event of a record in a list. One that cannot be read is asked for by itself, which tells its fault."""
    try:
        return read(record, story_id, settings)
    except Unreadable:
        return Hint([story_id])


def with_query(request: ApiRequest, changed: Mapping[str, str]) -> ApiRequest:
    """The request with other values in its query."""
    parts = urlsplit(request.url)
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **changed}
    return replace(request, url=parts._replace(query=urlencode(query, quote_via=quote)).geturl())


def number(request: ApiRequest, name: str) -> int:
    """A number in the query of a request of ours."""
    found = dict(parse_qsl(urlsplit(request.url).query)).get(name, "")
    return int(found) if found.isascii() and found.isdigit() and len(found) < 10 else 0


def query_value(request: ApiRequest, name: str) -> str:
    """A value in the query of a request of ours; empty if it has none."""
    return dict(parse_qsl(urlsplit(request.url).query)).get(name, "")
