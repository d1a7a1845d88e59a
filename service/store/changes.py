"""How an article changes: a new revision and its event, and what waits of the old one superseded. One transaction.

Statements are made once, at import: to compose one anew takes several times as long as to execute it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select, text, update
from ulid import ULID

from service.store import order
from service.store.lifecycle import State
from service.store.schema import article, event, revision, to_micros


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


def held_where(which: Any) -> Select[Any]:
    """What `read_held` asks. The article is locked by itself: joined to its newest revision, the lock's waiting would
    end on a row that is the newest no more.
    """
    return select(article).where(which).with_for_update(key_share=True)


def read_held(connection: Connection, query: Select[Any], values: dict[str, Any]) -> Held | None:
    """The article as held, locked against other changes until the transaction ends. `query`: see `held_where`."""
    row = connection.execute(query, values).one_or_none()
    if row is None:
        return None
    return Held(
        id=row.id,
        public_id=row.public_id,
        revision=row.revision,
        embargo_until=row.embargo_until,
        expires_at=row.expires_at,
        changed_at=row.changed_at,
        state=State(
            status=row.status,
            fingerprint=row.content_hash,
            version=row.version,
            updated_at=row.source_updated_at,
            killed_by_desk=row.killed_by_desk,
        ),
    )


def canonical(content: dict[str, Any]) -> str:
    """The same content is the same text."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_CONTENT = select(revision.c.content).where(
    revision.c.article_id == bindparam("article"), revision.c.number == bindparam("number")
)


def content_held(connection: Connection, held: Held) -> str:
    """The canonical content of the newest revision."""
    return str(connection.execute(_CONTENT, {"article": held.id, "number": held.revision}).scalar_one())


def fingerprint(status: str, content: str) -> str:
    """Of an article with this status and this canonical content."""
    return hashlib.sha256(f"{status}\n{content}".encode()).hexdigest()


_ADVANCE = update(article).where(
    article.c.id == bindparam("held_id"), article.c.revision == bindparam("held_revision")
)


def advance(connection: Connection, held: Held, values: dict[str, Any]) -> None:
    held_is = {"held_id": held.id, "held_revision": held.revision}
    changed = connection.execute(_ADVANCE, {**held_is, "revision": held.revision + 1, **values})
    assert changed.rowcount == 1, "the article was locked, so nobody else advanced it"
    _supersede(connection, held.id, held.revision + 1, values["status"], values["changed_at"])


# What waits to be sent of this article is stale from the moment the new revision commits. An endpoint that wants
# every revision (`ordered`) still gets the old ones first, but never the content of a story that was taken down.
_SUPERSEDE = text(
    "UPDATE delivery SET state = 'superseded', superseded_by = :revision, settled_at = :now"
    " WHERE article_id = :article AND state IN ('pending', 'waiting') AND (NOT ordered OR :takedown)"
)


def _supersede(connection: Connection, article_id: int, number: int, status: str, now: datetime) -> None:
    order.lock_deliveries(
        connection, "article_id = :article AND state IN ('pending', 'waiting')", {"article": article_id}
    )
    connection.execute(
        _SUPERSEDE,
        {"revision": number, "now": to_micros(now), "article": article_id, "takedown": status != "usable"},
    )


_REVISION = revision.insert()
_EVENT = event.insert()


def write_revision(
    connection: Connection, article_id: int, number: int, content: str, values: dict[str, Any]
) -> None:
    connection.execute(
        _REVISION,
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
    kind: str,
    actor: str,
    reason: str | None,
    at: datetime,
) -> str:
    public_id = f"evt_{ULID()}"
    connection.execute(
        _EVENT,
        {
            "public_id": public_id,
            "article_id": article_id,
            "revision": number,
            "type": kind,
            "occurred_at": at,
            "actor": actor,
            "reason": reason,
        },
    )
    return public_id
