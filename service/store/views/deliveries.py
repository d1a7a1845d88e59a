"""Deliveries as an operator looks at them: an event's, an endpoint's, one with its attempts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.store.database.record import Record
from service.store.deliveries.claims import delivery_name
from service.store.deliveries.states import holds_back
from service.store.schema.base import from_micros
from service.store.views.columns import headline_of, language_of


@dataclass(frozen=True)
class DeliveryNow:
    """A delivery with what it is about and whither. `embargo_until` is that of its own revision."""

    id: str
    row: int
    partner: str
    partner_name: str
    endpoint_id: int
    url: str
    article: str
    event: str
    event_id: int  # its row
    type: str
    headline: str | None
    language: str | None
    embargo_until: datetime | None
    article_status: str
    newest: int
    revision: int
    replay: int
    sequence: int
    priority: int
    ordered: bool
    state: str
    due_at: datetime
    attempts: int
    superseded_by: int | None
    last_status: int | None
    last_words: str | None
    lease_until: datetime | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True)
class AttemptNow:
    """Times in milliseconds. `headers` and `body` are the partner's words: hostile, to be shown as text only."""

    number: int
    started_at: datetime
    outcome: str
    status: int | None
    words: str
    lookup_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    first_byte_ms: float | None
    total_ms: float | None
    address: str | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    worker: str


@dataclass(frozen=True)
class Before:
    """A delivery of the same article to the same endpoint that must be done first, or goes instead."""

    revision: int
    state: str


@dataclass(frozen=True)
class DeliveryPage:
    delivery: DeliveryNow
    attempts: tuple[AttemptNow, ...]
    before: tuple[Before, ...]


@dataclass(frozen=True)
class EventPage:
    """An event with its deliveries."""

    id: str
    type: str
    revision: int
    article: str
    article_status: str
    newest: int
    headline: str | None
    language: str | None
    embargo_until: datetime | None
    occurred_at: datetime
    routed_at: datetime | None
    actor: str
    reason: str | None
    deliveries: tuple[DeliveryNow, ...]


def _select(record: Record) -> str:
    return f"""
        SELECT d.*, p.slug AS partner, p.name AS partner_name, e.url, a.public_id AS article,
            a.status AS article_status, a.revision AS newest, v.public_id AS event, v.type,
            r.embargo_until, {headline_of(record)} AS headline, {language_of(record)} AS language
        FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id JOIN partner p ON p.id = e.partner_id
        JOIN article a ON a.id = d.article_id JOIN event v ON v.id = d.event_id
        JOIN revision r ON r.article_id = d.article_id AND r.number = d.revision"""


def deliveries_of_article(record: Record, connection: Connection, article_id: int) -> list[DeliveryNow]:
    """All of an article's, by partner and then in the order they were made."""
    where = "WHERE d.article_id = :article ORDER BY p.name, d.endpoint_id, d.id"
    rows = connection.execute(text(f"{_select(record)} {where}"), {"article": article_id})
    return [_delivery(row) for row in rows]


def latest_deliveries(record: Record, endpoint_id: int, limit: int = 25) -> list[DeliveryNow]:
    """An endpoint's newest, by its sequence numbers."""
    return _of_endpoint(
        record, "WHERE d.endpoint_id = :endpoint ORDER BY d.sequence DESC", endpoint_id, limit
    )


def undelivered(record: Record, endpoint_id: int, limit: int = 25) -> list[DeliveryNow]:
    """What waits at an endpoint, in the order in which it will be sent."""
    where = "WHERE d.endpoint_id = :endpoint AND d.state IN ('pending', 'waiting') ORDER BY d.priority, d.due_at, d.id"
    return _of_endpoint(record, where, endpoint_id, limit)


def dead_of(record: Record, endpoint_id: int, limit: int = 50) -> list[DeliveryNow]:
    """What was given up at an endpoint, the latest first."""
    where = "WHERE d.endpoint_id = :endpoint AND d.state = 'dead' ORDER BY d.id DESC"
    return _of_endpoint(record, where, endpoint_id, limit)


def _of_endpoint(record: Record, where: str, endpoint_id: int, limit: int) -> list[DeliveryNow]:
    query = text(f"{_select(record)} {where} LIMIT :limit")
    with record.surveying() as connection:
        return [
            _delivery(row) for row in connection.execute(query, {"endpoint": endpoint_id, "limit": limit})
        ]


