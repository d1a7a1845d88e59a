"""Reconciliation as a schedule in the record: how far each source is compared with its system, and what is due when.

Redis only wakes. A worker claims a comparison by putting off its due time, and writes down how far it came: whoever
asks for another one meanwhile changes the due time, and is heard.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from service.store import notices
from service.store.database.record import Record
from service.store.database.sql import Query, Statement

CHANGES_EVERY = timedelta(minutes=1)
SWEEPS_EVERY = timedelta(minutes=15)
SWEEP_AFTER = timedelta(seconds=5)  # a system says "something changed" before its own lists show it
# So long without a comparison, we were away: hooks were lost, and a takedown is in no list of changes.
AWAY_AFTER = timedelta(minutes=2)
SWEPT_LATELY = timedelta(
    minutes=5
)  # a desk whose comparisons are all late does not make them later by sweeps
COMPARISON_LASTS = timedelta(minutes=10)  # then another worker may take it over
# Nothing of a system waits for longer: what is put off further was put off by a clock that has been put back since.
LONGEST_PUT_OFF = timedelta(minutes=65)


def is_due(column: str) -> str:
    """The condition that what waits until then is due `:now`."""
    return f"({column} <= :now OR {column} > :now + {LONGEST_PUT_OFF // timedelta(microseconds=1)})"


@dataclass(frozen=True)
class SyncState:
    """How far a source is compared. `missing`: stories that wait for the operator before they are taken down.
    `baseline`: stories that were public before the source was added and never came here; None before a first sweep."""

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
    baseline: Sequence[str] | None = field(default=None, repr=False)
    released: int = 0


@dataclass(frozen=True)
class DueComparison:
    """A comparison that this worker has claimed: until when, and whether it is a sweep of all ids."""

    source_id: int
    slug: str
    sweep: bool
    until: datetime


@dataclass(frozen=True)
class SweepEnd:
    """How a sweep ended: the stories that wait for the operator, those that never came, and whether it is to go on."""

    missing: Sequence[str]
    baseline: Sequence[str]
    released: int
    more: bool = False


def begin(connection: Connection, source_id: int, now: datetime) -> None:
    """Has a source compared from now on; one that is already is compared at once."""
    _ASK.run(connection, {"source": source_id, "now": now, "sweep": now, "asked": None})


def ask(record: Record, source_id: int, now: datetime, *, sweep: bool) -> None:
    """Has a source compared at once; with `sweep` all its ids too, some seconds later."""
    with record.writing() as connection:
        ask_within(connection, source_id, now, sweep=sweep)


def ask_within(connection: Connection, source_id: int, now: datetime, *, sweep: bool) -> None:
    """The same in a transaction of the caller's."""
    values = {"source": source_id, "now": now, "sweep": now + SWEEP_AFTER if sweep else None}
    values["asked"] = now if sweep else None
    _ASK.run(connection, values)


def stop(record: Record, source_id: int) -> None:
    """Has a source compared no more until it is asked for: its adapter cannot."""
    with record.writing() as connection:
        _STOP.run(connection, {"source": source_id})


def state(record: Record, source_id: int) -> SyncState:
    """How far a source is compared with its system."""
    with record.reading() as connection:
        row = _STATE.one(connection, source=source_id)
    if row is None:
        return SyncState()
    baseline = None if row.baseline is None else tuple(json.loads(row.baseline))
    return SyncState(**{**row._asdict(), "missing": tuple(json.loads(row.missing)), "baseline": baseline})


def claim(record: Record, limit: int, now: datetime, busy: Sequence[str] = ()) -> list[DueComparison]:
    """Comparisons that are due, of sources that are not `busy` and whose systems are not left alone for a while."""
    until = now + COMPARISON_LASTS
    claimed = []
    with record.writing() as connection:
        for each in _DUE.all(connection, now=now, limit=limit, busy=list(busy)):
            statement = _CLAIM_SWEEP if each.sweep else _CLAIM_CHANGES
            statement.run(connection, {"source": each.source_id, "until": until})
            claimed.append(DueComparison(each.source_id, each.slug, each.sweep, until))
    return claimed


