"""Numbers of an endpoint's pushes: 1, 2, 3, … without gaps, each given when its push becomes due.

A number is taken under its endpoint's lock, so that who sees one sees all before it. A push under embargo has none:
`sequence` is below zero, minus its event's row, so that no gap tells that there is something.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from service.store.database import locks
from service.store.database.record import Record
from service.store.database.sql import Query, Statement
from service.store.deliveries import due_times
from service.store.deliveries.states import UNSETTLED, in_states
from service.store.schema.base import to_micros

MOST_NUMBERED = 500  # in one transaction


def number(connection: Connection, rows: list[dict[str, Any]], now: datetime) -> None:
    """Gives each delivery its endpoint's next sequence number. Endpoints are locked before any delivery is.

    What is under embargo has none until it is due (`number_due`): until then below zero stands which event it
    is of. So nobody sees by a gap that there is something.
    """
    moment = to_micros(now)
    due = []
    for row in rows:
        due_at = row["due_at"]
        if (to_micros(due_at) if isinstance(due_at, datetime) else due_at) <= moment:
            due.append(row)
        else:
            row["sequence"] = -row["event_id"]
    numbers = next_numbers(connection, [row["endpoint_id"] for row in due])
    for row, sequence in zip(due, numbers, strict=True):
        row["sequence"] = sequence


def next_numbers(connection: Connection, endpoints: Sequence[int]) -> list[int]:
    """For each of these endpoints, named as often as it needs one, its next sequence number, in this order."""
    if not endpoints:
        return []
    counts = Counter(endpoints)
    taken = {
        endpoint_id: last - counts[endpoint_id]
        for endpoint_id, last in advance_sequences(connection, counts).items()
    }
    numbers = []
    for endpoint_id in endpoints:
        taken[endpoint_id] += 1
        numbers.append(taken[endpoint_id])
    return numbers


def advance_sequences(connection: Connection, counts: Mapping[int, int]) -> dict[int, int]:
    """Takes so many numbers of each endpoint's sequence; returns the last of each. Locks them in the order of ids."""
    more = dict(sorted(counts.items()))
    if connection.dialect.name == "sqlite":
        return dict(_ADVANCE_SQLITE.rows(connection, more=json.dumps(list(more.items()))))
    return dict(_ADVANCE_POSTGRESQL.rows(connection, ids=list(more), more=list(more.values())))


_ADVANCE_SQLITE = Statement("""
    UPDATE endpoint SET sequence = sequence + v.more
    FROM (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS more FROM json_each(:more)) v
    WHERE endpoint.id = v.id RETURNING endpoint.id, endpoint.sequence""")
_ADVANCE_POSTGRESQL = Statement("""
    WITH locked AS MATERIALIZED (
        SELECT id FROM endpoint WHERE id IN :ids[] ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE endpoint e SET sequence = e.sequence + v.more
    FROM unnest(CAST(:ids AS bigint[]), CAST(:more AS bigint[])) AS v(id, more)
    WHERE (SELECT count(*) FROM locked) > 0 AND e.id = v.id RETURNING e.id, e.sequence""")


class _NumberRow(NamedTuple):
    id: int
    endpoint_id: int


_UNNUMBERED = f"""
    FROM delivery x WHERE x.sequence < 0 AND {in_states(UNSETTLED, "x")} AND x.due_at <= :now"""
_ANY = Statement(f"SELECT 1 {_UNNUMBERED} LIMIT 1")
_DUE = Query(_NumberRow, f"SELECT x.id, x.endpoint_id {_UNNUMBERED} ORDER BY x.due_at, x.id LIMIT :limit")
_STILL = Query(
    _NumberRow,
    "SELECT x.id, x.endpoint_id FROM delivery x WHERE x.id IN :ids[] AND x.sequence < 0 ORDER BY x.due_at, x.id",
)


def number_due(record: Record, now: datetime) -> int:
    """Gives numbers to what has just become due, wherever its endpoint stands: its partner finds it when it catches up.

    Returns how many; call again while that is MOST_NUMBERED.
    """
    with record.reading() as connection:
        if not _ANY.rows(connection, now=now):
            return 0
        due = _DUE.all(connection, now=now, limit=MOST_NUMBERED)
    with record.writing() as connection:
        locks.lock_endpoints(connection, {each.endpoint_id for each in due})
        # What was claimed meanwhile has its number already.
        return len(number_these(connection, [each.id for each in due]))


def number_these(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """The new numbers of those of these deliveries that have none yet. Their endpoints are locked already."""
    rows = _STILL.all(connection, ids=list(ids))
    numbers = next_numbers(connection, [each.endpoint_id for each in rows])
    found = {each.id: number for each, number in zip(rows, numbers, strict=True)}
    due_times.set_numbers(connection, found)
    return found
