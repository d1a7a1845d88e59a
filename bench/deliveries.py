"""Rows `fanout`, `single`, `wide`: from accepted articles to settled deliveries, by all workers of a desk.

Beside each row: one curl loop that signs and posts the very same bodies to the same sink, and writes nothing.
"""

from __future__ import annotations

import time

from sqlalchemy import text

from bench import bare_push, load
from bench.balance import Balance
from bench.bare_push import BarePushes
from bench.costs import CostLines, CostMeter
from bench.desk import BenchDesk
from bench.run import Run
from bench.sink import Sink
from bench.table import Line, at_least, at_most
from service.store.database.record import Record
from service.store.feeds.feeds import ARCHIVE_PAGE

SIZE = 6 * 1024


def fanout(run: Run, database: str) -> list[Line]:
    """20 endpoints × 1,000 articles of 6 KB."""
    rate = Line("fanout", database, "deliveries settled", "1/s", at_least(4000))
    costs = CostLines("fanout", database, most_times=6)
    return _backlog(run, rate, costs, endpoints=20, articles=run.scaled(1000, 200), cap=4)


def single(run: Run, database: str) -> list[Line]:
    """One endpoint, 5,000 articles of 6 KB, 64 at once."""
    rate = Line("single", database, "deliveries settled", "1/s", at_least(2500))
    costs = CostLines("single", database)
    return _backlog(run, rate, costs, endpoints=1, articles=run.scaled(5000, 1000), cap=64)


def wide(run: Run, database: str) -> list[Line]:
    """2,000 endpoints, one article: from the POST to the last settled delivery."""
    endpoints = run.scaled(2000, 500)
    line = Line("wide", database, f"POST to the last of {endpoints:,}", "s", at_most(1.5))
    with run.desk_and_sink(database) as (desk, sink, _):
        urls = [sink.url(number) for number in range(endpoints)]
        desk.add_endpoints(urls)
        desk.start()
        for number in run.rounds():
            run.databases.settle(database)
            posted = load.run(desk.load(f"r{number}", 1, SIZE))
            desk.wait_settled()
            pushes = BarePushes(urls, desk.bodies(), desk.secret, at_once=256)
            balance = desk.balance(len(posted.accepted), endpoints, sink.arrivals())
            line.ours.append(balance.settled - posted.started)
            line.bare.append(bare_push.run(pushes).seconds)
            sink.arrivals()
            line.void = line.void or balance.void
    return [line]


def _backlog(
    run: Run, rate: Line, costs: CostLines, *, endpoints: int, articles: int, cap: int
) -> list[Line]:
    lines = [rate, *costs.lines.values()]
    with run.desk_and_sink(rate.database) as (desk, sink, children):
        meter = CostMeter(run.databases, rate.database, desk.settings.database_url, children)
        urls = [sink.url(number) for number in range(endpoints)]
        desk.add_endpoints(urls, max_in_flight=cap)
        desk.hold()
        desk.start()
        for number in run.rounds():
            desk.hold()
            desk.feed(f"r{number}", articles, SIZE)
            pushes = BarePushes(urls, desk.bodies(), desk.secret, at_once=endpoints * cap)
            void = _bare(pushes, sink, rate, costs.lines["ours"])
            run.databases.settle(rate.database)
            meter.empty_wal()
            before = meter.read()
            balance, seconds = drain(desk, sink, articles, endpoints)
            costs.note(before, meter.read(), balance.delivered)
            void = void or wait_built(desk.record)
            costs.note_built(before, meter.read(), balance.delivered)
            rate.ours.append(balance.delivered / seconds)
            for line in lines:
                line.void = line.void or void or balance.void
    return lines


_UNBUILT = text(
    "SELECT count(*) FROM feed WHERE closed_at IS NULL"
    f" AND (wanted > built OR sequence >= (archived + 1) * {ARCHIVE_PAGE})"
)
_MOST_BUILDING = 120.0  # seconds


def wait_built(record: Record, seconds: float = _MOST_BUILDING) -> str:
    """Waits until the feeds of a round are built, and their archives' pages: work that is put off is not saved.

    Says in words what is left after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        with record.reading() as connection:
            unbuilt = int(connection.execute(_UNBUILT).scalar_one())
        if not unbuilt:
            return ""
        if time.monotonic() > deadline:
            return f"{unbuilt} feeds were not built after {seconds:g} s"
        time.sleep(0.25)


def _bare(pushes: BarePushes, sink: Sink, rate: Line, cpu: Line) -> str:
    """Measures the bare pushes; says in words what failed."""
    pushed = bare_push.run(pushes)
    rate.bare.append(len(pushed.took) / pushed.seconds)
    cpu.bare.append(pushed.cpu / len(pushed.took) * 1e6)
    sink.arrivals()
    return f"{pushed.failed} of the bare pushes failed" if pushed.failed else ""


def drain(
    desk: BenchDesk, sink: Sink, articles: int, endpoints: int, *, within: float = 120
) -> tuple[Balance, float]:
    """Lets the workers deliver the round: its balance, and the seconds from the wake-up to the last settlement."""
    released = desk.release()
    desk.wait_settled(within)
    balance = desk.balance(articles, endpoints, sink.arrivals())
    return balance, balance.settled - released
