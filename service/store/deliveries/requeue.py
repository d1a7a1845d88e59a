"""Deliveries that go again: given up ones as themselves, delivered ones as new rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from service.store.database.sql import Statement
from service.store.deliveries.states import (
    REVIVE,
    Priority,
    State,
    due,
    in_states,
    may_hold,
)

_REPEAT = Statement(f"""
    INSERT INTO delivery (endpoint_id, event_id, article_id, revision, replay, sequence, priority, owed, ordered,
        state, due_at, reached, created_at)
    SELECT d.endpoint_id, d.event_id, d.article_id, d.revision, d.replay + 1, :sequence, d.priority, d.owed, d.ordered,
        '{State.PENDING.value}', :now, true, :now
    FROM delivery d WHERE d.id = :id AND {in_states([State.DELIVERED], "d")}""")


def repeat(connection: Connection, sequences: Sequence[tuple[int, int]], now: datetime) -> None:
    """Has delivered ones sent again, each as a row of its own with the sequence number: (delivery, number)."""
    _REPEAT.run_all(connection, [{"id": one, "sequence": number, "now": now} for one, number in sequences])


_REVIVE = f"""
    UPDATE delivery SET state = '{State.PENDING.value}', due_at = {due("delivery")}, created_at = :now,
        forgiven = attempts, settled_at = NULL
    WHERE {REVIVE.guard()} AND """


_REVIVE_THESE = Statement(f"{_REVIVE} id IN :ids[]")


# The newest row of the article there, of the article's newest revision, which the endpoint does not hold yet; and a
# takedown only for an endpoint that may hold what it takes down.
_REVIVE_MISSED = Statement(f"""{_REVIVE} endpoint_id = :endpoint AND settled_at >= :since
    AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = delivery.article_id
        AND o.endpoint_id = delivery.endpoint_id AND (o.revision > delivery.revision
            OR (o.revision = delivery.revision AND o.replay > delivery.replay)))
    AND NOT EXISTS (SELECT 1 FROM receipt r WHERE r.article_id = delivery.article_id
        AND r.endpoint_id = delivery.endpoint_id AND r.revision >= delivery.revision)
    AND EXISTS (SELECT 1 FROM article a WHERE a.id = delivery.article_id AND a.revision = delivery.revision
        AND (a.status = 'usable' OR (delivery.priority = {Priority.TAKEDOWN.value} AND {may_hold("delivery")})))""")


def revive(connection: Connection, ids: Collection[int], now: datetime) -> None:
    """Has those of them that were given up sent again as themselves, with a schedule that begins anew."""
    if ids:
        _REVIVE_THESE.run(connection, {"ids": list(ids), "now": now})


def revive_missed(connection: Connection, endpoint_id: int, since: datetime, now: datetime) -> int:
    """The same for all that the endpoint missed since: newest revisions only. Returns how many."""
    return _REVIVE_MISSED.run(connection, {"endpoint": endpoint_id, "since": since, "now": now})
