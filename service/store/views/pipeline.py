"""The pipeline as it stands: workers, backlog, what is stalled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from service.store.database.record import Record
from service.store.deliveries.claims import LEASE
from service.store.schema.base import from_micros
from service.store.views.partners import moment


@dataclass(frozen=True)
class WorkerNow:
    """`broker`: 'up', or in words why this worker cannot use Redis."""

    name: str
    started_at: datetime
    seen_at: datetime
    broker: str


@dataclass(frozen=True)
class PipelineNow:
    """`feeds_behind`: feeds that are asked for and not built yet, with the moment of the latest such wish.

    `swept_at`: the last sign of life of the worker that sweeps. `leased_since`: when the oldest delivery on the
    wire was claimed.
    """

    workers: tuple[WorkerNow, ...]
    unrouted: int
    unrouted_since: datetime | None
    feeds: int
    feeds_behind: Mapping[str, datetime]
    swept_at: datetime | None
    leased_since: datetime | None


_PIPELINE = text("""
    SELECT (SELECT count(*) FROM event WHERE routed_at IS NULL) AS unrouted,
        (SELECT occurred_at FROM event WHERE routed_at IS NULL ORDER BY id LIMIT 1) AS unrouted_since,
        (SELECT count(*) FROM feed WHERE closed_at IS NULL) AS feeds,
        (SELECT w.seen_at FROM lease l JOIN worker w ON w.name = l.holder WHERE l.name = 'sweep') AS swept_at,
        (SELECT min(lease_until) FROM delivery WHERE state = 'sending') AS leased_until""")


def pipeline_now(record: Record) -> PipelineNow:
    """Workers (the latest seen first), events not routed, feeds not built, what is on the wire."""
    with record.surveying() as connection:
        row = connection.execute(_PIPELINE).one()
        behind = connection.execute(
            text("SELECT slug, wanted_at FROM feed WHERE wanted > built AND closed_at IS NULL ORDER BY slug")
        )
        workers = connection.execute(
            text("SELECT name, started_at, seen_at, broker FROM worker ORDER BY seen_at DESC, name")
        )
        leased_until = moment(row.leased_until)
        return PipelineNow(
            workers=tuple(
                WorkerNow(each.name, from_micros(each.started_at), from_micros(each.seen_at), each.broker)
                for each in workers
            ),
            unrouted=row.unrouted,
            unrouted_since=moment(row.unrouted_since),
            feeds=row.feeds,
            feeds_behind={each.slug: from_micros(each.wanted_at) for each in behind},
            swept_at=moment(row.swept_at),
            leased_since=leased_until - LEASE if leased_until else None,
        )