def _delivery(row: Any) -> DeliveryNow:
    columns = row._mapping
    copied = {name: columns[name] for name in DeliveryNow.__dataclass_fields__ if name in columns}
    moments = ("embargo_until", "due_at", "lease_until", "created_at", "settled_at")
    given: dict[str, Any] = {
        **copied,
        **{name: _moment(columns[name]) for name in moments},
        "id": delivery_name(row.event, row.endpoint_id, row.replay),
        "row": row.id,
        "ordered": bool(row.ordered),
    }
    return DeliveryNow(**given)


def delivery_page(record: Record, name: str) -> DeliveryPage | None:
    """By webhook-id; None if there is no such delivery."""
    named = _parts(name)
    if named is None:
        return None
    where = (
        "WHERE d.article_id = (SELECT article_id FROM event WHERE public_id = :event)"
        " AND d.endpoint_id = :endpoint AND d.replay = :replay AND v.public_id = :event"
    )
    with record.surveying() as connection:
        row = connection.execute(text(f"{_select(record)} {where}"), named).one_or_none()
        if row is None:
            return None
        return DeliveryPage(_delivery(row), _attempts(connection, row.id), _before(connection, row))


def _parts(name: str) -> Mapping[str, Any] | None:
    pieces = name.removeprefix("dlv_").split("_")
    numbers = pieces[1:]
    if not name.startswith("dlv_") or len(pieces) not in {2, 3}:
        return None
    if not all(each.isascii() and each.isdigit() and len(each) < 19 for each in numbers):
        return None
    replay = int(numbers[1]) if len(numbers) == 2 else 0
    return {"event": f"evt_{pieces[0]}", "endpoint": int(numbers[0]), "replay": replay}


def _attempts(connection: Connection, delivery_row: int) -> tuple[AttemptNow, ...]:
    query = text("SELECT * FROM attempt WHERE delivery_id = :id ORDER BY id DESC LIMIT 100")
    return tuple(_attempt(row) for row in connection.execute(query, {"id": delivery_row}))


def _attempt(row: Any) -> AttemptNow:
    columns = row._mapping
    copied = {name: columns[name] for name in AttemptNow.__dataclass_fields__ if name in columns}
    given: dict[str, Any] = {
        **copied,
        "started_at": from_micros(row.started_at),
        "headers": tuple((str(name), str(value)) for name, value in json.loads(row.response_headers or "[]")),
        "body": bytes(row.response_body or b""),
    }
    return AttemptNow(**given)


_BEFORE = text(f"""
    SELECT o.revision, o.state FROM delivery x
    JOIN delivery o ON o.article_id = x.article_id AND o.endpoint_id = x.endpoint_id AND o.id <> x.id
    WHERE x.id = :id AND {holds_back("o", "x")} ORDER BY o.revision""")


def _before(connection: Connection, row: Any) -> tuple[Before, ...]:
    return tuple(Before(each.revision, each.state) for each in connection.execute(_BEFORE, {"id": row.id}))


def event_page(record: Record, name: str) -> EventPage | None:
    """By public id; None if there is no such event."""
    query = text(f"""
        SELECT v.*, a.public_id AS article, a.status AS article_status, a.revision AS newest, r.embargo_until,
            {headline_of(record)} AS headline, {language_of(record)} AS language
        FROM event v JOIN article a ON a.id = v.article_id
        JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision WHERE v.public_id = :name""")
    with record.surveying() as connection:
        row = connection.execute(query, {"name": name}).one_or_none()
        if row is None:
            return None
        where = (
            "WHERE d.article_id = :article AND d.revision = :revision ORDER BY p.name, d.endpoint_id, d.id"
        )
        values = {"article": row.article_id, "revision": row.revision}
        deliveries = connection.execute(text(f"{_select(record)} {where}"), values).all()
    columns = row._mapping
    copied = {each: columns[each] for each in EventPage.__dataclass_fields__ if each in columns}
    given: dict[str, Any] = {
        **copied,
        "id": row.public_id,
        **{each: _moment(columns[each]) for each in ("embargo_until", "occurred_at", "routed_at")},
        "deliveries": tuple(_delivery(each) for each in deliveries),
    }
    return EventPage(**given)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(int(micros))
