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
from service.store.names import DeliveryName
from service.store.views.columns import query
from service.store.views.deliveries import (
    AttemptNow,
    DeliveryNow,
    count_of_event,
    deliveries_of_event,
    latest_attempts,
)
from service.store.views.holdings import FIRST_PLACE, HoldingNow, HoldingPlace, holdings_of

PART = 100  # of each list; a document has no more, and says where the rest is


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
class HistoryPart:
    """A part of an article's history: the revisions before this number, the holdings after this place (`place`)."""

    before: int = 2**31 - 1
    after: HoldingPlace = FIRST_PLACE
    limit: int = PART


@dataclass(frozen=True)
class ArticleTrace:
    """`content` is the newest revision's, embargoed or not. `revisions`: the newest first. `holdings` has each
    partner and channel once, those that have not confirmed the newest first. Both are parts: there are `revision` of
    the one and `holding_count` of the other, `holdings_before` of them before this part."""

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
    content: Mapping[str, Any]
    revisions: tuple[RevisionNow, ...]
    holdings: tuple[HoldingNow, ...]
    holding_count: int
    holdings_before: int


@dataclass(frozen=True)
class DeliveryTrace:
    """A delivery with its latest attempts, the oldest of them first, and how many there are."""

    delivery: DeliveryNow
    attempts: tuple[AttemptNow, ...]
    attempt_count: int


@dataclass(frozen=True)
class EventTrace:
    """An event, its article as it stands now, and a part of its deliveries, by endpoint: there are `delivery_count`,
    `deliveries_before` of them before this part."""

    event: EventDetails
    article: str
    article_status: str
    newest: int
    headline: str | None
    language: str | None
    embargo_until: datetime | None
    deliveries: tuple[DeliveryTrace, ...]
    delivery_count: int
    deliveries_before: int


_FIRST = HistoryPart()


def article_trace(record: Record, name: str, part: HistoryPart = _FIRST) -> ArticleTrace:
    """By public id, or the last part of it. Raises NotFound."""
    with record.surveying() as connection:
        return _article_trace(connection, names.find_article(connection, name), name, part)


def article_by_external(record: Record, source_slug: str, external_id: str) -> ArticleTrace:
    """By the source's own id. Raises NotFound."""
    name = f"{source_slug}/{external_id}"
    if not names.is_storable(name):
        raise NotFound("article", name)
    with record.surveying() as connection:
        found = _BY_EXTERNAL.value(connection, source=source_slug, external_id=external_id)
        return _article_trace(connection, found, name, _FIRST)


def event_trace(
    record: Record, name: str, after: DeliveryName | None = None, limit: int = PART
) -> EventTrace:
    """By public id; its deliveries after the one of this name. Raises NotFound."""
    event = names.read_event_id(name)
    with record.surveying() as connection:
        row = _EVENT.one(connection, event=event) if event else None
        if row is None:
            raise NotFound("event", name)
        endpoint, replay = (after.endpoint_id, after.replay) if after else (0, 0)
        of = {"article": row.article_row, "revision": row.revision, "endpoint": endpoint, "replay": replay}
        deliveries = deliveries_of_event(connection, **of, limit=limit)
        attempts = latest_attempts(connection, [each.row for each in deliveries])
        total, before = count_of_event(connection, **of)
    return EventTrace(
        event=EventDetails(*row[:7]),
        article=row.article,
        article_status=row.article_status,
        newest=row.newest,
        headline=row.headline,
        language=row.language,
        embargo_until=row.embargo_until,
        deliveries=tuple(DeliveryTrace(each, *attempts.get(each.row, ((), 0))) for each in deliveries),
        delivery_count=total,
        deliveries_before=before,
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
    WHERE r.article_id = :article AND r.number < :before ORDER BY r.number DESC LIMIT :limit""",
)
_EVENT = query(
    _EventRow,
    f"""
    SELECT {_EVENT_COLUMNS}, v.article_id, a.public_id, a.status, a.revision, {{headline}}, {{language}},
        a.embargo_until
    FROM event v JOIN article a ON a.id = v.article_id
    JOIN revision r ON r.article_id = v.article_id AND r.number = v.revision WHERE v.public_id = :event""",
)


def _article_trace(connection: Connection, article: int | None, name: str, part: HistoryPart) -> ArticleTrace:
    row = None if article is None else _ARTICLE.one(connection, article=article)
    if row is None:
        raise NotFound("article", name)
    holdings = holdings_of(connection, row.row, row.revision, part.after, part.limit)
    revisions = _REVISIONS.all(connection, article=row.row, before=part.before, limit=part.limit)
    facts = row._asdict() | {
        "content": read(row.content),
        "revisions": tuple(map(_revision, revisions)),
        "holdings": holdings.shown,
        "holding_count": holdings.total,
        "holdings_before": holdings.before,
    }
    return ArticleTrace(**facts)


def _revision(row: _RevisionRow) -> RevisionNow:
    return RevisionNow(*row[:6], EventDetails(*row[6:]))
