"""The order of locks on PostgreSQL: articles, then endpoints, then deliveries, each by id: nobody waits in a circle.

Documents and pages of archives come before their feeds, and the lock of all documents before both.

An update of several rows locks them in the order in which its plan finds them, so a transaction that touches several
deliveries locks them here first. SQLite lets one writer in at a time and needs none of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

from sqlalchemy import Connection

from service.store.database.sql import Statement

# Numbers of our own.
DOCUMENTS_LOCK = 0x0DA7E20D
SCHEMA_LOCK = 0x0DA7E11E


def lock_documents(connection: Connection) -> None:
    """Until the transaction ends nobody else writes or drops documents or pages: to be taken before any row's lock.

    A build locks documents and, last and for a moment, their feed, so that routing, which locks feeds, does not wait
    for documents, nor the pushes with it. A renaming locks them the other way round.
    """
    if connection.dialect.name == "postgresql":
        _ADVISORY.rows(connection, key=DOCUMENTS_LOCK)


_ADVISORY = Statement("SELECT pg_advisory_xact_lock(:key)")


def lock_schema(connection: Connection) -> None:
    """Until the transaction ends nobody else migrates: two processes that start at once go one after the other."""
    if connection.dialect.name == "postgresql":
        _ADVISORY.rows(connection, key=SCHEMA_LOCK)


def share_articles(connection: Connection, ids: Collection[int]) -> None:
    """Until the transaction ends these articles do not change: a kill that is being accepted now is waited for.

    One that comes later waits in turn, and then finds what is written here.
    """
    if ids and connection.dialect.name == "postgresql":
        _ARTICLES.rows(connection, ids=sorted(ids))


_ARTICLES = Statement("SELECT id FROM article WHERE id IN :ids[] ORDER BY id FOR SHARE")


def lock_endpoints(connection: Connection, ids: Collection[int]) -> None:
    """Locks these endpoints until the transaction ends: nothing of theirs is claimed meanwhile."""
    if ids and connection.dialect.name == "postgresql":
        _ENDPOINTS.rows(connection, ids=list(ids))


_ENDPOINTS = Statement("SELECT id FROM endpoint WHERE id IN :ids[] ORDER BY id FOR NO KEY UPDATE")


def lock_deliveries(connection: Connection, which: str, values: Mapping[str, Any]) -> None:
    """Locks the deliveries that the condition `which` names, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        _lock(which).rows(connection, **values)


@cache
def _lock(which: str) -> Statement:
    return Statement(f"SELECT id FROM delivery WHERE {which} ORDER BY id FOR NO KEY UPDATE")


BY_ID = "id IN :ids[]"
