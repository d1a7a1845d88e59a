"""Row `backlog`: one partner is back after a day, with all that waited for it, beside 19 healthy ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from sqlalchemy import text

from bench import load
from bench.balance import latencies
from bench.desk import BenchDesk
from bench.load import Load, PostingResult
from bench.processes import Failed
from bench.run import Run
from bench.sink import Sink
from bench.table import Line, at_least_times, at_most_times
from service.store import names, operations
from service.store.feeds.feeds import due_feeds
from service.store.partners.endpoints import NewEndpoint
from service.store.partners.partners import NewPartner
from service.times import now

WAITING, WAITING_QUICK = 50_000, 3_000
HEALTHY_PARTNERS = 19
WAITING_SIZE, NEWS_SIZE = 1024, 6 * 1024
NEWS_PER_SECOND = 5.0
NEWS_SECONDS = 20.0
MOST_NEWS_SECONDS = 60.0
DRAINED_WITHIN = 600.0
_BACK = 1  # the id of the first endpoint of a record
_UNROUTED = text("SELECT count(*) FROM event WHERE routed_at IS NULL")


@dataclass
class Arrivals:
    """The first arrivals at the partners: webhook-id → Unix time."""

    sink: Sink
    first: dict[str, float] = field(default_factory=dict)

    def read_on(self) -> None:
        for at, name, status in self.sink.arrivals():
            if status == 200:
                self.first.setdefault(name, at)

    def of_the_one_back(self) -> dict[str, float]:
        """Those at the partner that is back, by event."""
        read = ((names.read_delivery_id(name), at) for name, at in self.first.items())
        return {each.event: at for each, at in read if each and each.endpoint_id == _BACK}

    def healthy(self) -> list[tuple[float, str, int]]:
        read = ((names.read_delivery_id(name), name, at) for name, at in self.first.items())
        return [(at, name, 200) for each, name, at in read if each and each.endpoint_id != _BACK]


def measure(run: Run, database: str) -> list[Line]:
    """Beside them: the same backlog while nothing else happens; and the same news while there is no backlog."""
    waiting = run.scaled(WAITING, WAITING_QUICK)
    rate = Line("backlog", database, f"{waiting:,} of one endpoint arrived", "1/s", at_least_times(0.5))
    news = Line("backlog", database, "healthy partners' p95 meanwhile", "ms", at_most_times(2))
    for _ in run.rounds():
        with run.desk_and_sink(database) as (desk, sink, _):
            desk.add_endpoints([sink.url(0)])
            desk.start()
            _let_wait(desk, "alone", waiting)
            run.databases.settle(database)
            alone = _drained(desk, sink, waiting)
            rate.bare.append(waiting / alone)
            _let_wait(desk, "beside", waiting)
            _add_healthy(desk, sink)
            calm = desk.load("calm", int(NEWS_PER_SECOND * run.scaled(NEWS_SECONDS, 5.0)), NEWS_SIZE)
            news.bare.append(_p95(sink, replace(calm, per_second=NEWS_PER_SECOND)))
            run.databases.settle(database)
            seconds = min(MOST_NEWS_SECONDS, max(5.0, 2 * alone))
            amid = desk.load("amid", int(NEWS_PER_SECOND * seconds), NEWS_SIZE)
            per_second, p95 = _beside(desk, sink, waiting, replace(amid, per_second=NEWS_PER_SECOND))
            rate.ours.append(per_second)
            news.ours.append(p95)
    return [rate, news]


def _let_wait(desk: BenchDesk, name: str, count: int) -> None:
    """Has so many articles routed to the one partner while its endpoint is paused, and into the feeds."""
    operations.pause_endpoint(desk.record, _BACK, reason="bench", actor="operator", now=now())
    desk.hold()
    desk.feed(name, count, WAITING_SIZE)
    desk.release()

    def at_rest() -> bool:
        with desk.record.reading() as connection:
            unrouted = int(connection.execute(_UNROUTED).scalar_one())
        return unrouted == 0 and not due_feeds(desk.record)

    _wait(at_rest, "not all articles were routed and in the feeds")


def _drained(desk: BenchDesk, sink: Sink, waiting: int) -> float:
    """The seconds from the resumption to the last arrival."""
    arrivals = Arrivals(sink)
    resumed = _resume(desk)

    def all_arrived() -> bool:
        arrivals.read_on()
        return len(arrivals.of_the_one_back()) >= waiting

    _wait(all_arrived, "the backlog did not arrive")
    return max(arrivals.first.values()) - resumed


def _beside(desk: BenchDesk, sink: Sink, waiting: int, wanted: Load) -> tuple[float, float]:
    """The backlog's arrivals a second, and the healthy partners' p95 of the news that came until its last one."""
    arrivals = Arrivals(sink)
    with ThreadPoolExecutor(1) as threads:
        posting: Future[PostingResult] = threads.submit(load.run, wanted)
        resumed = _resume(desk)

        def all_arrived() -> bool:
            arrivals.read_on()
            if not posting.done():
                return False
            accepted = len(posting.result().accepted)
            at_all = len(arrivals.healthy()) >= accepted * HEALTHY_PARTNERS
            return at_all and len(arrivals.of_the_one_back()) >= waiting + accepted

        _wait(all_arrived, "backlog and news did not arrive")
    posted = _accepted_whole(posting.result())
    last = max(at for event, at in arrivals.of_the_one_back().items() if event not in posted.accepted)
    meanwhile = {event: due for event, due in posted.accepted.items() if due <= last}
    delays = latencies(replace(posted, accepted=meanwhile), arrivals.healthy())
    return waiting / (last - resumed), load.percentile(delays, 0.95) * 1000


def _p95(sink: Sink, wanted: Load) -> float:
    """The healthy partners' p95 of news while the backlog rests, in milliseconds."""
    arrivals = Arrivals(sink)
    posted = _accepted_whole(load.run(wanted))

    def all_arrived() -> bool:
        arrivals.read_on()
        return len(arrivals.healthy()) >= len(posted.accepted) * HEALTHY_PARTNERS

    _wait(all_arrived, "the news did not arrive")
    return load.percentile(latencies(posted, arrivals.healthy()), 0.95) * 1000


def _accepted_whole(posted: PostingResult) -> PostingResult:
    if posted.refused:
        raise Failed(f"{posted.refused} posts were refused")
    return posted


def _add_healthy(desk: BenchDesk, sink: Sink) -> None:
    """Adds the healthy partners now: what waits is not theirs."""
    for number in range(1, HEALTHY_PARTNERS + 1):
        name, at = f"healthy{number}", now()
        partner = NewPartner(name, name, key_id=name, key_hash="0" * 64)
        operations.add_partner(desk.record, partner, actor="operator", now=at)
        endpoint = NewEndpoint(name, sink.url(number), secret=desk.secret)
        operations.add_endpoint(desk.record, endpoint, actor="operator", now=at)


def _resume(desk: BenchDesk) -> float:
    """Resumes the endpoint; returns the Unix time."""
    at = time.time()
    operations.resume_endpoint(desk.record, _BACK, actor="operator", now=now())
    return at


def _wait(ready: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + DRAINED_WITHIN
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"{otherwise} within {DRAINED_WITHIN:g} s")
        time.sleep(0.2)
