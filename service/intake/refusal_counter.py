"""Counts what the intake refuses, by source and reason, for the status page and the metrics.

A flood of refusals is written once a second at the most; what waits, or could not be written, as while the record is
away, is written with the next refusal, or when the status page or the metrics are asked for.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from flask import Flask, Response, g, request

from service import logs
from service.store.articles import refusals
from service.store.articles.refusals import TAKEDOWN, RefusalKey, hour_of
from service.store.database.record import Record
from service.store.errors import RecordUnavailable

log = logs.get("intake")

WRITE_EVERY = 1.0  # seconds
NOTE_EVERY = timedelta(minutes=5)  # a repeat changes nothing, and is a sign that its source lives
MOST_KEYS = 1_000  # sources, reasons and hours that wait to be written
_BLUEPRINT = "intake"
_SHOWING = frozenset(
    {"pages.overview", "status.metrics", "status.status_json"}
)  # these read the record anyhow


def name_source(slug: str) -> None:
    """The sender of this request says that it is this source, which exists; it need not be true."""
    g.intake_source = slug


def count_nothing() -> None:
    """This request only tries a post: its refusal is none, and its acceptance neither."""
    g.intake_tried = True


def name_takedown() -> None:
    """This request of a known source is a takedown: refused, its story is still everywhere."""
    g.intake_takedown = True


def count_part(refusal: str | None) -> None:
    """A part of this request is refused for this reason, or accepted."""
    if refusal is None:
        g.intake_took_some = True
    else:
        g.intake_refused = [*g.get("intake_refused", []), refusal]


class RefusalCounter:
    """`clock` gives aware UTC times. Any thread may count."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: Counter[RefusalKey] = Counter()
        self._accepted: set[str] = set()  # sources of which nothing was refused since something was accepted
        self._noted: dict[str, datetime] = {}  # source → the last post that was written as a sign of its life
        self._written_at = float("-inf")  # steady

    def refused(self, source: str, reason: str) -> None:
        now = self._clock()
        log.info("intake.refused", source=source, reason=reason)
        with self._lock:
            self._accepted -= {source, ""}
            key = RefusalKey(source, reason, hour_of(now))
            if key in self._waiting or len(self._waiting) < MOST_KEYS:
                self._waiting[key] += 1
        if reason != "record-unavailable":  # a record that stands still must not be waited for once more
            self.write_due()

    def accepted(self, source: str) -> None:
        """Costs a write for the first post after a refusal, after the start of this process, and every five minutes."""
        now = self._clock()
        with self._lock:
            noted = self._noted.get(source)
            fresh = noted is not None and abs(now - noted) < NOTE_EVERY
            if fresh and source in self._accepted and "" in self._accepted:
                return
        self.flush()
        try:
            refusals.note_taken(self._record, source, now)
        except RecordUnavailable:
            return
        with self._lock:
            self._accepted |= {source, ""}
            self._noted[source] = now

    def write_due(self) -> None:
        """Writes what waits, unless that was done within the last second: as the pages that show it are asked for."""
        if self._waiting and time.monotonic() - self._written_at >= WRITE_EVERY:
            self.flush()

    def flush(self) -> None:
        """Writes what is counted. The record being away, it waits for the next time."""
        with self._lock:
            counts, self._waiting = self._waiting, Counter()
            self._written_at = time.monotonic()
        if not counts:
            return
        try:
            refusals.add(self._record, counts, self._clock())
        except (RecordUnavailable, OSError):  # the latter: its file cannot be opened
            with self._lock:
                self._waiting += counts


def register(app: Flask, counter: RefusalCounter) -> None:
    """Counts each answer of the intake. What fails in it changes no answer: a 202 is committed by then."""

    def count(response: Response) -> Response:
        try:
            _count(counter, response)
        except Exception as error:
            log.warning("intake.count_failed", error=f"{type(error).__name__}: {error}"[:300])
        return response

    def write() -> None:
        if request.endpoint in _SHOWING:
            counter.write_due()

    app.before_request(write)
    app.after_request(count)


def _count(counter: RefusalCounter, response: Response) -> None:
    if request.blueprint != _BLUEPRINT:
        return
    source = g.get("intake_source", "")
    if g.get("intake_tried", False):
        return
    refused: list[str] = g.get("intake_refused", [])
    for reason in refused:
        counter.refused(source, reason)
    if refused and not g.get("intake_took_some", False):
        return
    if response.status_code >= 400:
        counter.refused(source, TAKEDOWN if g.get("intake_takedown", False) else _reason(response))
    elif source:
        counter.accepted(source)


def _reason(response: Response) -> str:
    """The kind of the problem."""
    problem = response.get_json(silent=True) or {}
    return str(problem.get("type", "")).rpartition("problem-")[2] or str(response.status_code)
