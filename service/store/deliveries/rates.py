"""An endpoint's rate limit: a token bucket in its row, so that it holds over all workers and outlives them.

`tokens` is what the bucket held at `refilled_at`; it fills at the rate, up to a burst. A push takes one, a takedown
none. Read and written under the row's lock, in the transaction that claims.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from service.store.database.sql import Statement
from service.store.schema.base import from_micros, to_micros

LOWEST, HIGHEST = 0.001, 10_000.0  # per second
BURST = (
    0.1  # seconds' worth may go at once, but always one: in any T seconds no more than rate * (T + BURST) + 1
)
_SECOND = 1_000_000
_ROUNDING = 1e-6  # tokens: sums of floats

# Whether endpoint e has a token at :now. A bucket refilled more than a second from now was so by a clock that has been
# put back since: it counts as full.
READY = (
    "(e.rate_per_second IS NULL OR e.tokens IS NULL OR e.refilled_at IS NULL OR e.refilled_at > :now + 1000000"
    " OR e.refilled_at + (1 - e.tokens) * 1000000 / e.rate_per_second <= :now)"
)


@dataclass(frozen=True)
class Bucket:
    """A limited endpoint's bucket as it stands in its row. `refilled_at` in microseconds since 1970."""

    rate: float
    tokens: float | None
    refilled_at: int | None

    def level(self, now: int) -> float:
        """How many tokens it holds at `now`. Two machines' clocks may differ by a second without harm."""
        full = max(1.0, self.rate * BURST)
        if self.tokens is None or self.refilled_at is None or self.refilled_at > now + _SECOND:
            return full
        return min(full, self.tokens + self.rate * max(0, now - self.refilled_at) / _SECOND)

    def whole(self, now: int) -> int:
        return int(self.level(now) + _ROUNDING)


def bucket_of(row: Any) -> Bucket | None:
    """The bucket of an endpoint's row; None if it has no limit."""
    if row.rate_per_second is None:
        return None
    return Bucket(row.rate_per_second, row.tokens, row.refilled_at)


_SPEND = Statement("UPDATE endpoint SET tokens = :tokens, refilled_at = :now WHERE id = :id")


def spend(
    connection: Connection, buckets: Mapping[int, Bucket], endpoints: Iterable[int], now: datetime
) -> None:
    """Takes a token for each of `endpoints` (an id as often as it was claimed for) that has a bucket."""
    moment = to_micros(now)
    taken: dict[int, int] = {}
    for endpoint_id in endpoints:
        if endpoint_id in buckets:
            taken[endpoint_id] = taken.get(endpoint_id, 0) + 1
    if taken:
        rows = [
            # A clock a little behind the one that refilled it must not fill the same span twice.
            {
                "id": number,
                "tokens": buckets[number].level(moment) - count,
                "now": _latest(buckets[number], moment),
            }
            for number, count in sorted(taken.items())
        ]
        _SPEND.run_all(connection, rows)


def _latest(bucket: Bucket, now: int) -> int:
    ahead = bucket.refilled_at is not None and now < bucket.refilled_at <= now + _SECOND
    return bucket.refilled_at if ahead and bucket.refilled_at is not None else now


# The few endpoints first, then their deliveries: the other way round each delivery that is due would be looked at.
_NEXT = Statement(f"""
    WITH e AS MATERIALIZED (SELECT e.id, e.refilled_at + (1 - e.tokens) * 1000000 / e.rate_per_second AS moment
        FROM endpoint e WHERE e.rate_per_second IS NOT NULL AND NOT {READY} AND e.state = 'live')
    SELECT min(e.moment) FROM e
    WHERE EXISTS (SELECT 1 FROM delivery d WHERE d.endpoint_id = e.id AND d.state IN ('pending', 'waiting')
        AND d.due_at <= :now AND d.priority IN (1, 2, 3) LIMIT 1 OFFSET 0)""")


def next_token(connection: Connection, now: datetime) -> datetime | None:
    """When the next push that only its endpoint's rate holds back may go; None if there is none."""
    moment = _NEXT.value(connection, now=now)
    return None if moment is None else from_micros(int(moment) + 1)
