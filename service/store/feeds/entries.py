"""Entries in the record: a story serialised by one process is spliced by all, and is there after a restart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, text

from service.store.database.record import Record
from service.store.schema.base import to_micros
from service.store.schema.feeds import entry

KEPT = 20_000  # the newest of them; some 5 KB each


@dataclass(frozen=True)
class NewEntry:
    """An entry just made. `body` is None for a revision that cannot be shown in this format."""

    article_id: int
    revision: int
    format: str
    profile: str
    body: bytes | None


def kept_entries(
    record: Record, stories: Collection[tuple[int, int]], profile: str
) -> dict[tuple[int, str], bytes | None]:
    """What is kept of these (article, revision), by (article, format)."""
    if not stories:
        return {}
    revisions = dict(stories)
    query = select(entry.c.article_id, entry.c.format, entry.c.revision, entry.c.body).where(
        entry.c.article_id.in_(list(revisions)), entry.c.profile == profile
    )
    with record.reading() as connection:
        rows = connection.execute(query).all()
    return {
        (row.article_id, row.format): None if row.body is None else bytes(row.body)
        for row in rows
        if row.revision == revisions[row.article_id]
    }


def keep(connection: Connection, made: Sequence[NewEntry], now: datetime) -> None:
    """Keeps these entries, each in place of its story's former one."""
    if made:
        ordered = sorted(made, key=lambda each: (each.article_id, each.format))
        connection.execute(_KEEP, [{**each.__dict__, "now": to_micros(now)} for each in ordered])


def prune_entries(record: Record, kept: int = KEPT) -> int:
    """Drops all but the newest, give or take what was made in one moment; returns how many."""
    oldest = text("SELECT made_at FROM entry ORDER BY made_at DESC LIMIT 1 OFFSET :kept")
    with record.reading() as connection:
        moment = connection.execute(oldest, {"kept": kept}).scalar()
    if moment is None:
        return 0
    with record.writing() as connection:
        return connection.execute(
            text("DELETE FROM entry WHERE made_at <= :moment"), {"moment": moment}
        ).rowcount


_KEEP = text(
    "INSERT INTO entry (article_id, format, revision, profile, body, made_at)"
    " VALUES (:article_id, :format, :revision, :profile, :body, :now)"
    " ON CONFLICT (article_id, format) DO UPDATE SET revision = excluded.revision,"
    " profile = excluded.profile, body = excluded.body, made_at = excluded.made_at"
)
