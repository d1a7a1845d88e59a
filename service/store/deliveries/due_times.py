"""Due times of deliveries that wait: they move, and the state stays. In the caller's transaction."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from service.store.database.sql import Statement
from service.store.deliveries.states import Priority, State, in_states

# What failed as an outage does is due at once; what was refused, or asked to wait (Retry-After), keeps its time.
_HASTEN = Statement(f"""
    UPDATE delivery SET due_at = :now
    WHERE endpoint_id = :endpoint AND {in_states([State.WAITING])} AND due_at > :now
      AND (last_status IS NULL OR last_status NOT BETWEEN 400 AND 499 OR last_status IN (408, 425, 429))
      AND NOT EXISTS (SELECT 1 FROM attempt t WHERE t.delivery_id = delivery.id AND t.number = delivery.attempts
          AND lower(t.response_headers) LIKE '%"retry-after"%')""")
_DUE_STILL = Statement(f"""
    UPDATE delivery SET due_at = (SELECT CASE WHEN a.embargo_until > :now
        AND delivery.priority > {Priority.TAKEDOWN.value} THEN a.embargo_until ELSE :now END
        FROM article a WHERE a.id = delivery.article_id)
    WHERE {in_states([State.PENDING])} AND due_at > :now AND due_at <= :was""")


def hasten(connection: Connection, endpoint_id: int, now: datetime) -> None:
    """Makes the deliveries that an outage of the endpoint put off due now."""
    _HASTEN.run(connection, {"endpoint": endpoint_id, "now": now})


def keep_due(connection: Connection, was: datetime, now: datetime) -> int:
    """The time of day went from `was` back to `now`: news that was due is due still; embargoes keep their time."""
    return _DUE_STILL.run(connection, {"was": was, "now": now})
