"""How an article changes: a new revision and its event, and what waits of the old one superseded. One transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store import names
from service.store.articles.lifecycle import State
from service.store.content import canonical, glance
from service.store.database.sql import Row, Statement, insert
from service.store.deliveries import transitions
from service.store.deliveries.transitions import NewRevision
from service.store.feeds import kinds
from service.store.schema.articles import event, revision
from service.store.schema.base import from_micros


@dataclass(frozen=True)
class Held:
    """An article as read, and locked, for a change."""

    id: int
    public_id: str
    revision: int
    embargo_until: datetime | None
    expires_at: datetime | None
    changed_at: datetime
    state: State


# Locked by itself: joined to its newest revision, the lock's waiting would end on a row that is the newest no more.
_HELD = (
    "SELECT id, public_id, revision, embargo_until, expires_at, changed_at,"
    " status, content_hash, version, source_updated_at, killed_by_desk FROM article WHERE "
)
_LOCKED = " FOR NO KEY UPDATE"
_BY_ID = Statement(_HELD + "id = :article", locking=_LOCKED)
_BY_SOURCE = Statement(_HELD + "source_id = :source AND external_id = :external_id", locking=_LOCKED)


def held_by_id(connection: Connection, article_id: int) -> Held | None:
    """The article as held, locked against other changes until the transaction ends."""
    return _held(_BY_ID.row(connection, article=article_id))


def held_by_source(connection: Connection, source_id: int, external_id: str) -> Held | None:
    """The same, by the source and the source's own id."""
    return _held(_BY_SOURCE.row(connection, source=source_id, external_id=external_id))


def _held(row: Row | None) -> Held | None:
    if row is None:
        return None
    number, public_id, newest, embargo, expiry, changed, status, digest, version, updated, by_desk = row
    return Held(
        id=number,
        public_id=public_id,
        revision=newest,
        embargo_until=_moment(embargo),
        expires_at=_moment(expiry),
        changed_at=from_micros(changed),
        state=State(
            status=status,
            fingerprint=digest,
            version=version,
            updated_at=_moment(updated),
            killed_by_desk=bool(by_desk),
        ),
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


_CONTENT = Statement("SELECT content FROM revision WHERE article_id = :article AND number = :number")


def content_held(connection: Connection, held: Held) -> str:
    """The canonical content of the newest revision."""
    ((content,),) = _CONTENT.rows(connection, article=held.id, number=held.revision)
    return str(content)


def fingerprint(status: str, content: str) -> str:
    """Of an article with this status and this canonical content."""
    return hashlib.sha256(f"{status}\n{content}".encode()).hexdigest()


_ADVANCE = Statement(
    "UPDATE article SET revision = :revision, status = :status, content_hash = :content_hash, version = :version,"
    " source_updated_at = :source_updated_at, embargo_until = :embargo_until, expires_at = :expires_at,"
    " killed_by_desk = :killed_by_desk, changed_at = :changed_at WHERE id = :held AND revision = :held_revision"
)


def advance(connection: Connection, held: Held, values: dict[str, Any]) -> None:
    held_is = {"held": held.id, "held_revision": held.revision}
    changed = _ADVANCE.run(connection, {**held_is, "revision": held.revision + 1, **values})
    assert changed == 1, "the article was locked, so nobody else advanced it"
    # What waits to be sent of this article is stale from the moment the new revision commits.
    newest = NewRevision(held.id, held.revision + 1, takedown=values["status"] != "usable")
    transitions.supersede(connection, [newest], values["changed_at"])


_REVISION = insert(
    revision,
    "article_id number content content_hash status version source_updated_at embargo_until accepted_at",
)
_EVENT = insert(event, "public_id article_id revision type occurred_at actor reason places")


def write_revision(
    connection: Connection, article_id: int, number: int, content: str, values: dict[str, Any]
) -> None:
    _REVISION.run(
        connection,
        {
            "article_id": article_id,
            "number": number,
            "content": content,
            "content_hash": values["content_hash"],
            "status": values["status"],
            "version": values["version"],
            "source_updated_at": values["source_updated_at"],
            "embargo_until": values["embargo_until"],
            "accepted_at": values["changed_at"],
        },
    )


def write_event(
    connection: Connection,
    article_id: int,
    number: int,
    content: str,
    kind: str,
    actor: str,
    reason: str | None,
    at: datetime,
) -> str:
    whole = glance(content)
    public_id = names.new_event_id()
    _EVENT.run(
        connection,
        {
            "public_id": public_id,
            "article_id": article_id,
            "revision": number,
            "type": kind,
            "occurred_at": at,
            "actor": actor,
            "reason": reason,
            "places": canonical({name: whole[name] for name in kinds.SAYS_WHERE if name in whole}),
        },
    )
    return public_id
