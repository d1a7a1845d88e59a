"""Articles in lists, as an operator looks at them: the latest. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.views.columns import query

LIST_LENGTH = 50


@dataclass(frozen=True)
class ArticleNow:
    """An article in a list. `headline` is None while under embargo. `current` of its `holders` (partners and
    channels that hold some revision) hold the newest one."""

    id: str
    source: str
    external_id: str
    revision: int
    status: str
    changed_at: datetime
    embargo_until: datetime | None
    headline: str | None
    language: str | None
    holders: int = 0
    current: int = 0


def latest_articles(
    record: Record, now: datetime, *, before: datetime | None = None, limit: int = LIST_LENGTH
) -> list[ArticleNow]:
    """The articles that changed last, or last before a moment (for the next page)."""
    with record.surveying() as connection:
        if before is None:
            return listed(connection, _LATEST.all(connection, limit=limit), now)
        return listed(connection, _BEFORE.all(connection, limit=limit, before=before), now)


class ArticleListRow(NamedTuple):
    """A row of a listing."""

    row: int
    id: str
    source: str
    external_id: str
    revision: int
    status: str
    changed_at: datetime
    embargo_until: datetime | None
    headline: str | None
    language: str | None


_LISTING = """
    SELECT a.id, a.public_id, s.slug, a.external_id, a.revision, a.status, a.changed_at, a.embargo_until,
        {{headline}}, {{language}}
    FROM ({articles}) a JOIN source s ON s.id = a.source_id
    JOIN revision r ON r.article_id = a.id AND r.number = a.revision ORDER BY {order} DESC"""


def listing(articles: str, *, order: str = "a.changed_at") -> Query[ArticleListRow]:
    """A query for the rows of a subquery of articles."""
    return query(ArticleListRow, _LISTING.format(articles=articles, order=order))


_LATEST = listing("SELECT * FROM article ORDER BY changed_at DESC LIMIT :limit")
_BEFORE = listing("SELECT * FROM article WHERE changed_at < :before ORDER BY changed_at DESC LIMIT :limit")


class _HolderCounts(NamedTuple):
    article_row: int
    holders: int
    current: int


_HOLDERS = Query(
    _HolderCounts,
    """
    SELECT r.article_id, count(*), sum(CASE WHEN r.revision >= a.revision THEN 1 ELSE 0 END)
    FROM receipt r JOIN article a ON a.id = r.article_id WHERE r.article_id IN :ids[] GROUP BY r.article_id""",
)


def listed(connection: Connection, rows: Sequence[ArticleListRow], now: datetime) -> list[ArticleNow]:
    """The articles of these rows, with how many hold them."""
    found = _HOLDERS.all(connection, ids=[row.row for row in rows])
    holders = {each.article_row: each for each in found}
    return [_article(row, holders.get(row.row, _HolderCounts(row.row, 0, 0)), now) for row in rows]


def _article(row: ArticleListRow, holders: _HolderCounts, now: datetime) -> ArticleNow:
    secret = row.embargo_until is not None and row.embargo_until > now
    return ArticleNow(
        id=row.id,
        source=row.source,
        external_id=row.external_id,
        revision=row.revision,
        status=row.status,
        changed_at=row.changed_at,
        embargo_until=row.embargo_until,
        headline=None if secret else row.headline,
        language=row.language,
        holders=holders.holders,
        current=holders.current,
    )
