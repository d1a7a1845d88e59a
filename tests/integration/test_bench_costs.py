"""The benchmark's costs of a round, and the snapshot that its row `snapshot` holds, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.costs import CostMeter
from bench.databases import POSTGRESQL, SQLITE, Databases
from bench.deliveries import wait_built
from bench.processes import Processes
from bench.snapshot import open_snapshot
from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.feeds.feeds import ARCHIVE_PAGE
from tests.builders import NOW, a_desk, an_article, post
from tests.feed_desk import FeedDesk


def url_of(record: Record) -> str:
    return record.engine.url.render_as_string(hide_password=False)


def write_leases(record: Record) -> None:
    """Grows the record by more than a page."""
    with record.writing() as connection:
        for number in range(40):
            connection.exec_driver_sql(
                f"INSERT INTO lease (name, holder, until) VALUES ('{number}', '{'h' * 500}', 0)"
            )


def test_costs_of_sqlite_are_bytes_of_its_file_and_its_wal(sqlite_record: Record, tmp_path: Path) -> None:
    meter = CostMeter(Databases(None), SQLITE, url_of(sqlite_record), Processes(tmp_path))
    meter.empty_wal()
    before = meter.read()
    write_leases(sqlite_record)
    after = meter.read()
    assert (before.wal, before.database) == (0, None)
    assert after.wal > 40 * 500
    assert after.disk >= before.disk + 4 * 4096


def test_costs_of_postgresql_are_its_wal_its_tables_and_its_servers_processor(
    postgres_record: Record, postgres_server: Any, tmp_path: Path
) -> None:
    meter = CostMeter(Databases(postgres_server), POSTGRESQL, url_of(postgres_record), Processes(tmp_path))
    before = meter.read()
    write_leases(postgres_record)
    after = meter.read()
    assert after.wal > before.wal + 40 * 500
    assert after.disk == before.disk > 0  # no delivery has been written
    assert before.database is not None
    assert after.database is not None
    assert 0 < before.database <= after.database


def test_feeds_that_are_not_built_are_counted_until_they_are(sqlite_record: Record) -> None:
    desk = FeedDesk(sqlite_record)
    source = a_desk(sqlite_record)
    for number in range(ARCHIVE_PAGE):
        post(sqlite_record, source, an_article(external_id=str(number)))
    while routing.route(sqlite_record, NOW).more:
        pass
    assert "not built after 0 s" in wait_built(sqlite_record, 0)
    desk.work()
    assert wait_built(sqlite_record, 0) == ""


def test_snapshot_is_held_on_postgresql_until_it_is_let_go(postgres_record: Record) -> None:
    def snapshots() -> int:
        with postgres_record.reading() as connection:
            return int(
                connection.exec_driver_sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state = 'idle in transaction' AND backend_xmin IS NOT NULL"
                ).scalar_one()
            )

    with open_snapshot(POSTGRESQL, url_of(postgres_record)):
        assert snapshots() == 1
    assert snapshots() == 0


def test_snapshot_is_held_on_sqlite_so_that_its_wal_stays(sqlite_record: Record, tmp_path: Path) -> None:
    meter = CostMeter(Databases(None), SQLITE, url_of(sqlite_record), Processes(tmp_path))
    with open_snapshot(SQLITE, url_of(sqlite_record)):
        write_leases(sqlite_record)
        meter.empty_wal()
        assert meter.wal_bytes() > 0
    meter.empty_wal()
    assert meter.wal_bytes() == 0
