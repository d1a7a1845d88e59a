"""Limits on guessing, shared by all processes: how many wrong tokens an address sent within a minute.

An address that sent a right one lately is remembered too: behind a proxy that nobody named in DATELINE_TRUSTED_PROXIES
all clients have one address, and then a right token must not be locked out by others' wrong ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from service.store.database.record import Record
from service.store.database.sql import Query, Statement

WINDOW = timedelta(minutes=1)
PROVEN_FOR = timedelta(days=7)  # after its last right token
NOTED_EVERY = timedelta(hours=1)  # so that a right token costs a write now and then only
ROWS = 10_000  # addresses that are remembered; the longest silent go first


@dataclass(frozen=True)
class AuthLimit:
    """Of one address at one door: its wrong tokens since `window_at`, and its last right one."""

    failures: int
    window_at: datetime
    success_at: datetime | None

    def wait(self, most: int, now: datetime) -> timedelta | None:
        """How long it must wait, having sent `most` wrong ones; None if it need not. A clock put back ends the wait."""
        left = self.window_at + WINDOW - now
        return left if self.failures >= most and timedelta(0) < left <= WINDOW else None

    def is_proven(self, now: datetime) -> bool:
        return self.success_at is not None and now - self.success_at <= PROVEN_FOR


def find(record: Record, door: str, address: str) -> AuthLimit | None:
    with record.reading() as connection:
        return _FIND.one(connection, door=door, address=address)


def note_failure(record: Record, door: str, address: str, now: datetime) -> None:
    """Counts a wrong token; a minute after the first one the count begins anew."""
    with record.writing() as connection:
        values = {"door": door, "address": address, "now": now, "before": now - WINDOW}
        _FAIL.run(connection, values)
        _PRUNE.run(connection, {"before": now - PROVEN_FOR, "rows": ROWS})


def note_success(record: Record, door: str, address: str, now: datetime) -> None:
    """Notes a right token. It forgives nothing: the wrong ones may be another client's."""
    with record.writing() as connection:
        _SUCCEED.run(connection, {"door": door, "address": address, "now": now})


_FIND = Query(
    AuthLimit,
    "SELECT failures, window_at, success_at FROM auth_limit WHERE door = :door AND address = :address",
)
_FAIL = Statement("""
    INSERT INTO auth_limit (door, address, failures, window_at) VALUES (:door, :address, 1, :now)
    ON CONFLICT (door, address) DO UPDATE SET
        failures = CASE WHEN auth_limit.window_at BETWEEN :before AND :now THEN auth_limit.failures + 1 ELSE 1 END,
        window_at = CASE WHEN auth_limit.window_at BETWEEN :before AND :now THEN auth_limit.window_at ELSE :now END""")
_SUCCEED = Statement("""
    INSERT INTO auth_limit (door, address, failures, window_at, success_at) VALUES (:door, :address, 0, :now, :now)
    ON CONFLICT (door, address) DO UPDATE SET success_at = excluded.success_at""")
# What is longest silent goes; the newest row is never among it.
_PRUNE = Statement("""
    DELETE FROM auth_limit WHERE coalesce(success_at, window_at) < :before AND window_at < :before
        OR window_at < (SELECT window_at FROM auth_limit ORDER BY window_at DESC LIMIT 1 OFFSET :rows)""")
