"""The record: one SQL database, SQLite or PostgreSQL, and the only place where transactions begin and end."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.store.database import postgresql
from service.store.database.circuit import RecordCircuit
from service.store.database.keyring import Keyring
from service.store.database.shared_writing import SharedWriting
from service.store.database.sql import Statement
from service.store.errors import RecordUnavailable

_Result = TypeVar("_Result")

SQLITE_BUSY_SECONDS = 10
STATEMENT_SECONDS = 4.0  # how long a statement may take on PostgreSQL, unless a process has more time
WAL_LIMIT = 64 << 20
_WRITING = "dateline_writing"
_BEGIN, _BEGIN_WRITING = Statement("BEGIN"), Statement("BEGIN IMMEDIATE")


class Record:
    """Opened with `open_record`. Safe to share between threads, not between forked processes.

    On SQLite one writer at a time is let in per process, in the order they came: threads that fight for the file's
    lock wait up to a second, threads that queue for ours wait for the commits ahead of them. Acts given to `write`
    share their transactions.
    """

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self.engine = engine
        self.keyring = keyring
        self.dialect = engine.dialect.name
        self._writing = engine.execution_options(**{_WRITING: True})
        self._turn = threading.Lock()
        self._shared = SharedWriting(self._begin)
        # Connections made before the database fell silent are of no use: the probe makes a new one.
        self._circuit = RecordCircuit(on_open=engine.dispose)

    @property
    def is_sqlite(self) -> bool:
        return self.dialect == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on a consistent view (SQLite) or committed rows (PostgreSQL). Nothing that it writes stands.

        On PostgreSQL a write fails at once. Raises RecordUnavailable within seconds when the database is away or stands
        still.
        """
        with self._available(), self.engine.connect() as connection:
            if self.is_sqlite:
                yield connection
                return
            postgresql.begin_reading(connection)
            yield connection
            postgresql.end_reading(connection)

    @contextmanager
    def surveying(self) -> Iterator[Connection]:
        """`reading`, for rare questions about much: each statement is planned for its own values."""
        with self.reading() as connection:
            connection.begin()  # a hand-written statement begins none by itself, and SQLite's view is a transaction's
            if not self.is_sqlite:
                postgresql.survey(connection)
            yield connection

    @contextmanager
    def writing(self, *, patient: bool = False) -> Iterator[Connection]:
        """A transaction: committed when the block ends, rolled back when it raises. `patient`: without a deadline.

        Raises RecordUnavailable when the database is away, stands still or ends it, and then nothing of it stands;
        only of a commit that was not answered it is unknown.
        """
        with self._available(), self._begin() as connection:
            if patient and not self.is_sqlite:
                postgresql.wait_for_ever(connection)
            yield connection

    def write(self, act: Callable[[Connection], _Result]) -> _Result:
        """Runs `act` in a transaction; returns what it returned, once that is committed. Raises as `writing` does.

        For short acts that come often: on SQLite those that wait for their turn share a transaction. Nothing of one
        that raises stands; its error is passed on.
        """
        with self._available():
            if self.is_sqlite:
                return self._shared.run(act)
            with self._begin() as connection:
                return act(connection)

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        with self._in_turn(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=SQLITE_BUSY_SECONDS):
            raise RecordUnavailable(
                f"others of this process have been writing to the record for {SQLITE_BUSY_SECONDS} s"
            )
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _available(self) -> Iterator[None]:
        entered, answered = self._circuit.enter(), True
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            silence = postgresql.silence_behind(error)
            answered = silence is None
            cause = silence or (error.orig if isinstance(error, DBAPIError) else error)
            if not (
                isinstance(error, (OperationalError, InterfaceError, PoolTimeout)) or _is_unusable(cause)
            ):
                raise
            raise RecordUnavailable(f"{type(cause).__name__}: {cause}"[:300]) from error
        finally:
            self._circuit.leave(entered, answered=answered)


def _is_unusable(cause: BaseException | None) -> bool:
    """A database that is there and cannot be used, which the drivers do not call operational."""
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the higher bits say it in more detail
        return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    # 25006: read-only, as a standby is. XX…: PostgreSQL found its own files damaged.
    state = getattr(cause, "sqlstate", None) or ""
    return state == "25006" or state.startswith("XX")


def open_record(
    database_url: str, secret_key: str, *, statement_seconds: float = STATEMENT_SECONDS
) -> Record:
    """Opens the record at a SQLAlchemy URL: `sqlite:///PATH` or `postgresql+psycopg://…`.

    Makes the folder of a SQLite file, not the file. Does not migrate. Raises ValueError for a URL of another kind.
    """
    url = _checked(database_url)
    keyring = Keyring(secret_key)
    if url.get_backend_name() == "sqlite":
        return Record(_sqlite(url), keyring)
    return Record(postgresql.open_engine(url, statement_seconds=statement_seconds), keyring)


def _checked(database_url: str) -> URL:
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise ValueError(f"DATELINE_DATABASE_URL is not a database URL: {error}") from None
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    if url.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise ValueError(
            f"DATELINE_DATABASE_URL names {url.drivername!r}; use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
        )
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("DATELINE_DATABASE_URL names no file: the record cannot live in memory")
    return url


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, pool_size=10, max_overflow=20)

    @event.listens_for(engine, "do_connect")
    def close_to_others(*_: Any) -> None:
        _keep_private(path)  # SQLite makes a file that is not there when it connects

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, see `begin`
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # a 202 is durable
            "foreign_keys = ON",
            "cache_size = -65536",
            "temp_store = MEMORY",
            f"journal_size_limit = {WAL_LIMIT}",  # a log that a reader made long is cut when it begins anew
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later could fail half-way.
        (_BEGIN_WRITING if connection.get_execution_options().get(_WRITING) else _BEGIN).run(connection, {})

    return engine


def _keep_private(path: Path) -> None:
    """Closes the file to other users; SQLite gives the files beside it the same permissions. Not if it is not ours."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(OSError):
            if (mode := each.stat().st_mode) & 0o077:
                each.chmod(mode & 0o7700)
