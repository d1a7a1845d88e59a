"""The application of DATELINE_METRICS_LISTEN: all metrics without a token, for an address that is private."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from wsgiref.types import StartResponse

from prometheus_client import CollectorRegistry, make_wsgi_app

from service.console.metrics import DeskCollector
from service.store.database.record import Record


class MetricsApplication:
    """Answers each request with the metrics, read from the record. None is in memory: see SelectingApplication."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(DeskCollector(record, clock))
        self._app = make_wsgi_app(registry)

    def __call__(self, environ: dict[str, Any], start: StartResponse, /) -> Iterable[bytes]:
        body: Iterable[bytes] = self._app(environ, start)
        return body

    def select(self, environ: dict[str, Any]) -> None:
        """Nothing is answered without a thread."""
