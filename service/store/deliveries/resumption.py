"""Resumption: an endpoint is back. What waited for it goes now, what was given up meanwhile goes again, newest only."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from service.store.deliveries import due_times, requeue


def revive(connection: Connection, endpoint_id: int, since: datetime, now: datetime) -> int:
    """Has everything sent that its endpoint missed; returns how many of it were given up after `since`.

    In the caller's transaction, which holds the endpoint's lock. Run twice, it changes nothing more.
    """
    due_times.hasten(connection, endpoint_id, now)
    return requeue.revive_missed(connection, endpoint_id, since, now)


def revived_words(count: int) -> str:
    if not count:
        return ""
    return f"; {count} {'delivery that was' if count == 1 else 'deliveries that were'} given up will be sent again"
