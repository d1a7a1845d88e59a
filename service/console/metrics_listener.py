"""The listener of DATELINE_METRICS_LISTEN: all metrics without a token, for an address that is private."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from datetime import datetime
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from service import logs
from service.console.metrics import DeskCollector
from service.settings import host_and_port
from service.store.database.record import Record

log = logs.get("status")

READ_SECONDS = 5.0  # a scraper that sends its request slower is none


class _MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers each scrape in a thread of its own; several web processes share the port."""

    daemon_threads = True
    allow_reuse_port = True


class _MetricsServer6(_MetricsServer):
    address_family = socket.AF_INET6


class _ScrapeHandler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def log_message(self, format: str, *arguments: object) -> None:
        """Scrapes are not logged."""


def start(listen: str, record: Record, clock: Callable[[], datetime]) -> WSGIServer:
    """Serves until `shutdown`. An address that is taken or not ours raises OSError."""
    host, port = host_and_port(listen)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DeskCollector(record, clock))
    kind = _MetricsServer6 if ":" in host else _MetricsServer
    server = make_server(host, port, make_wsgi_app(registry), server_class=kind, handler_class=_ScrapeHandler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics.listening", host=host, port=server.server_port)
    return server
