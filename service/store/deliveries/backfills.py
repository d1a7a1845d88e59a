"""Back-fill: an endpoint gets what was published before it was there, in batches, behind all that is new.

Every new endpoint has one, be it of nothing: what is under embargo when it is added is news to it when that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from service.store.database.record import Record
from service.store.deliveries.recipients import BACKFILL, REST
from service.store.deliveries.routing import DELIVERIES, alone, number
from service.store.schema.base import to_micros

BATCH = 500  # articles looked at in one transaction: some 20 ms


@dataclass(frozen=True)
class Stepped:
    """What one step did. `more`: there is further work, call again. `finished`: the endpoint that now has it all."""

    deliveries: int
    more: bool
    finished: int | None = None


_NEXT = text("""
    SELECT b.id, b.endpoint_id, b.since, b.after_at, b.after_id, e.every_revision FROM backfill b
    JOIN endpoint e ON e.id = b.endpoint_id WHERE b.finished_at IS NULL ORDER BY b.id LIMIT 1""")
# Public now or when its embargo ends, in the endpoint's sections, its newest revision routed (else routing brings it),
# and nothing as new of it on its way there.
_WANTED = """
    (a.status = 'usable' AND (a.expires_at IS NULL OR a.expires_at > :now) AND v.routed_at IS NOT NULL
     AND (EXISTS (SELECT 1 FROM endpoint e WHERE e.id = :endpoint AND e.all_sections)
          OR EXISTS (SELECT 1 FROM placement p JOIN section c ON c.slug = p.feed
              JOIN subscription s ON s.section_id = c.id
              WHERE p.article_id = a.id AND p.listed AND s.endpoint_id = :endpoint))
     AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.article_id = a.id AND d.endpoint_id = :endpoint
         AND d.revision >= a.revision))"""
_ARTICLES = f"""
    SELECT a.id, a.changed_at, a.revision, a.embargo_until, v.id AS event_id, {_WANTED} AS wanted
    FROM article a JOIN event v ON v.article_id = a.id AND v.revision = a.revision"""
_BY_CHANGE = text(f"""{_ARTICLES}
    WHERE a.changed_at >= :after_at AND (a.changed_at > :after_at OR a.id > :after_id)
    ORDER BY a.changed_at, a.id LIMIT :limit""")
# However long ago they came, they become public when the endpoint is there. They are few.
_UNDER_EMBARGO = text(f"""{_ARTICLES}
    WHERE a.embargo_until > :now AND a.changed_at < :since ORDER BY a.changed_at, a.id""")
_ADVANCE = text("""
    UPDATE backfill SET after_at = :after_at, after_id = :after_id, deliveries = deliveries + :count,
        finished_at = :finished_at WHERE id = :id""")


def step(record: Record, now: datetime, limit: int = BATCH) -> Stepped:
    """The next batch of the oldest back-fill, in one transaction: the oldest articles first.

    Killed half-way, nothing of it stands; run beside routing, the second finds the lock taken and does nothing.
    """
    with record.writing() as connection:
        if not alone(record, connection):
            return Stepped(0, more=False)
        going = connection.execute(_NEXT).one_or_none()
        if going is None:
            return Stepped(0, more=False)
        return _step(connection, going, now, limit)


def _step(connection: Connection, going: Row[Any], now: datetime, limit: int) -> Stepped:
    values = {
        "endpoint": going.endpoint_id,
        "since": going.since,
        "after_at": going.after_at,
        "after_id": going.after_id,
        "now": to_micros(now),
        "limit": limit,
    }
    found = connection.execute(_BY_CHANGE, values).all()
    held = connection.execute(_UNDER_EMBARGO, values).all() if going.after_id == 0 else []
    rows = [_row(each, going, now) for each in (*held, *found) if each.wanted]
    number(connection, rows)
    DELIVERIES.insert(connection, rows)
    last, over = (found[-1] if found else None), len(found) < limit
    advanced = {
        "id": going.id,
        "after_at": last.changed_at if last else going.after_at,
        "after_id": last.id if last else going.after_id,
        "count": len(rows),
        "finished_at": to_micros(now) if over else None,
    }
    connection.execute(_ADVANCE, advanced)
    return Stepped(len(rows), more=True, finished=going.endpoint_id if over else None)


def _row(each: Row[Any], going: Row[Any], now: datetime) -> dict[str, Any]:
    """What is under embargo is news when that ends."""
    moment = to_micros(now)
    held = each.embargo_until is not None and each.embargo_until > moment
    return {
        "endpoint_id": going.endpoint_id,
        "event_id": each.event_id,
        "article_id": each.id,
        "revision": each.revision,
        "priority": REST if held else BACKFILL,
        "owed": False,
        "ordered": bool(going.every_revision),
        "state": "pending",
        "superseded_by": None,
        "settled_at": None,
        "due_at": each.embargo_until if held else moment,
        "created_at": moment,
    }
