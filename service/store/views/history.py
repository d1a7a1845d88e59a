"""What became of an article, an event, a delivery. Read-only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from service.store.articles.accept import named
from service.store.content import read
from service.store.database.record import Record
from service.store.deliveries.claims import delivery_name
from service.store.errors import NotFound
from service.store.schema.articles import article, event, revision, source
from service.store.schema.base import from_micros


@dataclass(frozen=True)
class RevisionSeen:
    number: int
    status: str
    headline: str | None
    version: int | None
    accepted_at: datetime


@dataclass(frozen=True)
class EventSeen:
    id: str
    type: str
    revision: int
    occurred_at: datetime
    actor: str
    reason: str | None
    routed_at: datetime | None


@dataclass(frozen=True)
class Holding:
    """What a partner is known to hold, by one channel: 'push' to the endpoint, 'pull' by it, or 'feed'."""

    partner: str
    revision: int
    since: datetime
    channel: str
    endpoint_id: int


@dataclass(frozen=True)
class ArticleTrace:
    """`content` is the newest revision's. `holdings` has each partner and channel once."""

    id: str
    source: str
    external_id: str
    revision: int
    status: str
    content: dict[str, Any]
    embargo_until: datetime | None
    expires_at: datetime | None
    first_published_at: datetime
    changed_at: datetime
    killed_by_desk: bool
    revisions: tuple[RevisionSeen, ...]
    events: tuple[EventSeen, ...]
    holdings: tuple[Holding, ...]


@dataclass(frozen=True)
class AttemptSeen:
    number: int
    started_at: datetime
    outcome: str
    status: int | None
    words: str
    total_ms: float | None
    address: str | None


@dataclass(frozen=True)
class DeliverySeen:
    id: str
    partner: str
    endpoint_id: int
    sequence: int
    revision: int
    state: str
    due_at: datetime
    attempts: int
    superseded_by: int | None
    last_words: str | None
    settled_at: datetime | None
    tries: tuple[AttemptSeen, ...]


@dataclass(frozen=True)
class EventTrace:
    article: str
    event: EventSeen
    deliveries: tuple[DeliverySeen, ...]


def article_trace(record: Record, name: str) -> ArticleTrace:
    """By public id, or the last part of it. Raises NotFound."""
    return _article_trace(record, named(name), name)


def article_by_external(record: Record, source_slug: str, external_id: str) -> ArticleTrace:
    """By the source's own id. Raises NotFound."""
    which = (source.c.slug == source_slug) & (article.c.external_id == external_id)
    return _article_trace(record, which, f"{source_slug}/{external_id}")


def _article_trace(record: Record, which: Any, name: str) -> ArticleTrace:
    with record.reading() as connection:
        row = connection.execute(
            select(article, source.c.slug.label("source"), revision.c.content)
            .join(source, source.c.id == article.c.source_id)
            .join(
                revision,
                (revision.c.article_id == article.c.id) & (revision.c.number == article.c.revision),
            )
            .where(which)
        ).one_or_none()
        if row is None:
            raise NotFound("article", name)
        return ArticleTrace(
            id=row.public_id,
            source=row.source,
            external_id=row.external_id,
            revision=row.revision,
            status=row.status,
            content=read(row.content),
            embargo_until=row.embargo_until,
            expires_at=row.expires_at,
            first_published_at=row.first_published_at,
            changed_at=row.changed_at,
            killed_by_desk=row.killed_by_desk,
            revisions=_revisions(connection, row.id),
            events=_events(connection, row.id),
            holdings=_holdings(connection, row.id),
        )


def _revisions(connection: Connection, article_id: int) -> tuple[RevisionSeen, ...]:
    query = select(revision).where(revision.c.article_id == article_id).order_by(revision.c.number)
    return tuple(
        RevisionSeen(row.number, row.status, read(row.content).get("headline"), row.version, row.accepted_at)
        for row in connection.execute(query)
    )


def _events(connection: Connection, article_id: int) -> tuple[EventSeen, ...]:
    query = select(event).where(event.c.article_id == article_id).order_by(event.c.revision)
    return tuple(_event(row) for row in connection.execute(query))


def _event(row: Any) -> EventSeen:
    return EventSeen(
        row.public_id, row.type, row.revision, row.occurred_at, row.actor, row.reason, row.routed_at
    )


def _holdings(connection: Connection, article_id: int) -> tuple[Holding, ...]:
    rows = connection.execute(
        text(
            "SELECT p.slug, r.revision, r.held_since, r.channel, r.endpoint_id FROM receipt r"
            " JOIN partner p ON p.id = r.partner_id WHERE r.article_id = :article ORDER BY p.slug, r.endpoint_id"
        ),
        {"article": article_id},
    )
    return tuple(
        Holding(row.slug, row.revision, from_micros(row.held_since), row.channel, row.endpoint_id)
        for row in rows
    )


def event_trace(record: Record, name: str) -> EventTrace:
    """An event with its deliveries and their attempts. Raises NotFound."""
    with record.reading() as connection:
        row = connection.execute(
            select(event, article.c.public_id.label("article"))
            .join(article, article.c.id == event.c.article_id)
            .where(event.c.public_id == name)
        ).one_or_none()
        if row is None:
            raise NotFound("event", name)
        return EventTrace(
            row.article, _event(row), _deliveries(connection, row.article_id, row.revision, row.public_id)
        )


def _deliveries(
    connection: Connection, article_id: int, number: int, event_name: str
) -> tuple[DeliverySeen, ...]:
    rows = connection.execute(
        text(
            "SELECT d.*, p.slug FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id"
            " JOIN partner p ON p.id = e.partner_id"
            " WHERE d.article_id = :article AND d.revision = :revision ORDER BY d.id"
        ),
        {"article": article_id, "revision": number},
    ).all()
    return tuple(
        DeliverySeen(
            id=delivery_name(event_name, row.endpoint_id, row.replay),
            partner=row.slug,
            endpoint_id=row.endpoint_id,
            sequence=row.sequence,
            revision=row.revision,
            state=row.state,
            due_at=from_micros(row.due_at),
            attempts=row.attempts,
            superseded_by=row.superseded_by,
            last_words=row.last_words,
            settled_at=None if row.settled_at is None else from_micros(row.settled_at),
            tries=_tries(connection, row.id),
        )
        for row in rows
    )


def _tries(connection: Connection, delivery_id: int) -> tuple[AttemptSeen, ...]:
    rows = connection.execute(
        text(
            "SELECT number, started_at, outcome, status, words, total_ms, address FROM attempt"
            " WHERE delivery_id = :id ORDER BY id"
        ),
        {"id": delivery_id},
    )
    return tuple(
        AttemptSeen(
            row.number,
            from_micros(row.started_at),
            row.outcome,
            row.status,
            row.words,
            row.total_ms,
            row.address,
        )
        for row in rows
    )
