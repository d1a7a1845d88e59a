"""The order of locks on PostgreSQL: articles, then endpoints, then deliveries, each by id: nobody waits in a circle.

An update of several rows locks them in whatever order its plan finds them, so whoever touches several deliveries locks
them here first. SQLite lets one writer in at a time and needs none of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection, TextClause, text


def lock_endpoints(connection: Connection, ids: Collection[int]) -> None:
    """Locks these endpoints until the transaction ends: nothing of theirs is claimed meanwhile."""
    if ids and connection.dialect.name == "postgresql":
        connection.execute(_ENDPOINTS, {"ids": list(ids)})


_ENDPOINTS = text(
    "SELECT id FROM endpoint WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE"
)


def lock_deliveries(connection: Connection, which: str, values: Mapping[str, Any]) -> None:
    """Locks the deliveries that the condition `which` names, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(_lock(which), dict(values))


@cache
def _lock(which: str) -> TextClause:
    return text(f"SELECT id FROM delivery WHERE {which} ORDER BY id FOR NO KEY UPDATE")


BY_ID = "id = ANY(CAST(:ids AS bigint[]))"
