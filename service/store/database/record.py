"""The record: one SQL database, SQLite or PostgreSQL, and the only place where transactions begin and end."""

from __future__ import annotations

import select
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.store.database.keyring import Keyring
from service.store.database.sql import Statement
from service.store.errors import RecordUnavailable

SQLITE_BUSY_SECONDS = 30
_WRITING = "dateline_writing"
_BEGIN, _BEGIN_WRITING = Statement("BEGIN"), Statement("BEGIN IMMEDIATE")


class Record:
    """Opened with `open_record`. Safe to share between threads, not between forked processes.

    On SQLite one writer at a time is let in per process, in the order they came: threads that fight for the file's
    lock wait up to a second, threads that queue for ours wait for the commits ahead of them.
    """

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self.engine = engine
        self.keyring = keyring
        self.dialect = engine.dialect.name
        self._writing = engine.execution_options(**{_WRITING: True})
        self._turn = threading.Lock() if self.is_sqlite else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        return self.dialect == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on a consistent view (SQLite) or committed rows (PostgreSQL). Writes are rolled back."""
        with _translated(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def surveying(self) -> Iterator[Connection]:
        """`reading`, for rare questions about much: each statement is planned for its own values."""
        with self.reading() as connection:
            connection.begin()  # a hand-written statement begins none by itself, and SQLite's view is a transaction's
            if not self.is_sqlite:
                _PLAN_EACH.rows(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction: committed when the block ends, rolled back when it raises.

        Raises RecordUnavailable when the database is away or ends it, and then nothing of it stands.
        """
        with _translated(), self._turn, self._writing.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not (isinstance(error, (OperationalError, InterfaceError, PoolTimeout)) or _is_unusable(cause)):
            raise
        raise RecordUnavailable(f"{type(cause).__name__}: {cause}"[:300]) from error


def _is_unusable(cause: BaseException | None) -> bool:
    """A database that is there and cannot be used, which the drivers do not call operational."""
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the higher bits say it in more detail
        return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
    # 25006: read-only, as a standby is. XX…: PostgreSQL found its own files damaged.
    state = getattr(cause, "sqlstate", None) or ""
    return state == "25006" or state.startswith("XX")


def open_record(database_url: str, secret_key: str) -> Record:
    """Opens the record at a SQLAlchemy URL: `sqlite:///PATH` or `postgresql+psycopg://…`.

    Makes the folder of a SQLite file. Does not migrate. Raises ValueError for a URL of another kind.
    """
    url = _checked(database_url)
    keyring = Keyring(secret_key)
    if url.get_backend_name() == "sqlite":
        return Record(_sqlite(url), keyring)
    return Record(_postgresql(url), keyring)


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


def _postgresql(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=30,
        # A few connections do the work of a quiet hour, and each prepares a statement once, at its first use.
        pool_use_lifo=True,
        connect_args={"prepare_threshold": 0, "options": _with_planner(url.query.get("options", ""))},
    )

    @event.listens_for(engine, "checkout")
    def look(connection: Any, pooled: Any, _proxy: Any) -> None:
        # A database that was restarted costs a reconnect, not an error. A server that ends a connection leaves word
        # in it: to look for that takes microseconds, where SQLAlchemy's own ping is a round trip for each transaction.
        if pooled.info.get("used") and (connection.closed or _has_word(connection.fileno())):
            raise InvalidatePoolError
        pooled.info["used"] = True  # forgotten when it is connected anew

    return engine


def _has_word(socket: int) -> bool:
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))


# What the record asks has an index, and what it asks of is empty at one moment and long at the next. Until PostgreSQL
# has looked at such a table again it would read all of it for each claim; with the scan that it then must do of a small
# table counted as dear, it would also compile the statement each time. And what is asked for each article is planned
# once for all values: to plan it anew took longer than to carry it out.
# A plain index scan notes which entries lead to dead rows, and the next passes them by. A bitmap scan does not: every
# look at what is on the wire would read all that was claimed and settled since the last vacuum.
_PLANNER = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
_PLAN_EACH = Statement(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_bitmapscan', 'on', true)"
)


def _with_planner(options: object) -> str:
    given = [options] if isinstance(options, str) and options else []
    return " ".join([*given, *(f"-c {name}={value}" for name, value in _PLANNER.items())])


def _sqlite(url: URL) -> Engine:
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, pool_size=10, max_overflow=20)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, see `begin`
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # a 202 is durable
            "foreign_keys = ON",
            "cache_size = -65536",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: a transaction that reads first and writes later could fail half-way.
        (_BEGIN_WRITING if connection.get_execution_options().get(_WRITING) else _BEGIN).run(connection, {})

    return engine
