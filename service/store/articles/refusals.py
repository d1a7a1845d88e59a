"""Refusals of the intake, counted by source, reason and hour: a bounded number of rows, whatever comes.

The source is empty where the sender is not known. Reasons are the kinds of problems. One row of each source has no
reason, and counts nothing: it says when something of the source was last taken, a repeat too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.schema.base import EPOCH

TAKEDOWN = "takedown"  # in place of the kind of the problem, whatever it is: a story is still everywhere
HOURLY_FOR = timedelta(days=3)  # what is older is added up, so that the counts never fall


class RefusalKey(NamedTuple):
    """A source's refusals for one reason within one hour."""

    source: str
    reason: str
    hour: datetime


@dataclass(frozen=True)
class RefusalCount:
    """The number of a source's refusals for a reason since the desk was made."""

    source: str
    reason: str
    count: int


class RefusedSource(NamedTuple):
    """A source of which nothing was accepted since it was refused `in_a_row` times; `reason` is one of them. Or one
    whose takedowns were refused, ever: then that is the reason."""

    source: str
    in_a_row: int
    last_at: datetime
    reason: str


def hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def add(record: Record, counts: Mapping[RefusalKey, int], now: datetime) -> None:
    """Adds refusals to those that are counted."""
    rows = [{**each._asdict(), "count": count, "now": now} for each, count in sorted(counts.items())]
    with record.writing() as connection:
        _ADD.run_all(connection, rows)


def note_taken(record: Record, source: str, now: datetime) -> None:
    """Something of this source was taken: its refusals are in a row no more, nor are those of unknown senders."""
    with record.writing() as connection:
        _END_ROW.run(connection, {"source": source})
        _NOTE_TAKEN.run(connection, {"source": source, "always": EPOCH, "now": now})


# SQL: when something of the source `s` was last taken, as its refusals' counter knows; NULL if it does not.
TAKEN_AT = "(SELECT max(last_at) FROM intake_refusal WHERE source = s.slug AND reason = '')"


def add_up(record: Record, now: datetime) -> None:
    """Makes one row of all that is older than three days, for each source and reason."""
    values = {"before": hour_of(now) - HOURLY_FOR, "always": EPOCH}
    with record.reading() as connection:
        if not _OLD.rows(connection, **values):
            return
    with record.writing() as connection:
        _ADD_UP.run(connection, values)
        _DELETE_OLD.run(connection, values)


def totals(record: Record) -> list[RefusalCount]:
    with record.surveying() as connection:
        return _TOTALS.all(connection)


_ADD = Statement("""
    INSERT INTO intake_refusal (source, reason, hour, count, in_a_row, last_at)
    VALUES (:source, :reason, :hour, :count, :count, :now)
    ON CONFLICT (source, reason, hour) DO UPDATE SET count = intake_refusal.count + excluded.count,
        in_a_row = intake_refusal.in_a_row + excluded.in_a_row, last_at = excluded.last_at""")
# Of a takedown no other post makes good that it was refused.
_END_ROW = Statement(
    "UPDATE intake_refusal SET in_a_row = 0 WHERE source IN ('', :source) AND in_a_row > 0"
    f" AND reason <> '{TAKEDOWN}'"
)
_NOTE_TAKEN = Statement("""
    INSERT INTO intake_refusal (source, reason, hour, count, in_a_row, last_at)
    VALUES (:source, '', :always, 0, 0, :now)
    ON CONFLICT (source, reason, hour) DO UPDATE SET last_at = excluded.last_at""")
_OLD = Statement("SELECT 1 FROM intake_refusal WHERE hour > :always AND hour < :before LIMIT 1")
_ADD_UP = Statement("""
    INSERT INTO intake_refusal (source, reason, hour, count, in_a_row, last_at)
    SELECT source, reason, :always, sum(count), 0, max(last_at) FROM intake_refusal
    WHERE hour > :always AND hour < :before GROUP BY source, reason
    ON CONFLICT (source, reason, hour) DO UPDATE SET count = intake_refusal.count + excluded.count,
        last_at = excluded.last_at""")
_DELETE_OLD = Statement("DELETE FROM intake_refusal WHERE hour > :always AND hour < :before")
_TOTALS = Query(
    RefusalCount,
    "SELECT source, reason, sum(count) FROM intake_refusal WHERE reason <> ''"
    " GROUP BY source, reason ORDER BY source, reason",
)
# For the status page, which reads it with all else about the pipeline (views/pipeline.py).
REFUSED_NOW = Query(
    RefusedSource,
    f"""
    SELECT source, sum(in_a_row), max(last_at), min(reason) FROM intake_refusal WHERE in_a_row > 0
    GROUP BY source, CASE WHEN reason = '{TAKEDOWN}' THEN 1 ELSE 0 END ORDER BY max(last_at) DESC LIMIT 20""",
)
