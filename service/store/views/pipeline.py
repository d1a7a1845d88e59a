"""The pipeline as it stands: workers, events that wait for routing, feeds that wait to be built, claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from service.store.articles.refusals import REFUSED_NOW, RefusedSource
from service.store.database.record import Record
from service.store.database.sql import Query
from service.store.deliveries.claims import LEASE
from service.store.views.sources import SOURCES_NOW, SourceNow
from service.store.views.thresholds import SILENT_AFTER


@dataclass(frozen=True)
class WorkerNow:
    """A worker's last heartbeat. `broker`: 'up', or in words why this worker cannot use Redis."""

    name: str
    started_at: datetime
    seen_at: datetime
    broker: str

    def is_running(self, now: datetime) -> bool:
        return now - self.seen_at <= SILENT_AFTER


@dataclass(frozen=True)
class PipelineNow:
    """`workers`: the latest seen first. `feeds_behind`: feeds that are asked for and not built yet, each with the
    moment of the latest such wish.

    `swept_at`: the last heartbeat of the worker that sweeps. `leased_since`: when the oldest delivery on the wire was
    claimed.
    """

    workers: tuple[WorkerNow, ...]
    unrouted: int
    unrouted_since: datetime | None
    feeds: int
    feeds_behind: Mapping[str, datetime]
    swept_at: datetime | None
    leased_since: datetime | None
    accepted_at: datetime | None = None  # when the newest event was accepted
    sources: tuple[SourceNow, ...] = ()
    refused: tuple[RefusedSource, ...] = ()  # sources of which nothing was accepted since they were refused

    def running(self, now: datetime) -> tuple[WorkerNow, ...]:
        """The workers that can be counted on."""
        return tuple(each for each in self.workers if each.is_running(now))

    @property
    def feeds_behind_since(self) -> datetime | None:
        return min(self.feeds_behind.values(), default=None)


class _Counts(NamedTuple):
    unrouted: int
    unrouted_since: datetime | None
    feeds: int
    swept_at: datetime | None
    leased_until: datetime | None
    accepted_at: datetime | None


class _FeedBehind(NamedTuple):
    slug: str
    wanted_at: datetime


_COUNTS = Query(
    _Counts,
    """
    SELECT (SELECT count(*) FROM event WHERE routed_at IS NULL),
        (SELECT occurred_at FROM event WHERE routed_at IS NULL ORDER BY id LIMIT 1),
        (SELECT count(*) FROM feed WHERE closed_at IS NULL),
        (SELECT w.seen_at FROM lease l JOIN worker w ON w.name = l.holder WHERE l.name = 'sweep'),
        (SELECT min(lease_until) FROM delivery WHERE state = 'sending'),
        (SELECT occurred_at FROM event ORDER BY id DESC LIMIT 1)""",
)
_FEEDS_BEHIND = Query(
    _FeedBehind,
    "SELECT slug, wanted_at FROM feed WHERE wanted > built AND closed_at IS NULL ORDER BY slug",
)
_WORKERS = Query(
    WorkerNow, "SELECT name, started_at, seen_at, broker FROM worker ORDER BY seen_at DESC, name"
)


def pipeline_now(record: Record) -> PipelineNow:
    """Everything about the pipeline, in one look."""
    with record.surveying() as connection:
        counts = _COUNTS.one(connection)
        assert counts is not None, "a SELECT of subqueries has one row"
        return PipelineNow(
            workers=tuple(_WORKERS.all(connection)),
            unrouted=counts.unrouted,
            unrouted_since=counts.unrouted_since,
            feeds=counts.feeds,
            feeds_behind=dict(_FEEDS_BEHIND.all(connection)),
            swept_at=counts.swept_at,
            leased_since=counts.leased_until - LEASE if counts.leased_until else None,
            accepted_at=counts.accepted_at,
            sources=tuple(SOURCES_NOW.all(connection)),
            refused=tuple(REFUSED_NOW.all(connection)),
        )


def workers_now(record: Record) -> list[WorkerNow]:
    """The workers' heartbeats, the latest first."""
    with record.surveying() as connection:
        return _WORKERS.all(connection)
