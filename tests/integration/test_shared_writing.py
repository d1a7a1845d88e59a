"""Posts that come during a commit share the next transaction on SQLite: none of them harms or holds up the others."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from service.store.database import shared_writing
from service.store.database.record import Record
from service.store.database.shared_writing import ACTS_MAX, SharedWriting
from service.store.errors import NotFound, RecordUnavailable

NOTE = text("INSERT INTO note VALUES (:name)")
Note = Callable[[Connection], str]


@pytest.fixture(autouse=True)
def notes(sqlite_record: Record) -> None:
    with sqlite_record.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE note (name text)")


def noting(name: str) -> Note:
    def note(connection: Connection) -> str:
        connection.execute(NOTE, {"name": name})
        return name

    return note


def names(record: Record) -> set[str]:
    with record.reading() as connection:
        return set(connection.scalars(text("SELECT name FROM note")))


class Rehearsal:
    """Holds the first act until others wait behind it; then all go on."""

    def __init__(self, record: Record) -> None:
        self.commits = 0
        self._record = record
        self._begun, self._go_on = threading.Event(), threading.Event()
        event.listen(record.engine, "commit", self._count)

    def _count(self, _: Connection) -> None:
        self.commits += 1

    def _first(self, connection: Connection) -> str:
        self._begun.set()
        assert self._go_on.wait(10)
        return noting("first")(connection)

    def run(self, acts: list[Note]) -> list[str | BaseException]:
        """Returns the result of each of the acts, or its error, in their order."""
        shared = self._record._shared
        with ThreadPoolExecutor(len(acts) + 1) as threads:
            first = threads.submit(self._record.write, self._first)
            assert self._begun.wait(10)
            others = []
            for count, each in enumerate(acts, start=1):
                others.append(threads.submit(self._record.write, each))
                while len(shared._waiting) < count:
                    pass
            self._go_on.set()
            assert first.result(10) == "first"
            return [each.exception(10) or each.result(10) for each in others]


def test_posts_that_came_during_a_commit_share_the_next(sqlite_record: Record) -> None:
    rehearsal = Rehearsal(sqlite_record)
    assert rehearsal.run([noting(f"post {n}") for n in range(5)]) == [f"post {n}" for n in range(5)]
    assert rehearsal.commits == 2
    assert names(sqlite_record) == {"first", *(f"post {n}" for n in range(5))}


def test_a_transaction_takes_so_many_posts_and_no_more(sqlite_record: Record) -> None:
    rehearsal = Rehearsal(sqlite_record)
    rehearsal.run([noting(f"post {n}") for n in range(ACTS_MAX + 1)])
    assert rehearsal.commits == 3
    assert len(names(sqlite_record)) == ACTS_MAX + 2


@pytest.mark.parametrize(
    "error",
    [NotFound("article", "x"), TypeError("a fault of ours"), OperationalError("", {}, Exception("busy"))],
)
def test_a_post_that_fails_leaves_nothing_and_the_others_stand(
    sqlite_record: Record, error: Exception
) -> None:
    def fail(connection: Connection) -> str:
        noting("half")(connection)
        raise error

    found = Rehearsal(sqlite_record).run([noting("before"), fail, noting("after")])
    assert found[0] == "before"
    assert found[2] == "after"
    assert isinstance(found[1], RecordUnavailable if isinstance(error, OperationalError) else type(error))
    assert names(sqlite_record) == {"first", "before", "after"}


def test_when_the_database_ends_the_transaction_no_post_of_it_is_answered_as_taken(
    sqlite_record: Record,
) -> None:
    def fill_the_disk(connection: Connection) -> str:
        noting("half")(connection)
        connection.exec_driver_sql("ROLLBACK")  # as SQLite does by itself then
        raise OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    found = Rehearsal(sqlite_record).run([noting("before"), fill_the_disk, noting("after")])
    assert all(isinstance(each, RecordUnavailable) for each in found)
    assert all("disk is full" in str(each) for each in found)
    assert names(sqlite_record) == {"first"}
    assert sqlite_record.write(noting("later")) == "later"


def test_when_another_program_holds_the_file_all_posts_that_waited_are_told_so_and_later_ones_are_taken(
    sqlite_record: Record,
) -> None:
    tries = 0
    begin = sqlite_record._begin

    @contextmanager
    def begin_or_fail() -> Iterator[Connection]:
        nonlocal tries
        tries += 1
        with begin() as connection:
            if tries == 2:
                raise RecordUnavailable("database is locked")
            yield connection

    sqlite_record._shared = SharedWriting(begin_or_fail)
    found = Rehearsal(sqlite_record).run([noting("before"), noting("after")])
    assert [str(each)[-len("database is locked") :] for each in found] == ["database is locked"] * 2
    assert sqlite_record.write(noting("later")) == "later"
    assert names(sqlite_record) == {"first", "later"}


def test_a_post_waits_for_the_writer_for_so_long_and_no_longer(
    sqlite_record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_writing, "WAIT_SECONDS", 0.05)
    begun, go_on = threading.Event(), threading.Event()

    def stand_still(_: Connection) -> str:
        begun.set()
        assert go_on.wait(10)
        return "stood"

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(sqlite_record.write, stand_still)
        assert begun.wait(10)
        with pytest.raises(RecordUnavailable, match="others of this process have been writing"):
            sqlite_record.write(noting("late"))
        go_on.set()
        assert first.result(10) == "stood"
    assert sqlite_record.write(noting("later")) == "later"
    assert names(sqlite_record) == {"later"}


def test_many_threads_with_faults_among_them_are_all_answered_and_what_was_answered_stands(
    sqlite_record: Record,
) -> None:
    def post(thread: int) -> set[str]:
        taken = set()
        for n in range(40):
            name = f"{thread} {n}"

            def act(connection: Connection, name: str = name, n: int = n) -> str:
                noting(name)(connection)
                if n % 7 == thread % 7:
                    raise NotFound("article", name)
                return name

            try:
                taken.add(sqlite_record.write(act))
            except NotFound:
                assert n % 7 == thread % 7
        return taken

    with ThreadPoolExecutor(12) as threads:
        taken = set().union(*threads.map(post, range(12)))
    assert names(sqlite_record) == taken
    assert not sqlite_record._shared._is_led
