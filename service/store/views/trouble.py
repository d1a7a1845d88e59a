"""Trouble for an operator: deliveries that were given up, and those that nobody sends. Read-only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from service.store import names
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.deliveries.attempts import CAUSES, LAST_OUTCOME
from service.store.deliveries.states import may_go
from service.store.views.partners import MADE_UP

LOOKED_AT = 500  # of the dead deliveries of an endpoint


@dataclass(frozen=True)
class DeadGroup:
    """Dead deliveries of one endpoint that ended with the same words. `missing`: nothing newer makes up for them.
    `event`, `replay` and `outcome`, that of its last attempt, are of the newest of them. `latest_alone`: the endpoint
    has more than are looked at, which are the latest."""

    endpoint_id: int
    partner: str
    partner_name: str
    words: str | None
    count: int
    missing: int
    first_at: datetime
    last_at: datetime
    event: str
    replay: int
    outcome: str | None
    latest_alone: bool

    @property
    def cause(self) -> str | None:
        """The word by which a replay finds it."""
        return self.outcome if self.outcome in CAUSES else None

    @property
    def example(self) -> str:
        """The webhook-id of the newest of them."""
        return names.delivery_id(self.event, self.endpoint_id, self.replay)


# The latest of each endpoint, by the index of the dead. It is asked for as a range: of an endpoint that is equal
# PostgreSQL knows that all of it are in the order of their ids, and reads those of all endpoints in that order.
_LATEST_DEAD = """
    SELECT y.id FROM delivery y WHERE y.endpoint_id BETWEEN e.id AND e.id AND y.state = 'dead'
    ORDER BY y.endpoint_id DESC, y.id DESC LIMIT :most"""
_LATEST_OF_EACH = f"delivery d ON d.id IN ({_LATEST_DEAD})"
_LATEST_OF_EACH_POSTGRESQL = f"LATERAL ({_LATEST_DEAD}) l ON true JOIN delivery d ON d.id = l.id"
_GROUPS_SQL = f"""
    SELECT g.endpoint_id, p.slug, p.name, g.last_words, g.count, g.missing, g.first_at, g.last_at, v.public_id,
        x.replay, {LAST_OUTCOME.format(delivery="x")}, g.all_groups >= :most
    FROM (
        SELECT d.endpoint_id, d.last_words, count(*) AS count, min(d.settled_at) AS first_at,
            max(d.settled_at) AS last_at, max(d.id) AS example,
            sum(CASE WHEN {MADE_UP} THEN 0 ELSE 1 END) AS missing,
            sum(count(*)) OVER (PARTITION BY d.endpoint_id) AS all_groups
        FROM endpoint e JOIN {{}} GROUP BY d.endpoint_id, d.last_words) g
    JOIN endpoint e ON e.id = g.endpoint_id JOIN partner p ON p.id = e.partner_id AND p.removed_at IS NULL
    JOIN delivery x ON x.id = g.example JOIN event v ON v.id = x.event_id
    ORDER BY g.missing DESC, g.last_at DESC LIMIT :limit"""
_GROUPS = Query(
    DeadGroup,
    _GROUPS_SQL.format(_LATEST_OF_EACH),
    postgresql=_GROUPS_SQL.format(_LATEST_OF_EACH_POSTGRESQL),
)


def dead_groups(record: Record, limit: int = 200) -> list[DeadGroup]:
    """The latest dead deliveries by endpoint and last words; groups in which something is missing first.

    A removed partner gets nothing any more, so it misses nothing.
    """
    with record.reading() as connection:  # without bitmaps, for which all dead of an endpoint would be read
        return _GROUPS.all(connection, limit=limit, most=LOOKED_AT)


class StalledPartner(NamedTuple):
    """The partner's name, and since when the oldest delivery that could have been sent is due."""

    name: str
    due_at: datetime


# A live endpoint with room and no hold that has something to send since before, and got nothing since then either.
_STALLED = Query(
    StalledPartner,
    f"""
    SELECT p.name, s.due_at FROM (
        SELECT e.partner_id, (
            SELECT d.due_at FROM delivery d
            WHERE d.endpoint_id = e.id AND d.state IN ('pending', 'waiting') AND d.priority IN (0, 1, 2, 3)
              AND d.due_at <= :before AND {may_go("d")}
            LIMIT 1) AS due_at
        FROM endpoint e
        WHERE e.state = 'live' AND e.state_since <= :before AND (e.not_before IS NULL OR e.not_before <= :before)
          AND (e.breaker = 'closed' OR e.breaker_until <= :before)
          AND (e.last_success_at IS NULL OR e.last_success_at <= :before)
          AND (e.last_failure_at IS NULL OR e.last_failure_at <= :before)
          AND e.max_in_flight > (SELECT count(*) FROM delivery f
            WHERE f.endpoint_id = e.id AND f.state = 'sending')) s
    JOIN partner p ON p.id = s.partner_id WHERE s.due_at IS NOT NULL ORDER BY s.due_at""",
)


def stalled(record: Record, before: datetime) -> list[StalledPartner]:
    """Partners of what could have been sent since `before` and was not: nobody works there."""
    with record.surveying() as connection:
        return _STALLED.all(connection, before=before)
