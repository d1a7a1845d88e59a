"""Articles as an operator looks them up: the latest, and a search. Read-only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.views.columns import query

SEARCHED = 500  # headlines looked through: those of the articles that changed last


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
    record: Record, now: datetime, *, before: datetime | None = None, limit: int = 50
) -> list[ArticleNow]:
    """The articles that changed last, or last before a moment (for the next page)."""
    with record.surveying() as connection:
        if before is None:
            return _listed(connection, _LATEST.all(connection, limit=limit), now)
        return _listed(connection, _BEFORE.all(connection, limit=limit, before=before), now)


def search_articles(record: Record, now: datetime, words: str, limit: int = 50) -> list[ArticleNow]:
    """By our id or its last part, by the source's own id, else by words of the newest headlines.

    The headline of an article under embargo is not searched: a list never tells it.
    """
    if not names.is_storable(words):
        return []
    with record.surveying() as connection:
        article = names.find_article(connection, words)
        exact = _listed(connection, _EXACT.all(connection, words=words, article=article or 0), now)
    if exact:
        return exact
    wanted = words.casefold().split()
    return [
        each
        for each in latest_articles(record, now, limit=SEARCHED)
        if each.headline and all(word in each.headline.casefold() for word in wanted)
    ][:limit]


class _ArticleListRow(NamedTuple):
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


def _listing(articles: str) -> Query[_ArticleListRow]:
    """A query for the rows of a subquery of articles."""
    return query(
        _ArticleListRow,
        f"""
        SELECT a.id, a.public_id, s.slug, a.external_id, a.revision, a.status, a.changed_at, a.embargo_until,
            {{headline}}, {{language}}
        FROM ({articles}) a JOIN source s ON s.id = a.source_id
        JOIN revision r ON r.article_id = a.id AND r.number = a.revision ORDER BY a.changed_at DESC""",
    )


_LATEST = _listing("SELECT * FROM article ORDER BY changed_at DESC LIMIT :limit")
_BEFORE = _listing("SELECT * FROM article WHERE changed_at < :before ORDER BY changed_at DESC LIMIT :limit")
# One probe of the index per source, whatever the number of articles.
_EXACT = _listing(
    "SELECT x.* FROM source o JOIN article x ON x.source_id = o.id AND x.external_id = :words"
    " UNION SELECT * FROM article WHERE id = :article"
)


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


def _listed(connection: Connection, rows: Sequence[_ArticleListRow], now: datetime) -> list[ArticleNow]:
    found = _HOLDERS.all(connection, ids=[row.row for row in rows])
    holders = {each.article_row: each for each in found}
    return [_article(row, holders.get(row.row, _HolderCounts(row.row, 0, 0)), now) for row in rows]


def _article(row: _ArticleListRow, holders: _HolderCounts, now: datetime) -> ArticleNow:
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
