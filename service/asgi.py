"""The composition root of the feeds server: the public feeds alone, from memory. docs/decisions/0009."""

from __future__ import annotations

import resource
import signal
import socket
import time
from email.utils import formatdate
from types import FrameType

from uvicorn import Config, Server

from service import app, logs, settings
from service.runtime import key_files
from service.serving.document_cache import DocumentCache
from service.serving.middleware import FeedMiddleware
from service.serving.server.protocol import FeedProtocol
from service.serving.server.request_cache import RawHeaders, RequestCache
from service.serving.server.wsgi_bridge import WsgiBridge
from service.settings import Settings
from service.store import migrations
from service.store.database.record import open_record

log = logs.get("serving")

CONNECTIONS = 4096
# The most files that the process has open besides its connections.
OTHER_FILES = 128
# Longer than proxies and balancers keep theirs: they should end a connection, because only they know that it is idle.
KEEP_ALIVE_SECONDS = 75
# Requests that are being answered have this long to end; `dateline up` kills after eight. Connections of clients that
# do not read are closed before.
END_SECONDS = 5
WARN_EVERY = 60.0


def serve(config: Settings) -> None:
    """Serves at `feeds_listen` until SIGTERM or SIGINT."""
    config = key_files.ensure_keys(config)
    logs.bind(process="feeds")
    record = open_record(config.database_url, config.secret_key)
    migrations.require_schema(record)
    for fault in migrations.faults(record):
        log.error("schema.differs", fault=fault)
    documents = DocumentCache(record, config.public_url)
    documents.watch()
    middleware = FeedMiddleware(app.create_feeds_app(config, record, documents).wsgi_app, documents)
    server = FeedsServer(middleware, RequestCache(documents), *settings.host_and_port(config.feeds_listen))
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn sends itself the signal again at its end: then the program should end by itself.
        signal.signal(number, _ignore)
    server.run()


class FeedsServer(Server):
    """uvicorn's server, with a Date header that is right to a tenth of a second, and caches that are tidied."""

    def __init__(self, middleware: FeedMiddleware, requests: RequestCache, host: str, port: int) -> None:
        self._bridge = WsgiBridge(middleware, requests)
        self._requests = requests
        self._second = 0
        self._date: RawHeaders = []
        self._warn_from = 0.0
        super().__init__(
            Config(
                self._bridge,
                host=host,
                port=port,
                http=FeedProtocol,
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=_connections_max(),
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=END_SECONDS,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        self._bridge.close()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        leave = await super().on_tick(counter)
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._date = [(b"date", formatdate(now, usegmt=True).encode())]
            self._requests.drop_stale()
            self._warn_at_the_limit(now)
        self.server_state.default_headers = self._date
        return leave

    def _warn_at_the_limit(self, now: float) -> None:
        connections = len(self.server_state.connections)
        if connections >= (self.config.limit_concurrency or 0) and now >= self._warn_from:
            self._warn_from = now + WARN_EVERY
            log.warning("feeds.connection_limit", connections=connections)


def _connections_max() -> int:
    """CONNECTIONS, or as many as the limit of open files allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    else:
        soft = wanted
    return max(soft - OTHER_FILES, OTHER_FILES)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass
