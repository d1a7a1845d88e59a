"""Sessions of the operator's browser: a login writes one, a logout deletes it, and then its cookie opens nothing."""

from __future__ import annotations

import hashlib
from datetime import datetime

from service.store.database.record import Record
from service.store.database.sql import Statement, insert
from service.store.schema.operations import operator_session

SESSIONS_KEPT = 1000  # of the newest: a script that logs in at each call does not fill the record


def open_session(record: Record, secret: str, now: datetime, until: datetime) -> None:
    """Begins a session that the bearer of this secret has until then."""
    with record.writing() as connection:
        _PRUNE.run(connection, {"now": now, "kept": SESSIONS_KEPT - 1})
        _OPEN.run(connection, {"hash": _hash(secret), "created_at": now, "until": until})


def is_open(record: Record, secret: str, now: datetime) -> bool:
    """Whether the session of this secret goes on."""
    with record.reading() as connection:
        return _FIND.value(connection, hash=_hash(secret), now=now) is not None


def end_session(record: Record, secret: str) -> None:
    """Ends a session, in every process at once."""
    with record.writing() as connection:
        _END.run(connection, {"hash": _hash(secret)})


_OPEN = insert(operator_session, "hash created_at until")
_FIND = Statement("SELECT until FROM operator_session WHERE hash = :hash AND until > :now")
_END = Statement("DELETE FROM operator_session WHERE hash = :hash")
_PRUNE = Statement(
    "DELETE FROM operator_session WHERE until <= :now OR hash NOT IN"
    " (SELECT hash FROM operator_session ORDER BY until DESC LIMIT :kept)"
)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
