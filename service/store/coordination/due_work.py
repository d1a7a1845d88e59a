"""Due work, found cheaply: the sweep asks once a second, and writes only when there is something to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.store import notices
from service.store.articles import source_sync
from service.store.database.record import Record
from service.store.database.sql import Statement
from service.store.deliveries import capacity, rates
from service.store.feeds.feeds import ARCHIVE_PAGE
from service.store.schema.base import from_micros

_WORK = {
    "events": "SELECT 1 FROM event WHERE routed_at IS NULL",
    "feeds": (
        "SELECT 1 FROM feed WHERE closed_at IS NULL"
        f" AND (wanted > built OR sequence >= (archived + 1) * {ARCHIVE_PAGE})"
        " UNION ALL SELECT 1 FROM archive WHERE due_at <= :now"
    ),
    "waking": "SELECT 1 FROM feed WHERE due_at <= :now",
    "expiring": (
        "SELECT 1 FROM article WHERE expires_at IS NOT NULL AND status = 'usable' AND expires_at <= :now"
    ),
    "returning": (
        "SELECT 1 FROM article WHERE returns_at IS NOT NULL AND status = 'withheld' AND returns_at <= :now"
    ),
    "notices": f"SELECT 1 FROM notice WHERE {notices.DUE}",
    "backfills": "SELECT 1 FROM backfill WHERE finished_at IS NULL",
    "fetches": (
        "SELECT 1 FROM hook h JOIN source s ON s.id = h.source_id"
        f" WHERE h.state = 'queued' AND {source_sync.is_due('h.next_try_at')} AND s.active AND NOT EXISTS"
        f" (SELECT 1 FROM source_sync y WHERE y.source_id = h.source_id AND NOT {source_sync.MAY_BE_ASKED})"
        " UNION ALL SELECT 1 FROM source_sync y JOIN source s ON s.id = y.source_id"
        f" WHERE s.active AND {source_sync.COMPARISON_DUE}"
    ),
}
_EXISTS = {name: Statement(f"{query} LIMIT 1") for name, query in _WORK.items()}


@dataclass(frozen=True)
class DueWork:
    """The kinds of work that are due. `deliveries` covers takedowns too."""

    events: bool
    feeds: bool
    waking: bool
    expiring: bool
    returning: bool
    notices: bool
    backfills: bool
    fetches: bool
    deliveries: bool


def due_now(record: Record, now: datetime) -> DueWork:
    """The work that is due, by one look at the record."""
    with record.reading() as connection:
        found = {name: bool(query.rows(connection, now=now)) for name, query in _EXISTS.items()}
        return DueWork(**found, deliveries=capacity.work_is_due(connection, now))


def deliveries_due(record: Record, now: datetime) -> bool:
    """Whether some endpoint may be sent something now."""
    with record.reading() as connection:
        return capacity.work_is_due(connection, now)


def next_moment(record: Record, now: datetime) -> datetime | None:
    """When the next embargo or expiry comes, or a rate lets the next push go: the sweep is there at that moment."""
    with record.reading() as connection:
        ends = _NEXT.value(connection, now=now)
        token = rates.next_token(connection, now)
    moments = (None if ends is None else from_micros(int(ends)), token)
    return min((each for each in moments if each is not None), default=None)


_NEXT = Statement("""
    SELECT min(moment) FROM (
        SELECT min(embargo_until) AS moment FROM article WHERE embargo_until > :now
        UNION ALL SELECT min(expires_at) FROM article
            WHERE expires_at IS NOT NULL AND status = 'usable' AND expires_at > :now) m""")
