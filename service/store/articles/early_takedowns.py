"""Early takedowns: of stories that are not here yet. Hooks overtake each other, and the older story may follow.

One with an order, a version or a time, takes down an older story as it arrives. Of one without, nobody can say that the
story that follows is older: its time of receipt is noted, so that a system that can be asked is asked.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from service.store.articles.posts import Post
from service.store.database.record import Record
from service.store.database.sql import Statement

AWAITED_FOR = timedelta(days=30)


def note(connection: Connection, post: Post) -> None:
    """Notes a takedown of what was never here. The newest of several stays; one without an order leaves the other's."""
    posted = post.article
    values = {
        "source": post.source.id,
        "external_id": posted.external_id,
        "status": posted.status,
        "version": posted.version,
        "updated_at": posted.updated_at,
        "now": post.now,
    }
    has_order = posted.version is not None or posted.updated_at is not None
    (_NOTE if has_order else _NOTE_RECEIPT).run(connection, values)


def prune(record: Record, now: datetime) -> int:
    """Deletes those whose story did not follow for AWAITED_FOR; returns how many."""
    with record.reading() as connection:
        if _IS_OLD.value(connection, before=now - AWAITED_FOR) is None:
            return 0
    with record.writing() as connection:
        return _PRUNE.run(connection, {"before": now - AWAITED_FOR})


_NEW_ROW = """
    INSERT INTO early_takedown (source_id, external_id, status, version, source_updated_at, received_at)
    VALUES (:source, :external_id, :status, :version, :updated_at, :now)"""
_NOTE_RECEIPT = Statement(f"""{_NEW_ROW}
    ON CONFLICT (source_id, external_id) DO UPDATE SET received_at = excluded.received_at""")
_NOTE = Statement(f"""{_NEW_ROW}
    ON CONFLICT (source_id, external_id) DO UPDATE SET status = excluded.status, version = excluded.version,
        source_updated_at = excluded.source_updated_at, received_at = excluded.received_at
    WHERE (early_takedown.version IS NULL OR excluded.version IS NULL OR early_takedown.version <= excluded.version)
        AND (early_takedown.source_updated_at IS NULL OR excluded.source_updated_at IS NULL
            OR early_takedown.source_updated_at <= excluded.source_updated_at)""")
_IS_OLD = Statement("SELECT 1 FROM early_takedown WHERE received_at < :before LIMIT 1")
_PRUNE = Statement("DELETE FROM early_takedown WHERE received_at < :before")