def end_changes(record: Record, due: DueComparison, since: datetime, now: datetime) -> None:
    """Notes that all changes up to `since` are read; the next comparison is due in a minute. The first success after
    failures, or after we were away, has the ids swept too: what happened meanwhile may have left no trace in the
    changes."""
    values = {"source": due.source_id, "until": due.until, "since": since, "now": now}
    with record.writing() as connection:
        _SWEEP_AFTER_FAILURES.run(connection, {"source": due.source_id, "now": now})
        if not due.sweep:
            away = {"away": now - AWAY_AFTER, "lately": now - SWEPT_LATELY}
            _SWEEP_AFTER_ABSENCE.run(connection, {"source": due.source_id, "now": now, **away})
        _END_CHANGES.run(connection, {**values, "next": now + CHANGES_EVERY})


def end_sweep(record: Record, due: DueComparison, end: SweepEnd, now: datetime) -> None:
    """Notes how a sweep ended, with a notice when stories begin to wait for the operator."""
    missing = json.dumps(list(end.missing))
    values = {
        "source": due.source_id,
        "until": due.until,
        "now": now,
        "next": now + (SWEEP_AFTER if end.more else SWEEPS_EVERY),
        # The system said so while the sweep ran, or so shortly before it that its lists may not have shown it.
        "too_fresh": due.until - COMPARISON_LASTS - SWEEP_AFTER,
        "soon": now + SWEEP_AFTER,
        "missing": missing,
        "baseline": json.dumps(list(end.baseline)),
        "released": end.released,
    }
    with record.writing() as connection:
        waited = _MISSING.value(connection, source=due.source_id)
        _END_SWEEP.run(connection, values)
        if end.missing and waited in (None, "[]"):
            words = (
                f"{len(end.missing)} stories of {due.slug} are gone from its system, more than one sweep may take down:"
                f" they wait for you. See dateline source show {due.slug}"
            )
            new = notices.NewNotice(
                "source.takedowns_wait", f"source:{due.source_id}", words, len(end.missing)
            )
            notices.write(connection, [new], now)


def note_failure(record: Record, source_id: int, words: str, not_before: datetime, now: datetime) -> None:
    """Notes that a system's API failed: it is left alone until then."""
    values = {"source": source_id, "words": words, "not_before": not_before, "now": now}
    with record.writing() as connection:
        _FAIL.run(connection, values)


def note_success(record: Record, source_id: int, now: datetime) -> None:
    """Notes that a system's API answers. After failures its ids are swept."""
    with record.writing() as connection:
        _SWEEP_AFTER_FAILURES.run(connection, {"source": source_id, "now": now})
        _SUCCEED.run(connection, {"source": source_id})


def put_back(record: Record, due: DueComparison, at: datetime) -> None:
    """Makes a comparison that did not come to its end due again then."""
    statement = _PUT_BACK_SWEEP if due.sweep else _PUT_BACK_CHANGES
    with record.writing() as connection:
        statement.run(connection, {"source": due.source_id, "until": due.until, "at": at})


def release(connection: Connection, source_id: int, now: datetime) -> int:
    """Lets the next sweep take down the stories that wait; returns how many those are."""
    waiting = _MISSING.value(connection, source=source_id)
    count = len(json.loads(waiting)) if waiting else 0
    if count:
        _LET_GO.run(connection, {"source": source_id, "count": count, "now": now})
    return count


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
    baseline: str | None
    released: int


class _DueRow(NamedTuple):
    source_id: int
    slug: str
    sweep: bool


_ASK = Statement("""
    INSERT INTO source_sync (source_id, changes_due_at, sweep_due_at, asked_at)
    VALUES (:source, :now, :sweep, :asked)
    ON CONFLICT (source_id) DO UPDATE SET changes_due_at = excluded.changes_due_at,
        asked_at = coalesce(excluded.asked_at, source_sync.asked_at),
        sweep_due_at = CASE WHEN excluded.sweep_due_at IS NULL THEN source_sync.sweep_due_at
            WHEN source_sync.sweep_due_at IS NULL OR source_sync.sweep_due_at > excluded.sweep_due_at
            THEN excluded.sweep_due_at ELSE source_sync.sweep_due_at END""")
