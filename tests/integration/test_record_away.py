"""A database that cannot do its work is reported as such, by whatever name its driver has for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from service.store import operations
from service.store.database.record import Record, open_record
from service.store.errors import RecordUnavailable
from service.store.feeds import sections
from tests import builders, postgres
from tests.conftest import KEY

BIG = text("INSERT INTO section (slug, title, language, created_at) VALUES ('big', :title, 'en', 0)")


def test_a_full_disk_is_a_record_that_is_unavailable_and_nothing_of_the_transaction_stands(
    sqlite_record: Record,
) -> None:
    with sqlite_record.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RecordUnavailable, match="full"), sqlite_record.writing() as connection:
        connection.execute(BIG, {"title": "x" * 1_000_000})
    with sqlite_record.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
    operations.add_section(sqlite_record, "world", "World", "en", actor="operator", now=builders.NOW)
    assert [each.slug for each in sections.all_sections(sqlite_record)] == ["world"]


def test_a_file_that_is_no_database_any_more_is_a_record_that_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "dateline.db").write_bytes(b"overwritten by something else " * 1000)
    record = open_record(f"sqlite:///{tmp_path / 'dateline.db'}", KEY)
    with pytest.raises(RecordUnavailable, match="not a database"), record.reading() as connection:
        connection.execute(text("SELECT 1 FROM section"))
    record.close()


@pytest.mark.parametrize("record", ["postgresql"], indirect=True)
def test_a_postgresql_that_became_read_only_is_a_record_that_is_unavailable(record: Record) -> None:
    def write_on_a_standby() -> None:
        with record.writing() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(BIG, {"title": ""})

    with pytest.raises(RecordUnavailable, match="read-only"):
        write_on_a_standby()


@pytest.mark.parametrize("record", ["postgresql"], indirect=True)
def test_a_fault_of_our_own_is_not_called_an_unavailable_record(record: Record) -> None:
    with pytest.raises(ProgrammingError, match="no_such_table"), record.reading() as connection:
        connection.execute(text("SELECT 1 FROM no_such_table"))


@pytest.mark.parametrize("record", ["postgresql"], indirect=True)
def test_a_postgresql_that_was_restarted_costs_a_reconnect_and_no_error(
    record: Record, postgres_server: Any
) -> None:
    with record.reading() as one, record.reading() as other:
        pids = [each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (one, other)]
    for pid in pids:
        postgres.admin(postgres_server, f"SELECT pg_terminate_backend({pid}, 10000)")
    with record.reading() as one, record.reading() as other:
        anew = [each.execute(text("SELECT pg_backend_pid()")).scalar_one() for each in (one, other)]
    assert not set(pids) & set(anew)


@pytest.mark.parametrize("record", ["postgresql"], indirect=True)
def test_a_postgresql_that_goes_away_amid_a_transaction_is_unavailable_and_then_there_again(
    record: Record, postgres_server: Any
) -> None:
    def ask() -> None:
        with record.writing() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            postgres.admin(postgres_server, f"SELECT pg_terminate_backend({pid}, 10000)")
            sections.ids_of(connection, [])

    with pytest.raises(RecordUnavailable):
        ask()
    operations.add_section(record, "world", "World", "en", actor="operator", now=builders.NOW)


def test_an_article_that_finds_no_room_on_the_disk_is_refused_and_leaves_nothing(
    sqlite_record: Record,
) -> None:
    source = builders.a_desk(sqlite_record)
    with sqlite_record.writing() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(RecordUnavailable, match="full"):
        builders.post(sqlite_record, source, builders.an_article(body_html="x" * 100_000))
    with sqlite_record.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM article")).scalar_one() == 0
