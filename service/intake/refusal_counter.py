"""Counts what the intake refuses, by source and reason, for the status page and the metrics.

A flood of refusals is written once a second at the most; what could not be written, as while the record is away, is
written with what comes next.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from flask import Flask, Response, g, request

from service import logs
from service.store.articles import refusals
from service.store.articles.refusals import RefusalKey, hour_of
from service.store.database.record import Record
from service.store.errors import RecordUnavailable

log = logs.get("intake")

WRITE_EVERY = 1.0  # seconds
MOST_KEYS = 1_000  # sources, reasons and hours that wait to be written
_BLUEPRINT = "intake"


def name_source(slug: str) -> None:
    """The sender of this request says that it is this source, which exists; it need not be true."""
    g.intake_source = slug


class RefusalCounter:
    """`clock` gives aware UTC times. Any thread may count."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: Counter[RefusalKey] = Counter()
        self._accepted: set[str] = set()  # sources of which nothing was refused since something was accepted
        self._written_at = float("-inf")  # steady
        self._timer: threading.Timer | None = None

    def refused(self, source: str, reason: str) -> None:
        now = self._clock()
        log.info("intake.refused", source=source, reason=reason)
        with self._lock:
            self._accepted -= {source, ""}
            key = RefusalKey(source, reason, hour_of(now))
            if key in self._waiting or len(self._waiting) < MOST_KEYS:
                self._waiting[key] += 1
            wait = self._written_at + WRITE_EVERY - time.monotonic()
            if wait > 0 and self._timer is None:
                self._timer = threading.Timer(wait, self.flush)
                self._timer.daemon = True
                self._timer.start()
        if wait <= 0:
            self.flush()

    def accepted(self, source: str) -> None:
        """Costs a write only for the first post after a refusal, or after the start of this process."""
        with self._lock:
            if source in self._accepted and "" in self._accepted:
                return
        self.flush()
        try:
            refusals.end_row(self._record, source)
        except RecordUnavailable:
            return
        with self._lock:
            self._accepted |= {source, ""}

    def flush(self) -> None:
        """Writes what is counted. The record being away, it waits for the next time."""
        with self._lock:
            counts, self._waiting = self._waiting, Counter()
            self._written_at, self._timer = time.monotonic(), None
        if not counts:
            return
        try:
            refusals.add(self._record, counts, self._clock())
        except (RecordUnavailable, OSError):  # the latter: its file cannot be opened
            with self._lock:
                self._waiting += counts


def register(app: Flask, counter: RefusalCounter) -> None:
    """Counts each answer of the intake."""

    def count(response: Response) -> Response:
        if request.blueprint != _BLUEPRINT:
            return response
        source = g.get("intake_source", "")
        if response.status_code >= 400:
            counter.refused(source, _reason(response))
        elif source:
            counter.accepted(source)
        return response

    app.after_request(count)


def _reason(response: Response) -> str:
    """The kind of the problem."""
    problem = response.get_json(silent=True) or {}
    return str(problem.get("type", "")).rpartition("problem-")[2] or str(response.status_code)
