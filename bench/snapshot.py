"""Row `snapshot`: deliveries while somebody holds a snapshot of the record, as a backup does."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext

import psycopg

from bench.costs import CostMeter, conninfo, sqlite_path
from bench.databases import SQLITE
from bench.deliveries import SIZE, drain
from bench.desk import BenchDesk
from bench.run import Run
from bench.sink import Sink
from bench.table import Line, at_least_times, at_most

ENDPOINTS, ARTICLES, ARTICLES_QUICK = 20, 5_000, 500
LONGEST_DRAIN = 900.0  # seconds
COUNTED_AFTER = 11.0  # seconds: an idle session of PostgreSQL counts what it has read after ten at the latest
_READ = "SELECT count(*) FROM event"


def measure(run: Run, database: str) -> list[Line]:
    """Beside it the same deliveries without a snapshot, in the same record, right before."""
    articles = run.scaled(ARTICLES, ARTICLES_QUICK)
    rate = Line(
        "snapshot", database, f"{ENDPOINTS * articles:,} settled under it", "1/s", at_least_times(0.9)
    )
    trace = Line("snapshot", database, "index entries read, each", "", at_most(30))
    if database == SQLITE:
        trace = Line("snapshot", database, "WAL at the end", "MB")
    with run.desk_and_sink(database) as (desk, sink, children):
        url = desk.settings.database_url
        meter = CostMeter(run.databases, database, url, children)
        desk.add_endpoints([sink.url(number) for number in range(ENDPOINTS)])
        desk.hold()
        desk.start()
        for number in run.rounds():
            for name, holding in (("free", nullcontext()), ("held", open_snapshot(database, url))):
                run.databases.settle(database)
                meter.empty_wal()
                with holding:
                    per_second, left, void = _measured(desk, sink, meter, f"{name}{number}", articles)
                (rate.bare if name == "free" else rate.ours).append(per_second)
                (trace.bare if name == "free" else trace.ours).append(left)
                rate.void = trace.void = rate.void or void
    return [rate, trace]


def _measured(
    desk: BenchDesk, sink: Sink, meter: CostMeter, name: str, articles: int
) -> tuple[float, float, str]:
    """The rate; of SQLite the WAL's megabytes, of PostgreSQL the index entries read by each; why it is void."""
    desk.hold()
    desk.feed(name, articles, SIZE)
    before = 0 if desk.settings.on_sqlite else _entries(meter)
    balance, seconds = drain(desk, sink, articles, ENDPOINTS, within=LONGEST_DRAIN)
    if desk.settings.on_sqlite:
        left = meter.wal_bytes() / 1e6
    else:
        left = (_entries(meter) - before) / max(1, balance.delivered)
    return balance.delivered / seconds, left, balance.void


def _entries(meter: CostMeter) -> int:
    time.sleep(COUNTED_AFTER)
    return meter.index_entries()


@contextmanager
def open_snapshot(database: str, url: str) -> Iterator[None]:
    """Holds a snapshot of the record: everything that ends or changes meanwhile must stay readable."""
    if database == SQLITE:
        with closing(sqlite3.connect(sqlite_path(url), isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute(_READ).fetchone()
            yield
        return
    with psycopg.connect(conninfo(url)) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute(_READ)
        yield
        connection.rollback()
