"""Deliveries as an operator looks at them: an event's, an endpoint's, one with its attempts. Read-only."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.deliveries.states import holds_back
from service.store.errors import NotFound
from service.store.views.columns import query


@dataclass(frozen=True)
class DeliveryNow:
    """A delivery with its story and where it goes. `embargo_until` is that of its article now, which
    holds every revision."""

    row: int
    partner: str
    partner_name: str
    endpoint_id: int
    url: str
    article: str
    article_row: int
    article_status: str
    newest: int
    event: str
    event_row: int
    type: str
    headline: str | None
    language: str | None
    embargo_until: datetime | None
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

    @property
    def id(self) -> str:
        """Its webhook-id."""
        return names.delivery_id(self.event, self.endpoint_id, self.replay)


@dataclass(frozen=True)
class AttemptNow:
    """Times in milliseconds."""

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
    worker: str


@dataclass(frozen=True)
class AnsweredAttempt(AttemptNow):
    """The answer is in the partner's words: hostile, to be shown as text only."""

    response_headers: str | None
    response_body: bytes | None
    answer_hash: str | None  # of a body that was wiped, when the story was killed

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return tuple((str(name), str(value)) for name, value in json.loads(self.response_headers or "[]"))

    @property
    def body(self) -> bytes:
        return bytes(self.response_body or b"")


@dataclass(frozen=True)
class Before:
    """A delivery of the same article to the same endpoint that must be done first, or goes instead."""

    revision: int
    state: str


@dataclass(frozen=True)
class DeliveryPage:
    """`attempts`: the newest first, a hundred at the most."""

    delivery: DeliveryNow
    attempts: tuple[AnsweredAttempt, ...]
    before: tuple[Before, ...]


def latest_deliveries(record: Record, endpoint_id: int, limit: int = 25) -> list[DeliveryNow]:
    """An endpoint's newest, by its sequence numbers."""
    with record.surveying() as connection:
        return _LATEST.all(connection, endpoint=endpoint_id, limit=limit)


def undelivered(record: Record, endpoint_id: int, limit: int = 25) -> list[DeliveryNow]:
    """The deliveries that wait at an endpoint, in the order in which they will be sent."""
    with record.surveying() as connection:
        return _UNDELIVERED.all(connection, endpoint=endpoint_id, limit=limit)


def dead_of(record: Record, endpoint_id: int, limit: int = 50) -> list[DeliveryNow]:
    """The deliveries that were given up at an endpoint, the latest first."""
    with record.surveying() as connection:
        return _DEAD.all(connection, endpoint=endpoint_id, limit=limit)


def deliveries_of_article(connection: Connection, article_row: int) -> list[DeliveryNow]:
    """All of an article's, by partner and then in the order they were made."""
    return _OF_ARTICLE.all(connection, article=article_row)


def deliveries_of_event(connection: Connection, article_row: int, revision: int) -> list[DeliveryNow]:
    """All of an event's, which is known by its article and revision, in the order they were made."""
    return _OF_EVENT.all(connection, article=article_row, revision=revision)


def attempts_of(connection: Connection, deliveries: Sequence[int]) -> dict[int, list[AttemptNow]]:
    """The attempts of these deliveries' rows, the oldest first, by delivery."""
    attempts: dict[int, list[AttemptNow]] = defaultdict(list)
    for each in _ATTEMPTS.all(connection, ids=list(deliveries)):
        attempts[each.delivery].append(each)
    return attempts


def delivery_page(record: Record, name: str) -> DeliveryPage:
    """By webhook-id. Raises NotFound."""
    read = names.read_delivery_id(name)
    with record.surveying() as connection:
        found = _BY_NAME.one(connection, **read._asdict()) if read else None
        if found is None:
            raise NotFound("delivery", name)
        answers = tuple(_ANSWERS.all(connection, id=found.row))
        return DeliveryPage(found, answers, _before(connection, found))


def _listing(which: str) -> Query[DeliveryNow]:
    return query(
        DeliveryNow,
        f"""
        SELECT d.id, p.slug, p.name, d.endpoint_id, e.url, a.public_id, d.article_id, a.status, a.revision,
            v.public_id, d.event_id, v.type, {{headline}}, {{language}}, a.embargo_until, d.revision, d.replay,
            d.sequence, d.priority, d.ordered, d.state, d.due_at, d.attempts, d.superseded_by, d.last_status,
            d.last_words, d.lease_until, d.created_at, d.settled_at
        FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id JOIN partner p ON p.id = e.partner_id
        JOIN article a ON a.id = d.article_id JOIN event v ON v.id = d.event_id
        JOIN revision r ON r.article_id = d.article_id AND r.number = d.revision
        WHERE {which}""",
    )


_LATEST = _listing("d.endpoint_id = :endpoint ORDER BY d.sequence DESC LIMIT :limit")
_UNDELIVERED = _listing(
    "d.endpoint_id = :endpoint AND d.state IN ('pending', 'waiting')"
    " ORDER BY d.priority, d.due_at, d.id LIMIT :limit"
)
_DEAD = _listing("d.endpoint_id = :endpoint AND d.state = 'dead' ORDER BY d.id DESC LIMIT :limit")
_OF_ARTICLE = _listing("d.article_id = :article ORDER BY p.name, d.endpoint_id, d.id")
_OF_EVENT = _listing("d.article_id = :article AND d.revision = :revision ORDER BY d.id")
_BY_NAME = _listing(
    "d.article_id = (SELECT article_id FROM event WHERE public_id = :event)"
    " AND d.endpoint_id = :endpoint_id AND d.replay = :replay AND v.public_id = :event"
)


@dataclass(frozen=True)
class _AttemptOf(AttemptNow):
    delivery: int


_ATTEMPT_COLUMNS = (
    "number, started_at, outcome, status, words, lookup_ms, connect_ms, tls_ms, first_byte_ms, total_ms,"
    " address, worker"
)
_ATTEMPTS = Query(
    _AttemptOf,
    f"SELECT {_ATTEMPT_COLUMNS}, delivery_id FROM attempt WHERE delivery_id IN :ids[] ORDER BY id",
)
_ANSWERS = Query(
    AnsweredAttempt,
    f"SELECT {_ATTEMPT_COLUMNS}, response_headers, response_body, answer_hash FROM attempt"
    " WHERE delivery_id = :id ORDER BY id DESC LIMIT 100",
)


_BEFORE = Query(
    Before,
    f"""
    SELECT o.revision, o.state FROM delivery x
    JOIN delivery o ON o.article_id = x.article_id AND o.endpoint_id = x.endpoint_id AND o.id <> x.id
    WHERE x.id = :id AND {holds_back("o", "x")} ORDER BY o.revision""",
)


def _before(connection: Connection, found: DeliveryNow) -> tuple[Before, ...]:
    return tuple(_BEFORE.all(connection, id=found.row))
