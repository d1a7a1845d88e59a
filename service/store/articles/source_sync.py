"""Reconciliation as a schedule in the record: how far each source is compared with its system, and what is due when.

Redis only wakes. A worker claims a comparison by putting off its due time, and writes down how far it came.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from service.store.database.record import Record
from service.store.database.sql import Query, Statement

CHANGES_EVERY = timedelta(minutes=1)
SWEEP_EVERY_SPAN = timedelta(minutes=15)
SWEEP_AFTER = timedelta(seconds=5)  # a system says "something changed" before its own lists show it
COMPARISON_LASTS = timedelta(minutes=5)


@dataclass(frozen=True)
class SyncState:
    """How far a source is compared. `missing`: stories that wait for the operator before they are taken down."""

    changes_due_at: datetime | None = None
    sweep_due_at: datetime | None = None
    changed_since: datetime | None = None
    changes_at: datetime | None = None
    swept_at: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None
    failure: str | None = None
    not_before: datetime | None = None
    missing: Sequence[str] = ()
    missing_since: datetime | None = None
    released: int = 0


def ask(record: Record, source_id: int, now: datetime, *, sweep: bool) -> None:
    """Has a source compared at once; with `sweep` all its ids too, some seconds later."""
    values = {"source": source_id, "now": now, "sweep": now + SWEEP_AFTER if sweep else None}
    with record.writing() as connection:
        _ASK.run(connection, values)


def state(record: Record, source_id: int) -> SyncState:
    """How far a source is compared with its system."""
    with record.reading() as connection:
        row = _STATE.one(connection, source=source_id)
    if row is None:
        return SyncState()
    return SyncState(**{**row._asdict(), "missing": tuple(json.loads(row.missing))})


_ASK = Statement("""
    INSERT INTO source_sync (source_id, changes_due_at, sweep_due_at) VALUES (:source, :now, :sweep)
    ON CONFLICT (source_id) DO UPDATE SET changes_due_at = excluded.changes_due_at,
        sweep_due_at = CASE WHEN excluded.sweep_due_at IS NULL THEN source_sync.sweep_due_at
            WHEN source_sync.sweep_due_at IS NULL OR source_sync.sweep_due_at > excluded.sweep_due_at
            THEN excluded.sweep_due_at ELSE source_sync.sweep_due_at END""")


class _SyncRow(NamedTuple):
    changes_due_at: datetime | None
    sweep_due_at: datetime | None
    changed_since: datetime | None
    changes_at: datetime | None
    swept_at: datetime | None
    failures: int
    failed_at: datetime | None
    failure: str | None
    not_before: datetime | None
    missing: str
    missing_since: datetime | None
    released: int


_STATE = Query(
    _SyncRow,
    "SELECT changes_due_at, sweep_due_at, changed_since, changes_at, swept_at, failures, failed_at, failure,"
    " not_before, missing, missing_since, released FROM source_sync WHERE source_id = :source",
)
