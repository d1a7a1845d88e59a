"""Revisions: an article changes by a new one and its event, in one transaction; old deliveries are superseded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store import events, names
from service.store.articles import search_index
from service.store.articles.current_article import CurrentArticle
from service.store.articles.idempotency import Answer
from service.store.articles.lifecycle import ArticleState, later
from service.store.articles.search_index import SearchedArticle
from service.store.content import glance
from service.store.database import joint_writes
from service.store.database.joint_writes import Write
from service.store.database.sql import Statement, insert
from service.store.deliveries import due_times, state_writes, withdrawn_answers
from service.store.events import NewEvent
from service.store.feeds import kinds
from service.store.schema.articles import article, revision


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
    """A revision to write, with its event. `content` is canonical JSON; `reason` is never sent to anyone.

    `answered`: what else is to be written with it, once its answer is known.
    """

    type: str
    content: str
    state: ArticleState
    embargo_until: datetime | None
    expires_at: datetime | None
    changed_at: datetime
    now: datetime  # `changed_at` is later where a clock was ahead when the article last changed
    actor: str
    reason: str | None
    answered: Callable[[Answer], Sequence[Write]] = lambda _: ()

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


def create(connection: Connection, new: NewArticle, first: RevisionDraft) -> Answer:
    """Writes a new article with its first revision."""
    values = {**vars(new), "revision": 1, "words_revision": 1, **first.columns()}
    return _write(connection, joint_writes.ID_OF_FIRST, new, 1, first, Write(_CREATE, values))


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
    place = {"article": current.id, "current": current.revision, "revision": number}
    changed = _ADVANCE.run(connection, {**place, **new.columns()})
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
    connection: Connection,
    row: int | object,
    of: NewArticle | CurrentArticle,
    number: int,
    new: RevisionDraft,
    *before: Write,
) -> Answer:
    content = glance(new.content)
    answer = Answer(of.public_id, number, names.new_event_id(), new.type, "accepted")
    happened = NewEvent(
        public_id=answer.event,
        article_id=row,
        revision=number,
        type=new.type,
        occurred_at=new.changed_at,
        actor=new.actor,
        reason=new.reason,
        places={name: content[name] for name in kinds.FEED_FIELDS if name in content},
    )
    itself = {"article_id": row, "number": number, "content": new.content, "accepted_at": new.changed_at}
    writes = [
        *before,
        Write(_REVISION, {**new.columns(), **itself}),
        search_index.written(SearchedArticle(row, of.external_id, new.state.status, content)),
        events.appended(happened),
        *new.answered(answer),
    ]
    joint_writes.run(connection, writes)
    return answer


_REVISION = insert(
    revision,
    "article_id number content content_hash status version source_updated_at embargo_until accepted_at",
)
