"""PostgreSQL: its connections, and how long each waits.

A server that stands still, or a connection that fell silent, says nothing: without a deadline of our own its caller
waits for ever. Everything is set after connecting, because poolers refuse settings in the startup packet.
"""

from __future__ import annotations

import select
from collections.abc import Generator
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg.errors import ConnectionTimeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import InvalidatePoolError

from service.store.database.sql import Statement

Waited = TypeVar("Waited")

CONNECT_SECONDS = 3
POOL_SECONDS = 5.0  # how long a thread waits for one of its process's connections
SURVEY_SECONDS = 20.0  # for a question about much
# The server ends a statement that takes too long. Should it not even do that, we do, this much later.
SERVER_LATE = 1.0
# A process that stands still in the middle of a transaction keeps its locks no longer than this.
IDLE_IN_TRANSACTION = "15s"

# What the record asks has an index, and what it asks of is empty at one moment and long at the next. Until PostgreSQL
# has looked at such a table again it would read all of it for each claim; with the scan that it then must do of a small
# table counted as dear, it would also compile the statement each time. And what is asked for each article is planned
# once for all values: to plan it anew took longer than to carry it out.
# A plain index scan notes which entries lead to dead rows, and the next passes them by. A bitmap scan does not: every
# look at what is on the wire would read all that was claimed and settled since the last vacuum.
# Up to version 17 a scan that is off is priced so high that the server would start two processes for a table of a few
# sections, at each routing.
_SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "plan_cache_mode": "force_generic_plan",
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION,
}
_SURVEY = Statement(
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_bitmapscan', 'on', true),"
    " set_config('statement_timeout', :milliseconds, true)"
)
_NO_LIMIT = Statement("SELECT set_config('statement_timeout', '0', true)")


class DatabaseSilent(psycopg.OperationalError):
    """The server said nothing for as long as a statement may take. The connection is closed."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server has not answered for `patience` seconds (None: waits for ever)."""

    patience: float | None = None

    def wait(self, gen: Generator[Any, Any, Waited], *arguments: Any, **options: Any) -> Waited:
        if self.patience is not None:
            gen = self._until(gen, monotonic() + self.patience)
        return super().wait(gen, *arguments, **options)

    def _until(self, gen: Generator[Any, Any, Waited], deadline: float) -> Generator[Any, Any, Waited]:
        """The generator as it is; psycopg wakes it ten times a second though nothing came."""
        try:
            wants = next(gen)
            while True:
                came = yield wants
                if not came and monotonic() > deadline:
                    self.pgconn.finish()
                    raise DatabaseSilent(
                        f"the database has not answered for {self.patience:g} s: it stands still or is overloaded"
                    )
                wants = gen.send(came)
        except StopIteration as end:
            result: Waited = end.value
            return result


def silence_behind(error: BaseException | None) -> BaseException | None:
    """The silence of the database that led to this error, for after it the rollback fails, too; None without one."""
    while error is not None and not isinstance(error, (DatabaseSilent, ConnectionTimeout)):
        error = error.__cause__ or error.__context__
    return error


def open_engine(url: URL, *, statement_seconds: float) -> Engine:
    engine = create_engine(
        url,
        pool_size=10,
        max_overflow=10,
        pool_timeout=POOL_SECONDS,
        # A few connections do the work of a quiet hour, and each prepares a statement once, at its first use.
        pool_use_lifo=True,
        connect_args={"prepare_threshold": 0, **_network(url)},
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _pooled: Any, words: Any, options: Any) -> DeadlineConnection:
        connection = DeadlineConnection.connect(*words, **options)
        connection.patience = statement_seconds + SERVER_LATE
        try:
            _set_up(connection, statement_seconds)
        except BaseException:
            connection.close()
            raise
        return connection

    @event.listens_for(engine, "checkout")
    def look(connection: Any, pooled: Any, _proxy: Any) -> None:
        # A database that was restarted costs a reconnect, not an error. A server that ends a connection leaves word
        # in it: to look for that takes microseconds, where SQLAlchemy's own ping is a round trip for each transaction.
        if pooled.info.get("used") and (connection.closed or _has_word(connection.fileno())):
            raise InvalidatePoolError
        pooled.info["used"] = True  # forgotten when it is connected anew
        connection.patience = statement_seconds + SERVER_LATE

    return engine


def _network(url: URL) -> dict[str, Any]:
    """The network's settings that the URL leaves open: the kernel, too, notices a peer that is gone without a word."""
    wanted = {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def _set_up(connection: DeadlineConnection, statement_seconds: float) -> None:
    milliseconds = str(int(statement_seconds * 1000))
    values = {**_SETTINGS, "statement_timeout": milliseconds}
    # In no transaction: a rollback would take the settings back.
    connection.autocommit = True
    connection.execute("SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
                       [list(values), list(values.values())])  # fmt: skip
    connection.autocommit = False


def _has_word(socket: int) -> bool:
    waiting = select.poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))


def survey(connection: Connection) -> None:
    """Until the transaction ends each statement is planned for its own values, and may take its time."""
    _wait_for(connection, SURVEY_SECONDS + SERVER_LATE)
    _SURVEY.rows(connection, milliseconds=str(int(SURVEY_SECONDS * 1000)))


def wait_for_ever(connection: Connection) -> None:
    """Until the transaction ends a statement may take as long as it takes: for migrations."""
    _wait_for(connection, None)
    _NO_LIMIT.rows(connection)


def _wait_for(connection: Connection, seconds: float | None) -> None:
    line: Any = connection.connection.dbapi_connection
    line.patience = seconds  # until it is checked out again
