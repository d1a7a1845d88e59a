"""The order of locks: rows are locked by id however they lie, so that two who lock several never wait in a circle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from service.store.database import locks
from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import NOW, a_desk, an_article, an_endpoint, post
from tests.desk import eventually

Lock = Callable[[Connection, Sequence[int]], None]
SECONDS = 10


def lock_endpoints(connection: Connection, ids: Sequence[int]) -> None:
    locks.lock_endpoints(connection, ids)


def lock_deliveries(connection: Connection, ids: Sequence[int]) -> None:
    locks.lock_deliveries(connection, locks.BY_ID, {"ids": list(ids)})


def share_articles(connection: Connection, ids: Sequence[int]) -> None:
    locks.share_articles(connection, ids)


EACH = pytest.mark.parametrize(
    ("table", "lock"),
    [("article", share_articles), ("endpoint", lock_endpoints), ("delivery", lock_deliveries)],
)


@pytest.fixture
def shuffled(postgres_record: Record) -> Record:
    """Four endpoints, each with a delivery, and four articles; the row with the lowest id lies behind all others."""
    source = a_desk(postgres_record)
    for _ in range(4):
        an_endpoint(postgres_record)
    post(postgres_record, source, an_article())
    routing.route(postgres_record, NOW)
    for number in range(3):
        post(postgres_record, source, an_article(external_id=f"other-{number}"))
    moves = {
        "article": "changed_at = changed_at + 1",
        "endpoint": "url = url || '/'",
        "delivery": "due_at = due_at + 1",
    }
    for table, change in moves.items():
        with postgres_record.writing() as connection:
            lowest = f"SELECT min(id) FROM {table}"
            connection.execute(text(f"UPDATE {table} SET {change} WHERE id = ({lowest})"))
        assert len(ids_of(postgres_record, table)) == 4
        assert as_they_lie(postgres_record, table) != ids_of(postgres_record, table)
    return postgres_record


def as_they_lie(record: Record, table: str) -> list[int]:
    with record.reading() as connection:
        return list(connection.execute(text(f"SELECT id FROM {table} ORDER BY ctid")).scalars())


def ids_of(record: Record, table: str) -> list[int]:
    return sorted(as_they_lie(record, table))


def free(record: Record, table: str) -> list[int]:
    """The rows that nobody has locked."""
    with record.writing() as connection:
        query = text(f"SELECT id FROM {table} ORDER BY id FOR NO KEY UPDATE SKIP LOCKED")
        return list(connection.execute(query).scalars())


def somebody_waits(record: Record) -> bool:
    query = text(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with record.reading() as connection:
        return connection.execute(query).first() is not None


@contextmanager
def waiting_for(
    record: Record, table: str, number: int, work: Callable[[Connection], None]
) -> Iterator[None]:
    """While `work` waits, in a transaction of its own, for a row that somebody else has locked.

    Its plans read the rows as they lie, as those for large parts of a table do; an index has them in order anyway.
    """

    def run() -> None:
        with record.writing() as connection:
            for method in ("indexscan", "bitmapscan", "indexonlyscan"):
                connection.execute(text(f"SET LOCAL enable_{method} = off"))
            work(connection)

    thread = threading.Thread(target=run)
    with record.writing() as connection:
        connection.execute(text(f"SELECT id FROM {table} WHERE id = :id FOR NO KEY UPDATE"), {"id": number})
        thread.start()
        eventually(lambda: somebody_waits(record), within=SECONDS, what="somebody who waits for the row")
        yield
    thread.join(SECONDS)
    assert not thread.is_alive()


@EACH
def test_a_wait_for_the_row_with_the_lowest_id_locks_no_other_row(
    shuffled: Record, table: str, lock: Lock
) -> None:
    lowest, *others = ids_of(shuffled, table)
    with waiting_for(shuffled, table, lowest, lambda connection: lock(connection, [*others, lowest])):
        assert free(shuffled, table) == others


@EACH
def test_a_wait_for_the_row_with_the_highest_id_has_locked_all_rows_before_it(
    shuffled: Record, table: str, lock: Lock
) -> None:
    *others, highest = ids_of(shuffled, table)
    with waiting_for(shuffled, table, highest, lambda connection: lock(connection, [highest, *others])):
        assert free(shuffled, table) == []


@EACH
def test_rows_stay_locked_until_the_transaction_ends_and_no_other_rows_are(
    shuffled: Record, table: str, lock: Lock
) -> None:
    first, second, third, fourth = ids_of(shuffled, table)
    with shuffled.writing() as connection:
        lock(connection, [third, first])
        assert free(shuffled, table) == [second, fourth]
    assert free(shuffled, table) == [first, second, third, fourth]


@EACH
def test_locking_no_rows_locks_none(shuffled: Record, table: str, lock: Lock) -> None:
    with shuffled.writing() as connection:
        lock(connection, [])
        assert free(shuffled, table) == ids_of(shuffled, table)


def test_deliveries_may_be_locked_by_a_condition_too(shuffled: Record) -> None:
    first, second, *others = ids_of(shuffled, "delivery")
    with shuffled.writing() as connection:
        locks.lock_deliveries(connection, "id <= :last", {"last": second})
        assert free(shuffled, "delivery") == others
    with shuffled.writing() as connection:
        locks.lock_deliveries(connection, "id = :one", {"one": first})
        assert free(shuffled, "delivery") == [second, *others]


def test_locked_endpoint_still_gets_new_deliveries(shuffled: Record) -> None:
    """They refer to its row, of which a lock leaves the id alone."""
    ids = ids_of(shuffled, "endpoint")
    with shuffled.writing() as connection:
        locks.lock_endpoints(connection, ids)
        with shuffled.writing() as other:
            other.execute(text("SET LOCAL lock_timeout = '1s'"))
            key_share = text("SELECT id FROM endpoint ORDER BY id FOR KEY SHARE")
            assert list(other.execute(key_share).scalars()) == ids


def test_one_writer_of_documents_waits_for_the_other(postgres_record: Record) -> None:
    order: list[str] = []

    def second() -> None:
        with postgres_record.writing() as connection:
            locks.lock_documents(connection)
            order.append("second")

    thread = threading.Thread(target=second)
    with postgres_record.writing() as connection:
        locks.lock_documents(connection)
        thread.start()
        eventually(lambda: somebody_waits(postgres_record), within=SECONDS, what="a second writer that waits")
        order.append("first")
    thread.join(SECONDS)
    assert order == ["first", "second"]


def test_lock_of_all_documents_has_the_same_number_in_every_version(postgres_record: Record) -> None:
    """The version before and this one write side by side while one replaces the other."""
    with postgres_record.writing() as connection, postgres_record.writing() as other:
        locks.lock_documents(connection)
        got_it = text("SELECT pg_try_advisory_xact_lock(229106189)")
        assert other.execute(got_it).scalar_one() is False


def test_schema_is_migrated_by_one_process_at_a_time_and_has_a_number_of_its_own(
    postgres_record: Record,
) -> None:
    free_lock = text("SELECT pg_try_advisory_xact_lock(:key)")
    with postgres_record.writing() as connection, postgres_record.writing() as other:
        locks.lock_schema(connection)
        assert other.execute(free_lock, {"key": 229105950}).scalar_one() is False
        assert other.execute(free_lock, {"key": 229106189}).scalar_one() is True


def test_stories_that_one_transaction_relies_on_may_be_relied_on_by_others(shuffled: Record) -> None:
    ids = ids_of(shuffled, "article")
    with shuffled.writing() as connection:
        locks.share_articles(connection, ids)
        with shuffled.writing() as other:
            other.execute(text("SET LOCAL lock_timeout = '1s'"))
            locks.share_articles(other, ids)


def test_sqlite_needs_no_locks_and_knows_none(sqlite_record: Record) -> None:
    with sqlite_record.writing() as connection:
        locks.lock_documents(connection)
        locks.lock_schema(connection)
        locks.share_articles(connection, [1])
        locks.lock_endpoints(connection, [1])
        locks.lock_deliveries(connection, locks.BY_ID, {"ids": [1]})
