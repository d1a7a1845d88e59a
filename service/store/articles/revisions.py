"""Revisions: an article changes by a new one and its event, in one transaction; old deliveries are superseded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store import events
from service.store.articles import search_index
from service.store.articles.idempotency import Answer
from service.store.articles.lifecycle import ArticleState, later
from service.store.articles.search_index import SearchedArticle
from service.store.content import glance
from service.store.database.sql import Row, Statement, insert
from service.store.deliveries import due_times, state_writes, withdrawn_answers
from service.store.events import NewEvent
from service.store.feeds import kinds
from service.store.schema.articles import article, revision
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


@dataclass(frozen=True)
class NewArticle:
    """The part of a new article that never changes."""

    public_id: str
    source_id: int
    external_id: str
    first_published_at: datetime
    source_created_at: datetime | None = None  # by its system


@dataclass(frozen=True)
class RevisionDraft:
    """A revision to write, with its event. `content` is canonical JSON; `reason` is never sent to anyone."""

    type: str
    content: str
    state: ArticleState
    embargo_until: datetime | None
    expires_at: datetime | None
    changed_at: datetime
    now: datetime  # `changed_at` is later where a clock was ahead when the article last changed
    actor: str
    reason: str | None

    def columns(self) -> dict[str, Any]:
        """Its values by the names of the article's columns."""
        return {
            "status": self.state.status,
            "content_hash": self.state.fingerprint,
            "version": self.state.version,
            "source_updated_at": self.state.updated_at,
            "embargo_until": self.embargo_until,
            "expires_at": self.expires_at,
            "killed_by_desk": self.state.killed_by_desk,
            "returns_at": self.state.returns_at,
            "changed_at": self.changed_at,
        }


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


def create(connection: Connection, new: NewArticle, first: RevisionDraft) -> Answer:
    """Writes a new article with its first revision."""
    number = int(_CREATE.value(connection, **vars(new), revision=1, words_revision=1, **first.columns()))
    return _write(connection, number, new, 1, first)


_CREATE = insert(
    article,
    "public_id source_id external_id revision status content_hash version source_updated_at embargo_until"
    " expires_at killed_by_desk returns_at first_published_at changed_at words_revision"
    " source_created_at",
    returning="id",
)


def advance(connection: Connection, current: CurrentArticle, new: RevisionDraft) -> Answer:
    """Writes the article's next revision; what waits of the former ones is superseded."""
    number = current.revision + 1
    values = {"article": current.id, "current": current.revision, "revision": number}
    changed = _ADVANCE.run(connection, {**values, **new.columns()})
    assert changed == 1, "the article was locked, so nobody else advanced it"
    if new.state.status == "killed":
        withdrawn_answers.wipe(connection, current.id)
    # What waits to be sent of this article is stale from the moment the new revision commits.
    stale = state_writes.NewRevision(current.id, number, takedown=new.state.status != "usable")
    state_writes.supersede(connection, [stale], new.changed_at)
    if current.embargo_until or new.embargo_until:
        # Older revisions wait with it, for endpoints that want each: what is under embargo leaves in none of them.
        due_times.follow_embargo(connection, [current.id], new.now)
    return _write(connection, current.id, current, number, new)


_ADVANCE = Statement(
    "UPDATE article SET revision = :revision, words_revision = :revision, status = :status,"
    " content_hash = :content_hash, version = :version,"
    " source_updated_at = :source_updated_at, embargo_until = :embargo_until, expires_at = :expires_at,"
    " killed_by_desk = :killed_by_desk, returns_at = :returns_at, changed_at = :changed_at"
    " WHERE id = :article AND revision = :current"
)


def raise_version(connection: Connection, current: CurrentArticle, posted: ArticleState) -> None:
    """Notes a higher version of the same content: what comes late and lies between the two is stale from now on."""
    version = later(current.state.version, posted.version)
    updated_at = later(current.state.updated_at, posted.updated_at)
    if (version, updated_at) != (current.state.version, current.state.updated_at):
        values = {"article": current.id, "version": version, "updated_at": updated_at}
        _RAISE_VERSION.run(connection, values)


_RAISE_VERSION = Statement(
    "UPDATE article SET version = :version, source_updated_at = :updated_at WHERE id = :article"
)


def give_up_id(connection: Connection, current: CurrentArticle) -> None:
    """The source uses the article's id for another one now: this one keeps it with a mark that nobody else has."""
    mark = current.public_id.rpartition("/")[2]
    _GIVE_UP_ID.run(connection, {"article": current.id, "external_id": f"{current.external_id}#{mark}"})


_GIVE_UP_ID = Statement("UPDATE article SET external_id = :external_id WHERE id = :article")


def forget_return(connection: Connection, current: CurrentArticle) -> None:
    """The article was withheld for another reason since: it does not return by itself."""
    _FORGET_RETURN.run(connection, {"article": current.id})


_FORGET_RETURN = Statement("UPDATE article SET returns_at = NULL WHERE id = :article")


def _write(
    connection: Connection, row: int, of: NewArticle | CurrentArticle, number: int, new: RevisionDraft
) -> Answer:
    values = {
        "article_id": row,
        "number": number,
        "content": new.content,
        "accepted_at": new.changed_at,
    }
    _REVISION.run(connection, {**new.columns(), **values})
    content = glance(new.content)
    search_index.write(connection, SearchedArticle(row, of.external_id, new.state.status, content))
    event_id = events.append(
        connection,
        NewEvent(
            article_id=row,
            revision=number,
            type=new.type,
            occurred_at=new.changed_at,
            actor=new.actor,
            reason=new.reason,
            places={name: content[name] for name in kinds.FEED_FIELDS if name in content},
        ),
    )
    return Answer(of.public_id, number, event_id, new.type, "accepted")


_REVISION = insert(
    revision,
    "article_id number content content_hash status version source_updated_at embargo_until accepted_at",
)
