"""The bare building block of intake: Flask under the same granian, and one durable commit of the bytes.

`python -m bench.bare_web PORT DATABASE_URL PROCESSES`.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable

import psycopg
from flask import Flask, Response, request
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels
from sqlalchemy.engine import make_url

from service.wsgi import THREADS

_URL = "BENCH_DATABASE_URL"
_TABLE = "CREATE TABLE IF NOT EXISTS bare (body {})"


def create() -> Flask:
    """The application that each of granian's processes runs."""
    app = Flask("bare")
    keep = _keeper(os.environ[_URL])

    @app.post("/v1/articles")
    def take() -> Response:
        keep(request.get_data(cache=False))
        return Response("{}", 202, content_type="application/json")

    return app


def _keeper(database_url: str) -> Callable[[bytes], None]:
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return _sqlite(str(url.database))
    return _postgresql(url.set(drivername="postgresql").render_as_string(hide_password=False))


def _sqlite(path: str) -> Callable[[bytes], None]:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(_TABLE.format("BLOB"))
    writer = threading.Lock()  # one at a time, as the record does it

    def keep(body: bytes) -> None:
        with writer:
            connection.execute("INSERT INTO bare VALUES (?)", (body,))

    return keep


def _postgresql(conninfo: str) -> Callable[[bytes], None]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        connection.execute(_TABLE.format("bytea"))
    local = threading.local()

    def keep(body: bytes) -> None:
        if not hasattr(local, "connection"):
            local.connection = psycopg.connect(conninfo, autocommit=True)
        local.connection.execute("INSERT INTO bare VALUES (%s)", (body,))

    return keep


if __name__ == "__main__":
    os.environ[_URL] = sys.argv[2]
    Granian(
        "bench.bare_web:create",
        factory=True,
        interface=Interfaces.WSGI,
        address="127.0.0.1",
        port=int(sys.argv[1]),
        workers=int(sys.argv[3]),
        blocking_threads=THREADS,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()
