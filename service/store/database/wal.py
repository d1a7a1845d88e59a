"""SQLite's write-ahead log: how long it is, and how it is made short again.

It can be emptied only up to where the oldest open reader stands. A reader that stays open, as a copy made by another
program may be, lets it grow without end; nobody can shorten it then, but an operator can be told.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from service.store.database.record import WAL_LIMIT, Record
from service.store.errors import RecordUnavailable

WAL_LONG = 4 * WAL_LIMIT
# Writers wait while a checkpoint waits for readers.
READERS_HAVE = 0.2  # seconds


def wal_bytes(record: Record) -> int:
    """The size of the log beside the record; 0 on PostgreSQL."""
    if not record.is_sqlite:
        return 0
    try:
        return Path(f"{record.engine.url.database}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def tidy(record: Record) -> int:
    """Empties a log that is longer than it should be, as far as its readers let it; returns its bytes afterwards."""
    if wal_bytes(record) > WAL_LIMIT:
        try:
            with closing(
                sqlite3.connect(str(record.engine.url.database), timeout=READERS_HAVE)
            ) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error as error:
            raise RecordUnavailable(f"the checkpoint failed: {error}") from error
    return wal_bytes(record)
