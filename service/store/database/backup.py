"""A copy of a record on SQLite while it is in use, made in steps: it holds no reader open, so the WAL stays small."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from service.store.database.record import Record
from service.store.errors import NotPossible, RecordUnavailable

PAGES_PER_STEP = 1000
PAUSE = 0.005  # seconds between two steps, in which others write
# Each commit of another process begins the copy anew. After so many pages for nothing it is made in one go.
PATIENCE = 3  # times the size of the record


class _TooBusy(Exception):
    """The record changes faster than it is copied."""


def back_up(record: Record, target: Path, *, pause: Callable[[float], None] = time.sleep) -> int:
    """Writes a whole copy of the record into a new file, for its owner alone; returns its bytes.

    Raises NotPossible for a record that is not on SQLite, and for a file that is there.
    """
    if not record.is_sqlite:
        raise NotPossible("this record is on PostgreSQL: use pg_dump (docs/operations.md)")
    if target.exists():
        raise NotPossible(f"{target} is there already: name a new file")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        _copy(str(record.engine.url.database), draft, pause)
        os.link(draft, target)
    except FileExistsError:
        raise NotPossible(f"{target} is there already: name a new file") from None
    except sqlite3.Error as error:
        raise RecordUnavailable(f"the copy was not made: {error}") from error
    finally:
        with suppress(OSError):
            draft.unlink()
    return target.stat().st_size


def _copy(source: str, draft: Path, pause: Callable[[float], None]) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(draft)) as new:
        try:
            copied = 0

            def step(_status: int, _remaining: int, total: int) -> None:
                nonlocal copied
                copied += PAGES_PER_STEP
                if copied > PATIENCE * max(total, PAGES_PER_STEP):
                    raise _TooBusy  # noqa: TRY301 - out of the loop of SQLite
                pause(PAUSE)

            old.backup(new, pages=PAGES_PER_STEP, progress=step)
        except _TooBusy:
            old.backup(new)
        (fault,) = new.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {fault}")
        new.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself
    with draft.open("rb") as file:
        os.fsync(file.fileno())
