"""Back-fill: an endpoint gets what was published before it was there, in batches, behind all that is new.

Every new endpoint has one, even of nothing: a story under embargo when it is added is news to it when that ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.deliveries import state_writes
from service.store.deliveries.numbering import number
from service.store.deliveries.routing import alone
from service.store.deliveries.states import Priority, State

ARTICLES_PER_STEP = 500  # articles looked at in one transaction: some 20 ms


@dataclass(frozen=True)
class BackfillStep:
    """`more`: there is further work, call again. `finished`: the endpoint that now has it all."""

    deliveries: int
    more: bool
    finished: int | None = None


class _BackfillRow(NamedTuple):
    id: int
    endpoint_id: int
    since: datetime
    after_at: datetime
    after_id: int
    every_revision: bool


class _BackfillArticleRow(NamedTuple):
    id: int
    changed_at: datetime
    revision: int
    embargo_until: datetime | None
    event_id: int
    wanted: bool


_NEXT = Query(
    _BackfillRow,
    """SELECT b.id, b.endpoint_id, b.since, b.after_at, b.after_id, e.every_revision FROM backfill b
    JOIN endpoint e ON e.id = b.endpoint_id WHERE b.finished_at IS NULL ORDER BY b.id LIMIT 1""",
)
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
_BY_CHANGE = Query(
    _BackfillArticleRow,
    f"""{_ARTICLES}
    WHERE a.changed_at >= :after_at AND (a.changed_at > :after_at OR a.id > :after_id)
    ORDER BY a.changed_at, a.id LIMIT :limit""",
)
# However long ago they came, they become public when the endpoint is there. They are few.
_UNDER_EMBARGO = Query(
    _BackfillArticleRow,
    f"""{_ARTICLES}
    WHERE a.embargo_until > :now AND a.changed_at < :since ORDER BY a.changed_at, a.id""",
)
_ADVANCE = Statement("""
    UPDATE backfill SET after_at = :after_at, after_id = :after_id, deliveries = deliveries + :count,
        finished_at = :finished_at WHERE id = :id""")


def step(record: Record, now: datetime, limit: int = ARTICLES_PER_STEP) -> BackfillStep:
    """The next batch of the oldest back-fill, in one transaction: the oldest articles first.

    Killed half-way, nothing of it stands; run beside routing, the second finds the lock taken and does nothing.
    """
    with record.writing() as connection:
        if not alone(record, connection):
            return BackfillStep(0, more=False)
        backfill = _NEXT.one(connection)
        if backfill is None:
            return BackfillStep(0, more=False)
        return _step(connection, backfill, now, limit)


def _step(connection: Connection, backfill: _BackfillRow, now: datetime, limit: int) -> BackfillStep:
    values = {"endpoint": backfill.endpoint_id, "now": now}
    found = _BY_CHANGE.all(
        connection, after_at=backfill.after_at, after_id=backfill.after_id, limit=limit, **values
    )
    embargoed = (
        _UNDER_EMBARGO.all(connection, since=backfill.since, **values) if backfill.after_id == 0 else []
    )
    rows = [_row(each, backfill, now) for each in (*embargoed, *found) if each.wanted]
    number(connection, rows, now)
    state_writes.enqueue(connection, rows)
    last, over = (found[-1] if found else None), len(found) < limit
    advanced = {
        "id": backfill.id,
        "after_at": last.changed_at if last else backfill.after_at,
        "after_id": last.id if last else backfill.after_id,
        "count": len(rows),
        "finished_at": now if over else None,
    }
    _ADVANCE.run(connection, advanced)
    return BackfillStep(len(rows), more=True, finished=backfill.endpoint_id if over else None)


def _row(article: _BackfillArticleRow, backfill: _BackfillRow, now: datetime) -> dict[str, Any]:
    """A story under embargo is news when that ends."""
    embargo = article.embargo_until if article.embargo_until and article.embargo_until > now else None
    return {
        "endpoint_id": backfill.endpoint_id,
        "event_id": article.event_id,
        "article_id": article.id,
        "revision": article.revision,
        "priority": (Priority.NEWS if embargo else Priority.BACKFILL).value,
        "owed": False,
        "ordered": backfill.every_revision,
        "state": State.PENDING.value,
        "superseded_by": None,
        "settled_at": None,
        "due_at": embargo or now,
        "created_at": now,
    }
