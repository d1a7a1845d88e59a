"""A record on SQLite is copied while it is in use, and the copy, put in its place, is the desk again."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.store import notices
from service.store.database import backup, wal
from service.store.database.record import WAL_LIMIT, Record, open_record
from service.store.errors import NotPossible
from service.store.feeds import sections
from tests import builders
from tests.conftest import KEY
from tests.web import OPERATOR, TOKEN, an_app
from tests.worker import a_runner
from workers.hints.broker import BrokerState
from workers.leader import Clocks
from workers.sweep import Sweep


def grow(record: Record, megabytes: int) -> None:
    for _ in range(megabytes):
        with record.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS filler (body BLOB)")
            connection.exec_driver_sql("INSERT INTO filler VALUES (randomblob(1000000))")


def test_a_copy_put_in_place_of_the_record_is_the_desk_again(sqlite_record: Record, tmp_path: Path) -> None:
    builders.a_desk(sqlite_record)
    before = sections.all_sections(sqlite_record)
    copy = tmp_path / "backup.db"
    assert backup.back_up(sqlite_record, copy) == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    sqlite_record.close()

    restored_to = tmp_path / "restored"
    restored_to.mkdir()
    shutil.copy(copy, restored_to / "dateline.db")
    restored = open_record(f"sqlite:///{restored_to / 'dateline.db'}", KEY)
    assert sections.all_sections(restored) == before
    restored.close()


def test_others_write_between_the_steps_of_a_copy_and_it_ends_all_the_same(
    sqlite_record: Record, tmp_path: Path
) -> None:
    grow(sqlite_record, 12)
    writes = 0

    def write(_pause: float) -> None:
        nonlocal writes
        writes += 1
        grow(sqlite_record, 1)

    backup.back_up(sqlite_record, tmp_path / "backup.db", pause=write)
    assert writes > 1
    with closing(sqlite3.connect(tmp_path / "backup.db")) as copy:
        assert copy.execute("SELECT count(*) FROM filler").fetchone()[0] >= 12
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_copy_overwrites_nothing(sqlite_record: Record, tmp_path: Path) -> None:
    (tmp_path / "backup.db").write_text("of yesterday")
    with pytest.raises(NotPossible, match="is there already"):
        backup.back_up(sqlite_record, tmp_path / "backup.db")
    assert (tmp_path / "backup.db").read_text() == "of yesterday"


def test_the_log_that_an_open_reader_made_long_is_cut_when_the_reader_has_gone(sqlite_record: Record) -> None:
    path = sqlite_record.engine.url.database
    with closing(sqlite3.connect(str(path), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM section").fetchall()
        grow(sqlite_record, WAL_LIMIT // 1_000_000 + 5)
        assert wal.tidy(sqlite_record) > WAL_LIMIT, "the reader holds it"
    assert wal.tidy(sqlite_record) == 0


def a_round_of_the_sweep(record: Record, at: datetime) -> None:
    clocks = Clocks(lambda: at)
    runner = a_runner(record, "w1", clocks, lambda *_: None)
    broker = BrokerState(lambda: "up", lambda _: None)
    Sweep(record, runner, "w1", broker=broker, notify=lambda: None, clocks=clocks).run_once()
    runner.close()


def told_of_the_log(record: Record) -> list[str]:
    return [each.words for each in notices.latest(record) if each.kind == "wal.long"]


def test_an_open_reader_that_lets_the_log_grow_is_on_the_page_in_the_metrics_and_raised_once_an_hour(
    sqlite_record: Record,
) -> None:
    now, path = datetime.now(UTC), str(sqlite_record.engine.url.database)
    desk = an_app(sqlite_record).test_client()
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM section").fetchall()
        grow(sqlite_record, wal.WAL_LONG // 1_000_000 + 5)
        for minutes in (0, 1, 59):
            a_round_of_the_sweep(sqlite_record, now + timedelta(minutes=minutes))
        [words] = told_of_the_log(sqlite_record)
        assert "a program keeps the record open for reading" in words
        assert "Log held open" in page_of(desk)
        assert figure(desk) > wal.WAL_LONG
        assert len(notices.take(sqlite_record, 10, now)) == 1  # as the worker that sends it does
        a_round_of_the_sweep(sqlite_record, now + timedelta(minutes=61))
        assert len(told_of_the_log(sqlite_record)) == 2
    a_round_of_the_sweep(sqlite_record, now + timedelta(minutes=180))
    assert len(told_of_the_log(sqlite_record)) == 2, "the reader has gone, and the log is short"
    assert figure(desk) <= WAL_LIMIT


def page_of(desk: FlaskClient) -> str:
    desk.post("/status/login", data={"token": TOKEN})
    return desk.get("/status").text


def figure(desk: FlaskClient) -> float:
    text = desk.get("/metrics", headers=OPERATOR).text
    [line] = [each for each in text.splitlines() if each.startswith("dateline_record_wal_bytes ")]
    return float(line.split()[1])
