"""An article and an event with all that became of them, for the API and the pages. Read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.content import read
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.errors import NotFound
from service.store.views.columns import query
from service.store.views.deliveries import (
    AttemptNow,
    DeliveryNow,
    attempts_of,
    deliveries_of_article,
    deliveries_of_event,
)


@dataclass(frozen=True)
class EventDetails:
    """`routed_at` is None until its deliveries are made."""

    id: str
    type: str
    revision: int
    occurred_at: datetime
    actor: str
    reason: str | None
    routed_at: datetime | None


@dataclass(frozen=True)
class RevisionNow:
    """`event` made this revision. `headline` is shown on the article's own page only."""

    number: int
    status: str
    headline: str | None
    language: str | None
    version: int | None
    accepted_at: datetime
    event: EventDetails


@dataclass(frozen=True)
class HoldingNow:
    """A revision that a partner is known to hold. `channel`: push or pull (at `endpoint_id`) or feed (`endpoint_id`
    is 0)."""

    partner: str
    partner_name: str
    endpoint_id: int
    url: str | None
    channel: str
    revision: int
    since: datetime


@dataclass(frozen=True)
class ArticleTrace:
    """`content` is the newest revision's, embargoed or not. `revisions`: the newest first. `holdings` has each
    partner and channel once."""

    id: str
    source: str
    source_name: str
    external_id: str
    revision: int
    status: str
    killed_by_desk: bool
    embargo_until: datetime | None
    expires_at: datetime | None
    first_published_at: datetime
    changed_at: datetime
    content: Mapping[str, Any]
    revisions: tuple[RevisionNow, ...]
    holdings: tuple[HoldingNow, ...]
    deliveries: tuple[DeliveryNow, ...]


@dataclass(frozen=True)
class DeliveryTrace:
    """A delivery with its attempts, the oldest first."""

    delivery: DeliveryNow
    attempts: tuple[AttemptNow, ...]


@dataclass(frozen=True)
class EventTrace:
    """An event, its article as it stands now, and its deliveries in the order in which they were made."""

    event: EventDetails
    article: str
    article_status: str
    newest: int
    headline: str | None
    language: str | None
    embargo_until: datetime | None
    deliveries: tuple[DeliveryTrace, ...]


def article_trace(record: Record, name: str) -> ArticleTrace:
    """By public id, or the last part of it. Raises NotFound."""
    with record.surveying() as connection:
        return _article_trace(connection, names.find_article(connection, name), name)


def article_by_external(record: Record, source_slug: str, external_id: str) -> ArticleTrace:
    """By the source's own id. Raises NotFound."""
    name = f"{source_slug}/{external_id}"
    if not names.is_storable(name):
        raise NotFound("article", name)
    with record.surveying() as connection:
        found = _BY_EXTERNAL.value(connection, source=source_slug, external_id=external_id)
        return _article_trace(connection, found, name)


def event_trace(record: Record, name: str) -> EventTrace:
    """By public id. Raises NotFound."""
    event = names.read_event_id(name)
    with record.surveying() as connection:
        row = _EVENT.one(connection, event=event) if event else None
        if row is None:
            raise NotFound("event", name)
        deliveries = deliveries_of_event(connection, row.article_row, row.revision)
        attempts = attempts_of(connection, [each.row for each in deliveries])
    return EventTrace(
        event=EventDetails(*row[:7]),
        article=row.article,
        article_status=row.article_status,
        newest=row.newest,
        headline=row.headline,
        language=row.language,
        embargo_until=row.embargo_until,
        deliveries=tuple(DeliveryTrace(each, tuple(attempts.get(each.row, ()))) for each in deliveries),
    )


class _HistoryArticleRow(NamedTuple):
    row: int
    id: str
    source: str
    source_name: str
    external_id: str
    revision: int
    status: str
    killed_by_desk: bool
    embargo_until: datetime | None
    expires_at: datetime | None
    first_published_at: datetime
    changed_at: datetime
    content: str


class _RevisionRow(NamedTuple):
    number: int
    status: str
    headline: str | None
    language: str | None
    version: int | None
    accepted_at: datetime
    event: str
    type: str
    of: int
    occurred_at: datetime
    actor: str
    reason: str | None
    routed_at: datetime | None


class _EventRow(NamedTuple):
    id: str
    type: str
    revision: int
    occurred_at: datetime
    actor: str
    reason: str | None
    routed_at: datetime | None
    article_row: int
    article: str
    article_status: str
    newest: int
    headline: str | None
    language: str | None
    embargo_until: datetime | None


_BY_EXTERNAL = Statement(
    "SELECT a.id FROM article a JOIN source s ON s.id = a.source_id"
    " WHERE s.slug = :source AND a.external_id = :external_id"
)
_ARTICLE = Query(
    _HistoryArticleRow,
    """
    SELECT a.id, a.public_id, s.slug, s.name, a.external_id, a.revision, a.status, a.killed_by_desk,
        a.embargo_until, a.expires_at, a.first_published_at, a.changed_at, r.content
    FROM article a JOIN source s ON s.id = a.source_id
    JOIN revision r ON r.article_id = a.id AND r.number = a.revision WHERE a.id = :article""",
)
_EVENT_COLUMNS = "v.public_id, v.type, v.revision, v.occurred_at, v.actor, v.reason, v.routed_at"
_REVISIONS = query(
    _RevisionRow,
    f"""
    SELECT r.number, r.status, {{headline}}, {{language}}, r.version, r.accepted_at, {_EVENT_COLUMNS}
    FROM revision r JOIN event v ON v.article_id = r.article_id AND v.revision = r.number
    WHERE r.article_id = :article ORDER BY r.number DESC""",
)
_HOLDINGS = Query(
    HoldingNow,
    """
    SELECT p.slug, p.name, r.endpoint_id, e.url, r.channel, r.revision, r.held_since FROM receipt r
    JOIN partner p ON p.id = r.partner_id LEFT JOIN endpoint e ON e.id = r.endpoint_id
    WHERE r.article_id = :article ORDER BY p.slug, r.endpoint_id""",
)
_EVENT = query(
    _EventRow,
    f"""
    SELECT {_EVENT_COLUMNS}, v.article_id, a.public_id, a.status, a.revision, {{headline}}, {{language}},
        a.embargo_until
    FROM event v JOIN article a ON a.id = v.article_id
    JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision WHERE v.public_id = :event""",
)


def _article_trace(connection: Connection, article: int | None, name: str) -> ArticleTrace:
    row = None if article is None else _ARTICLE.one(connection, article=article)
    if row is None:
        raise NotFound("article", name)
    facts = row._asdict()
    del facts["row"]
    facts |= {
        "content": read(row.content),
        "revisions": tuple(map(_revision, _REVISIONS.all(connection, article=row.row))),
        "holdings": tuple(_HOLDINGS.all(connection, article=row.row)),
        "deliveries": tuple(deliveries_of_article(connection, row.row)),
    }
    return ArticleTrace(**facts)


def _revision(row: _RevisionRow) -> RevisionNow:
    return RevisionNow(*row[:6], EventDetails(*row[6:]))
