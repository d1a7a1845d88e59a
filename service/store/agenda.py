"""What is due now, asked cheaply: the sweep looks once a second and writes only when there is something to do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, TextClause, text

from service.store import notices, rates
from service.store.placing import PAGE
from service.store.record import Record
from service.store.rooms import ENDPOINTS, REST, TAKEDOWN
from service.store.schema import from_micros, to_micros

_WORK = {
    "events": "SELECT 1 FROM event WHERE routed_at IS NULL",
    "feeds": (
        "SELECT 1 FROM feed WHERE closed_at IS NULL"
        f" AND (wanted > built OR sequence >= (archived + 1) * {PAGE})"
        " UNION ALL SELECT 1 FROM archive WHERE due_at <= :now"
    ),
    "waking": "SELECT 1 FROM feed WHERE due_at <= :now",
    "expiring": (
        "SELECT 1 FROM article WHERE expires_at IS NOT NULL AND status = 'usable' AND expires_at <= :now"
    ),
    "notices": f"SELECT 1 FROM notice WHERE {notices.DUE}",
    "backfills": "SELECT 1 FROM backfill WHERE finished_at IS NULL",
}
_EXISTS = {
    **{name: text(query) for name, query in _WORK.items()},
    "takedowns": ENDPOINTS[TAKEDOWN],
    "deliveries": ENDPOINTS[REST],
}
# Of endpoints: is there one that any worker may claim of, whoever it is?
_ANYBODY = {"limit": 1, "cursor": 0, "lease": "", "ahead": 0}


@dataclass(frozen=True)
class Agenda:
    """What there is to do. `deliveries` covers takedowns too."""

    events: bool
    feeds: bool
    waking: bool
    expiring: bool
    notices: bool
    backfills: bool
    deliveries: bool


def look(record: Record, now: datetime) -> Agenda:
    """One look at the record."""
    with record.reading() as connection:
        found = {name: _is_there(connection, query, now) for name, query in _EXISTS.items()}
    found["deliveries"] |= found.pop("takedowns")
    return Agenda(**found)


def deliveries_due(record: Record, now: datetime) -> bool:
    """Whether some endpoint may be sent something now."""
    with record.reading() as connection:
        return any(_is_there(connection, query, now) for query in ENDPOINTS.values())


def _is_there(connection: Connection, query: TextClause, now: datetime) -> bool:
    return connection.execute(query, {"now": to_micros(now), **_ANYBODY}).first() is not None


def next_moment(record: Record, now: datetime) -> datetime | None:
    """When the next embargo or expiry comes, or a rate lets the next push go: the sweep is there at that moment."""
    query = text(
        "SELECT min(moment) FROM ("
        " SELECT min(embargo_until) AS moment FROM article WHERE embargo_until > :now"
        " UNION ALL SELECT min(expires_at) FROM article"
        "  WHERE expires_at IS NOT NULL AND status = 'usable' AND expires_at > :now) m"
    )
    with record.reading() as connection:
        moment = connection.execute(query, {"now": to_micros(now)}).scalar()
        token = rates.next_token(connection, now)
    ends = None if moment is None else from_micros(int(moment))
    return min((each for each in (ends, token) if each is not None), default=None)
