"""Entries in the record: a story serialised by one process is spliced by all, and is there after a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Statement

MOST_ENTRIES = 20_000  # the newest of them stay; some 5 KB each


@dataclass(frozen=True)
class NewEntry:
    """An entry just made. `body` is None for a revision that cannot be shown in this format.

    `profile` names all that its bytes depend on, the story's public id and content among it.
    """

    article_id: int
    revision: int
    format: str
    profile: str
    body: bytes | None


def find_entries(record: Record, profiles: Mapping[int, str]) -> dict[tuple[int, str], bytes | None]:
    """The stored entries of these articles with these profiles, by (article, format)."""
    if not profiles:
        return {}
    with record.reading() as connection:
        rows = _FIND.rows(connection, articles=list(profiles), profiles=list(profiles.values()))
    return {
        (article_id, fmt): None if body is None else bytes(body)
        for article_id, fmt, profile, body in rows
        if profile == profiles[article_id]
    }


_FIND = Statement(
    "SELECT article_id, format, profile, body FROM entry"
    " WHERE article_id IN :articles[] AND profile IN :profiles[text]"
)


def store_entries(connection: Connection, made: Sequence[NewEntry], now: datetime) -> None:
    """Stores these entries, each in place of its story's former one."""
    ordered = sorted(made, key=lambda each: (each.article_id, each.format))
    _STORE.run_all(connection, [{**vars(each), "now": now} for each in ordered])


_STORE = Statement(
    "INSERT INTO entry (article_id, format, revision, profile, body, made_at)"
    " VALUES (:article_id, :format, :revision, :profile, :body, :now)"
    " ON CONFLICT (article_id, format) DO UPDATE SET revision = excluded.revision,"
    " profile = excluded.profile, body = excluded.body, made_at = excluded.made_at"
)


def prune_entries(record: Record, most: int = MOST_ENTRIES) -> int:
    """Deletes all but the newest, give or take what was made in one moment; returns how many."""
    with record.reading() as connection:
        moment = _OLDEST.value(connection, most=most)
    if moment is None:
        return 0
    with record.writing() as connection:
        return _PRUNE.run(connection, {"moment": moment})


_OLDEST = Statement("SELECT made_at FROM entry ORDER BY made_at DESC LIMIT 1 OFFSET :most")
_PRUNE = Statement("DELETE FROM entry WHERE made_at <= :moment")
