"""The desk's gauges for Prometheus, computed from the record at each scrape: no process has to remember them.

Who scrapes without a token learns neither names of partners and feeds nor that something waits for an embargo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service import logs
from service.store.articles import refusals
from service.store.articles.refusals import RefusalCount
from service.store.database import wal
from service.store.database.record import Record
from service.store.views.partners import EndpointNow, PartnerNow, partners_now
from service.store.views.pipeline import PipelineNow, pipeline_now
from service.store.views.thresholds import SILENT_AFTER

log = logs.get("status")
BREAKERS = {"closed": 0, "half_open": 1, "open": 2}
STATES: tuple[tuple[str, Callable[[EndpointNow], int]], ...] = (
    ("pending", lambda each: each.backlog - each.retrying),
    ("scheduled", lambda each: each.scheduled),
    ("waiting", lambda each: each.retrying),
    ("sending", lambda each: each.in_flight),
    ("dead", lambda each: each.given_up),
    ("missing", lambda each: each.missing),
)


class DeskCollector(Collector):
    """Gauges of partners and pipeline. With the record away it gives `dateline_record_up 0` and nothing else."""

    def __init__(self, record: Record, clock: Callable[[], datetime], *, named: bool = True) -> None:
        """`named`: with partners and feeds by their names, and with what is scheduled."""
        self._record = record
        self._clock = clock
        self._named = named

    def describe(self) -> Iterable[Metric]:
        """Describes nothing: registering must not read the record."""
        return []

    def collect(self) -> Iterator[Metric]:
        now = self._clock()
        try:
            partners = partners_now(self._record, now)
            pipeline = pipeline_now(self._record)
            refused = refusals.totals(self._record)
        except Exception as error:  # a scrape tells that the record is away; it does not fail
            log.warning("record.unreachable", error=f"{type(error).__name__}: {error}"[:300])
            yield GaugeMetricFamily("dateline_record_up", "Whether the record answers.", 0)
            return
        yield GaugeMetricFamily("dateline_record_up", "Whether the record answers.", 1)
        yield GaugeMetricFamily(
            "dateline_record_wal_bytes",
            "SQLite's write-ahead log; 0 on PostgreSQL.",
            wal.wal_bytes(self._record),
        )
        yield from _of_partners(partners, now) if self._named else _of_all_partners(partners, now)
        yield from _of_pipeline(pipeline, now)
        yield _refused(refused, named=self._named)
        yield _silent(pipeline, named=self._named)
        yield _staleness(pipeline, now, named=self._named)


def _of_partners(partners: Iterable[PartnerNow], now: datetime) -> Iterator[Metric]:
    counts = GaugeMetricFamily(
        "dateline_deliveries",
        "Deliveries not settled well, by state; missing: dead, and nothing newer made up for it.",
        labels=["partner", "state"],
    )
    oldest = GaugeMetricFamily(
        "dateline_delivery_oldest_pending_seconds",
        "Age of the oldest delivery that could be sent; 0: none waits.",
        labels=["partner"],
    )
    flying = GaugeMetricFamily("dateline_partner_inflight", "Requests under way.", labels=["partner"])
    breaker = GaugeMetricFamily(
        "dateline_partner_breaker_state", "0 closed, 1 half open, 2 open: the worst.", labels=["partner"]
    )
    live = GaugeMetricFamily(
        "dateline_partner_endpoints_live", "Endpoints neither paused nor switched off.", labels=["partner"]
    )
    fetches = CounterMetricFamily(
        "dateline_partner_feed_fetches",
        "Fetches of a partner's own feeds, revoked ones too.",
        labels=["partner"],
    )
    unfetched = GaugeMetricFamily(
        "dateline_partner_feed_unfetched_seconds",
        "Since when a partner has not fetched its own feed: the longest.",
        labels=["partner"],
    )
    for each in partners:
        if each.feeds:
            fetches.add_metric([each.slug], sum(one.fetches for one in each.feeds))
        if each.open_feeds:
            since = min(one.fetched_at or one.created_at for one in each.open_feeds)
            unfetched.add_metric([each.slug], _age(since, now))
        for state, number in STATES:
            counts.add_metric([each.slug, state], sum(map(number, each.endpoints)))
        oldest.add_metric([each.slug], _age(each.oldest_since, now))
        flying.add_metric([each.slug], each.in_flight)
        breaker.add_metric([each.slug], max((BREAKERS[one.breaker] for one in each.endpoints), default=0))
        live.add_metric([each.slug], sum(one.state == "live" for one in each.endpoints))
    yield from (counts, oldest, flying, breaker, live, fetches, unfetched)


def _of_all_partners(partners: Iterable[PartnerNow], now: datetime) -> Iterator[Metric]:
    """The same figures, as far as they tell nothing of a single partner or an embargo."""
    endpoints = [one for each in partners for one in each.endpoints]
    counts = GaugeMetricFamily(
        "dateline_deliveries", "Deliveries not settled well, by state.", labels=["state"]
    )
    for state, number in STATES:
        if state != "scheduled":
            counts.add_metric([state], sum(map(number, endpoints)))
    yield counts
    oldest = min((one.oldest_since for one in endpoints if one.oldest_since), default=None)
    yield GaugeMetricFamily(
        "dateline_delivery_oldest_pending_seconds",
        "Age of the oldest delivery that could be sent; 0: none waits.",
        _age(oldest, now),
    )


def _of_pipeline(pipeline: PipelineNow, now: datetime) -> Iterator[Metric]:
    brokers = [each.broker for each in pipeline.running(now)]
    figures = (
        ("dateline_workers", f"Workers seen within {SILENT_AFTER.seconds} seconds.", len(brokers)),
        ("dateline_redis_up", "Whether every worker reaches Redis.", set(brokers) == {"up"}),
        ("dateline_events_unrouted", "Events accepted and not routed yet.", pipeline.unrouted),
        ("dateline_event_oldest_unrouted_seconds", "Age of the oldest of them.", _age(pipeline.unrouted_since, now)),
        ("dateline_leases_oldest_seconds", "Age of the oldest claim on the wire.", _age(pipeline.leased_since, now)),
        ("dateline_feeds_behind", "Feeds asked for and not built yet.", len(pipeline.feeds_behind)),
        ("dateline_sweeper_last_run_timestamp_seconds", "When the sweep last ran; 0: not known.",
         pipeline.swept_at.timestamp() if pipeline.swept_at else 0),
    )  # fmt: skip
    for name, help_text, value in figures:
        yield GaugeMetricFamily(name, help_text, float(value))


def _refused(totals: Iterable[RefusalCount], *, named: bool) -> Metric:
    words = "Posts that the intake refused, by the kind of problem."
    counts = CounterMetricFamily(
        "dateline_intake_refused", words, labels=["source", "reason"] if named else ["reason"]
    )
    by_labels: Counter[tuple[str, ...]] = Counter()
    for each in totals:
        by_labels[(each.source, each.reason) if named else (each.reason,)] += each.count
    for labels, number in sorted(by_labels.items()):
        counts.add_metric(labels, number)
    return counts


def _silent(pipeline: PipelineNow, *, named: bool) -> Metric:
    words = "Whether a source is silent for longer than it uses to be; without names: how many are."
    if not named:
        number = sum(each.silent_since is not None for each in pipeline.sources)
        return GaugeMetricFamily("dateline_source_silent", words, number)
    silent = GaugeMetricFamily("dateline_source_silent", words, labels=["source"])
    for each in pipeline.sources:
        silent.add_metric([each.slug], each.silent_since is not None)
    return silent


def _staleness(pipeline: PipelineNow, now: datetime, *, named: bool) -> Metric:
    """A feed that no story is in yet has a name that is not public."""
    words = "Since when a feed's newest state is not built."
    if not named:
        return GaugeMetricFamily(
            "dateline_feed_staleness_seconds", words, _age(pipeline.feeds_behind_since, now)
        )
    staleness = GaugeMetricFamily("dateline_feed_staleness_seconds", words, labels=["section"])
    for slug, since in pipeline.feeds_behind.items():
        staleness.add_metric([slug], _age(since, now))
    return staleness


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