_STOP = Statement(
    "UPDATE source_sync SET changes_due_at = NULL, sweep_due_at = NULL WHERE source_id = :source"
)
_STATE = Query(
    _SyncRow,
    "SELECT changes_due_at, sweep_due_at, changed_since, changes_at, swept_at, failures, failed_at, failure,"
    " not_before, missing, missing_since, baseline, released FROM source_sync WHERE source_id = :source",
)
MAY_BE_ASKED = f"(y.not_before IS NULL OR {is_due('y.not_before')})"
COMPARISON_DUE = f"{MAY_BE_ASKED} AND ({is_due('y.changes_due_at')} OR {is_due('y.sweep_due_at')})"
_DUE_SOURCES = f"""
    SELECT y.source_id, s.slug, y.sweep_due_at IS NOT NULL AND {is_due("y.sweep_due_at")}
    FROM source_sync y JOIN source s ON s.id = y.source_id
    WHERE s.active AND {COMPARISON_DUE} AND NOT s.slug IN :busy[text]
    ORDER BY y.changes_due_at, y.source_id LIMIT :limit{{}}"""
_DUE = Query(_DueRow, _DUE_SOURCES.format(""), postgresql=_DUE_SOURCES.format(" FOR UPDATE OF y SKIP LOCKED"))
# A sweep reads the changes first: both are this worker's.
_CLAIM_SWEEP = Statement(
    "UPDATE source_sync SET changes_due_at = :until, sweep_due_at = :until WHERE source_id = :source"
)
_CLAIM_CHANGES = Statement("UPDATE source_sync SET changes_due_at = :until WHERE source_id = :source")
_END_CHANGES = Statement("""
    UPDATE source_sync SET changed_since = :since, changes_at = :now, failures = 0, failure = NULL, failed_at = NULL,
        not_before = NULL, changes_due_at = CASE WHEN changes_due_at = :until THEN :next ELSE changes_due_at END
    WHERE source_id = :source""")
_END_SWEEP = Statement("""
    UPDATE source_sync SET swept_at = :now, baseline = :baseline, released = :released, missing = :missing,
        missing_since = CASE WHEN :missing = '[]' THEN NULL WHEN missing_since IS NULL THEN :now ELSE missing_since END,
        sweep_due_at = CASE WHEN sweep_due_at <> :until THEN sweep_due_at
            WHEN asked_at > :too_fresh THEN :soon ELSE :next END
    WHERE source_id = :source""")
_MISSING = Statement("SELECT missing FROM source_sync WHERE source_id = :source")
_FAIL = Statement("""
    INSERT INTO source_sync (source_id, failures, failed_at, failure, not_before)
    VALUES (:source, 1, :now, :words, :not_before)
    ON CONFLICT (source_id) DO UPDATE SET failures = source_sync.failures + 1, failed_at = excluded.failed_at,
        failure = excluded.failure, not_before = excluded.not_before""")
_SWEEP_AFTER_FAILURES = Statement("""
    UPDATE source_sync SET sweep_due_at = :now WHERE source_id = :source AND failures > 0 AND sweep_due_at > :now""")
_SWEEP_AFTER_ABSENCE = Statement("""
    UPDATE source_sync SET sweep_due_at = :now WHERE source_id = :source AND sweep_due_at > :now
        AND changes_at < :away AND (swept_at IS NULL OR swept_at < :lately)""")
_SUCCEED = Statement("""
    UPDATE source_sync SET failures = 0, failure = NULL, failed_at = NULL, not_before = NULL
    WHERE source_id = :source AND failures > 0""")
_PUT_BACK_CHANGES = Statement(
    "UPDATE source_sync SET changes_due_at = :at WHERE source_id = :source AND changes_due_at = :until"
)
_PUT_BACK_SWEEP = Statement("""
    UPDATE source_sync SET changes_due_at = CASE WHEN changes_due_at = :until THEN :at ELSE changes_due_at END,
        sweep_due_at = CASE WHEN sweep_due_at = :until THEN :at ELSE sweep_due_at END
    WHERE source_id = :source""")
_LET_GO = Statement("""
    UPDATE source_sync SET released = :count, changes_due_at = :now, sweep_due_at = :now WHERE source_id = :source""")
