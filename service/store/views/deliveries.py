"""Deliveries as an operator looks at them: an event's, an endpoint's, one with its attempts. Read-only."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.deliveries.states import holds_back
from service.store.errors import NotFound
from service.store.views.columns import query

ATTEMPTS_SHOWN = 20  # of each of many deliveries


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


def deliveries_of_event(
    connection: Connection, *, article: int, revision: int, endpoint: int, replay: int, limit: int
) -> list[DeliveryNow]:
    """Those of an event, which is known by its article and revision, by endpoint, after this endpoint and replay."""
    values = {"article": article, "revision": revision, "endpoint": endpoint, "replay": replay}
    return _OF_EVENT.all(connection, **values, limit=limit)


def count_of_event(
    connection: Connection, *, article: int, revision: int, endpoint: int, replay: int
) -> tuple[int, int]:
    """How many deliveries an event has, and how many of them up to this endpoint and replay."""
    values = {"article": article, "revision": revision, "endpoint": endpoint, "replay": replay}
    counts = _COUNT_OF_EVENT.one(connection, **values)
    assert counts is not None, "a count has one row"
    return counts.total, counts.before


def latest_attempts(
    connection: Connection, deliveries: Sequence[int], limit: int = ATTEMPTS_SHOWN
) -> dict[int, tuple[tuple[AttemptNow, ...], int]]:
    """The latest attempts of these deliveries' rows, the oldest first, and how many there are, by delivery."""
    attempts: dict[int, list[_AttemptOf]] = defaultdict(list)
    for each in _ATTEMPTS.all(connection, ids=list(deliveries), limit=limit):
        attempts[each.delivery].append(each)
    return {row: (tuple(found), found[0].total) for row, found in attempts.items()}


class MatrixPage(NamedTuple):
    """The fate of some revisions at some of the `total` endpoints; `before` of them come before. `after`: the last
    of these endpoints, if more come."""

    deliveries: tuple[DeliveryNow, ...]
    total: int
    before: int
    after: int | None


def delivery_matrix(
    record: Record, article_row: int, revisions: Sequence[int], after: int, limit: int
) -> MatrixPage:
    """Of each endpoint after this one and each revision the last delivery, by endpoint."""
    with record.surveying() as connection:
        found = _ENDPOINTS_OF_ARTICLE.rows(connection, article=article_row, after=after, limit=limit + 1)
        endpoints = [endpoint for (endpoint,) in found]
        counts = _COUNT_OF_ARTICLE.one(connection, article=article_row, after=after)
        assert counts is not None, "a count has one row"
        shown = endpoints[:limit]
        deliveries = _MATRIX.all(connection, article=article_row, endpoints=shown, revisions=list(revisions))
    more = shown[-1] if len(endpoints) > limit else None
    return MatrixPage(tuple(deliveries), counts.total, counts.before, more)


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
# In the order of the index that has an article's deliveries together.
_OF_EVENT = _listing(
    "d.article_id = :article AND d.revision = :revision AND (d.endpoint_id, d.replay) > (:endpoint, :replay)"
    " ORDER BY d.endpoint_id, d.replay LIMIT :limit"
)
_MATRIX = _listing(
    "d.article_id = :article AND d.endpoint_id IN :endpoints[] AND d.revision IN :revisions[]"
    " AND NOT EXISTS (SELECT 1 FROM delivery n WHERE n.article_id = d.article_id"
    " AND n.endpoint_id = d.endpoint_id AND n.revision = d.revision AND n.replay > d.replay)"
    " ORDER BY d.endpoint_id, d.revision"
)
_ENDPOINTS_OF_ARTICLE = Statement(
    "SELECT DISTINCT endpoint_id FROM delivery WHERE article_id = :article AND endpoint_id > :after"
    " ORDER BY endpoint_id LIMIT :limit"
)


class _PartCounts(NamedTuple):
    total: int
    before: int


_COUNT_OF_EVENT = Query(
    _PartCounts,
    "SELECT count(*), coalesce(sum(CASE WHEN (endpoint_id, replay) > (:endpoint, :replay) THEN 0 ELSE 1 END), 0)"
    " FROM delivery WHERE article_id = :article AND revision = :revision",
)
_COUNT_OF_ARTICLE = Query(
    _PartCounts,
    "SELECT count(DISTINCT endpoint_id), count(DISTINCT CASE WHEN endpoint_id <= :after THEN endpoint_id END)"
    " FROM delivery WHERE article_id = :article",
)
_BY_NAME = _listing(
    "d.article_id = (SELECT article_id FROM event WHERE public_id = :event)"
    " AND d.endpoint_id = :endpoint_id AND d.replay = :replay AND v.public_id = :event"
)


@dataclass(frozen=True)
class _AttemptOf(AttemptNow):
    delivery: int
    total: int


_ATTEMPT_COLUMNS = (
    "number, started_at, outcome, status, words, lookup_ms, connect_ms, tls_ms, first_byte_ms, total_ms,"
    " address, worker"
)
_ATTEMPTS = Query(
    _AttemptOf,
    f"""
    SELECT {_ATTEMPT_COLUMNS}, delivery_id, total FROM (
        SELECT id, delivery_id, {_ATTEMPT_COLUMNS}, count(*) OVER (PARTITION BY delivery_id) AS total,
            row_number() OVER (PARTITION BY delivery_id ORDER BY id DESC) AS place
        FROM attempt WHERE delivery_id IN :ids[]) a
    WHERE place <= :limit ORDER BY id""",
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
