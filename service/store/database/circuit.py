"""The circuit of the record: while the database does not answer, one thread waits for it, and the others fail at once.

A server has few threads. If each waited for a database that stands still, none would be left for what needs no record.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from service.store.errors import RecordUnavailable

PROBE_EVERY = 0.5  # seconds


class RecordCircuit:
    """Closed: everybody passes. Open: one caller at a time passes as the probe; its answer closes the circuit.

    Each call is counted to the time between two closings in which it began: the silence that a call met does not open
    the circuit again once a later call was answered. Else the last threads that waited for a database that stood still
    would keep out everybody for a further half second each, after it is back.
    """

    def __init__(self, on_open: Callable[[], None], *, clock: Callable[[], float] = monotonic) -> None:
        """`on_open` is called once each time that the circuit opens."""
        self._on_open = on_open
        self._clock = clock
        self._lock = threading.Lock()
        self._is_open = False
        self._closings = 0
        self._probe: int | None = None  # the thread that probes
        self._probe_at = 0.0

    def enter(self) -> int:
        """To be called before the database is; returns what `leave` takes.

        Raises RecordUnavailable while another call finds out about it.
        """
        closings = self._closings  # read first: a call that began before the circuit closed counts as early
        if not self._is_open:
            return closings
        with self._lock:
            mine = self._probe == threading.get_ident()  # it asks again within its own call
            if not self._is_open or mine:
                return self._closings
            if self._probe is not None or self._clock() < self._probe_at:
                raise RecordUnavailable("the database does not answer; it is asked again every half second")
            self._probe = threading.get_ident()
            return self._closings

    def leave(self, entered: int, *, answered: bool) -> None:
        """To be called after each call of the database: whether it answered, be it with an error."""
        if answered and not self._is_open:
            return
        with self._lock:
            mine = self._probe == threading.get_ident()
            silent = not answered and entered == self._closings
            opens = silent and not self._is_open
            if answered and mine and self._is_open:
                self._is_open = False
                self._closings += 1
            elif silent:
                self._is_open, self._probe_at = True, self._clock() + PROBE_EVERY
            if mine:
                self._probe = None
        if opens:
            self._on_open()
