"""Answers of systems' APIs, page by page: their JSON, and the request for the next one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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


def events(
    read: Callable[[dict[str, Any], str, SourceSettings], Event],
    records: Iterable[dict[str, Any]],
    id_of: Callable[[dict[str, Any]], str],
    settings: SourceSettings,
) -> list[Event]:
    """The events of the records in a list that have an id. One that cannot be read is asked for by itself, which tells
    its fault."""
    return [_event(read, record, story_id, settings) for record in records if (story_id := id_of(record))]


def _event(
    read: Callable[[dict[str, Any], str, SourceSettings], Event],
    record: dict[str, Any],
    story_id: str,
    settings: SourceSettings,
) -> Event:
    try:
        return read(record, story_id, settings)
    except Unreadable:
        return Hint([story_id])


def the_one(
    records: Sequence[dict[str, Any]], id_of: Callable[[dict[str, Any]], str], story_id: str, kind: str
) -> dict[str, Any] | None:
    """The record of a list that was asked for one by its id; None if it is empty. Raises Unreadable for any other."""
    if not records:
        return None
    if len(records) != 1 or id_of(records[0]) != story_id:
        raise Unreadable(f"answered with another {kind} than the one that was asked for")
    return records[0]


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
