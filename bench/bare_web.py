"""The bare building block of intake: Flask under the same server, and one durable commit of the bytes.

`python -m bench.bare_web PORT DATABASE_URL PROCESSES`.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, cast
from wsgiref.types import StartResponse

import psycopg
from flask import Flask, Response, request
from sqlalchemy.engine import make_url

from service.runtime.processes import run_processes
from service.serving.document_cache import DocumentCache
from service.serving.server.context import Site
from service.serving.server.http_server import HttpServer, freeze
from service.serving.server.listener import listen
from service.serving.server.request_cache import RequestCache
from service.wsgi import LANES, plan

_TABLE = "CREATE TABLE IF NOT EXISTS bare (body {})"


class BareApplication:
    """Keeps each body; nothing of it is in memory."""

    def __init__(self, database_url: str) -> None:
        self._app = create(database_url)

    def __call__(self, environ: dict[str, Any], start: StartResponse, /) -> Iterable[bytes]:
        return self._app.wsgi_app(environ, start)

    def select(self, _environ: dict[str, Any]) -> None:
        return None


def create(database_url: str) -> Flask:
    """The application that each of the processes runs."""
    app = Flask("bare")
    keep = _keeper(database_url)

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


def serve(port: int, database_url: str, processes: int) -> None:
    listening = listen("127.0.0.1", port)

    def work() -> None:
        # No document is ever looked for in the cache.
        site = Site(BareApplication(database_url), RequestCache(cast(DocumentCache, None)), plan, LANES)
        freeze()
        HttpServer(site, listening, shared=processes > 1).run()

    run_processes(processes, work)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
