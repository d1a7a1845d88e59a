"""An article as it is, read and locked for a change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from service.store.articles.idempotency import Answer
from service.store.articles.lifecycle import ArticleState
from service.store.database.sql import Row, Statement
from service.store.schema.base import from_micros

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class CurrentArticle:
    """An article as read, and locked, for a change."""

    id: int
    public_id: str
    external_id: str
    revision: int
    embargo_until: datetime | None
    expires_at: datetime | None
    changed_at: datetime
    state: ArticleState
    created_at: datetime | None = None  # by its system

    def next_change(self, now: datetime) -> datetime:
        """The time of its next revision: times of an article strictly increase."""
        return max(now, self.changed_at + _TICK)


class _CurrentRow(NamedTuple):
    """A row as the driver returns it: times are in microseconds, and SQLite's booleans are 0 and 1."""

    id: int
    public_id: str
    external_id: str
    revision: int
    embargo_until: int | None
    expires_at: int | None
    changed_at: int
    status: str
    content_hash: str
    version: int | None
    source_updated_at: int | None
    killed_by_desk: bool
    returns_at: int | None
    source_created_at: int | None


# Locked by itself: joined to its newest revision, the lock's waiting would end on a row that is the newest no more.
_ARTICLE = (
    "SELECT id, public_id, external_id, revision, embargo_until, expires_at, changed_at,"
    " status, content_hash, version, source_updated_at, killed_by_desk, returns_at, source_created_at"
    " FROM article WHERE "
)
_LOCK = " FOR NO KEY UPDATE"
_BY_ID = Statement(_ARTICLE + "id = :article", locking=_LOCK)
_BY_SOURCE = Statement(_ARTICLE + "source_id = :source AND external_id = :external_id", locking=_LOCK)


def lock_by_id(connection: Connection, article_id: int) -> CurrentArticle | None:
    """The article as it is, locked against other changes until the transaction ends."""
    return _current(_BY_ID.row(connection, article=article_id))


def lock_by_source(connection: Connection, source_id: int, external_id: str) -> CurrentArticle | None:
    """The same, by the source and the source's own id."""
    return _current(_BY_SOURCE.row(connection, source=source_id, external_id=external_id))


def _current(values: Row | None) -> CurrentArticle | None:
    if values is None:
        return None
    row = _CurrentRow._make(values)
    state = ArticleState(
        status=row.status,
        fingerprint=row.content_hash,
        version=row.version,
        updated_at=_moment(row.source_updated_at),
        killed_by_desk=bool(row.killed_by_desk),
        returns_at=_returns_at(row),
    )
    return CurrentArticle(
        id=row.id,
        public_id=row.public_id,
        external_id=row.external_id,
        revision=row.revision,
        embargo_until=_moment(row.embargo_until),
        expires_at=_moment(row.expires_at),
        changed_at=from_micros(row.changed_at),
        state=state,
        created_at=_moment(row.source_created_at),
    )


def _returns_at(row: _CurrentRow) -> datetime | None:
    """A program of the version before leaves the column as it was when it withholds the article for another reason."""
    holds = row.status == "withheld" and row.returns_at == row.embargo_until
    return _moment(row.returns_at) if holds else None


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def current_content(connection: Connection, current: CurrentArticle) -> str:
    """The canonical content of the newest revision."""
    content = _CONTENT.value(connection, article=current.id, number=current.revision)
    assert content is not None, "every article has its newest revision"
    return str(content)


_CONTENT = Statement("SELECT content FROM revision WHERE article_id = :article AND number = :number")


def was_public(connection: Connection, article_id: int, now: datetime) -> bool:
    """Whether any revision of the article was public, or is: then some outlet may hold it, and readers know it."""
    return _WAS_PUBLIC.value(connection, article=article_id, now=now) is not None


_WAS_PUBLIC = Statement("""
    SELECT 1 FROM revision r LEFT JOIN revision n ON n.article_id = r.article_id AND n.number = r.number + 1
    WHERE r.article_id = :article AND r.status = 'usable'
        AND (r.embargo_until IS NULL OR r.embargo_until < coalesce(n.accepted_at, :now + 1)) LIMIT 1""")


def current_answer(connection: Connection, current: CurrentArticle, outcome: str) -> Answer:
    """The answer to a post that changes nothing: it names the newest revision and its event."""
    row = _NEWEST_EVENT.row(connection, article=current.id, number=current.revision)
    assert row is not None, "every revision has its event"
    event_id, kind = row
    return Answer(current.public_id, current.revision, event_id, kind, outcome)


_NEWEST_EVENT = Statement(
    "SELECT public_id, type FROM event WHERE article_id = :article AND revision = :number"
)
