"""The broker as this worker knows it: by a check once a second, by the hints it sends, by the consumer of hints."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from service.runtime.broker_check import BROKER_UP, unusable_words
from service.runtime.celery_app import ROUTE

SEND_AGAIN_AFTER = (
    5.0  # seconds after a hint that could not be sent: whether they can be is seen by sending one
)


class BrokerState:
    """Any thread may ask and tell. While the broker cannot be used, the sweep has the work done without hints."""

    def __init__(
        self,
        check: Callable[[], str],
        send: Callable[[str], None],
        steady: Callable[[], float] = time.monotonic,
        *,
        starting: bool = False,
    ) -> None:
        """`check` answers 'up' or why not; `send` sends a hint, and raises if it cannot.

        `starting`: hints cannot be sent or taken before `started`, and nothing is wrong.
        """
        self._check = check
        self._send = send
        self._steady = steady
        self._starting = starting
        self._lock = threading.Lock()
        self._unsent: tuple[str, float] | None = None  # why the last hint could not be sent, and when
        self._unconsumed: str | None = None  # why no hints are taken here

    @property
    def starting(self) -> bool:
        return self._starting

    def started(self) -> None:
        """From now on the broker is used."""
        self._starting = False

    def words(self) -> str:
        """'up', or in words why the broker cannot be used: by this process, or by all."""
        if self._starting:
            return BROKER_UP
        words = self._check()
        if words != BROKER_UP:
            return words
        with self._lock:
            unsent, unconsumed = self._unsent, self._unconsumed
        if unsent is not None and self._steady() - unsent[1] >= SEND_AGAIN_AFTER:
            unsent = None if self._try_to_send() else self._unsent
        return unconsumed or (unsent[0] if unsent else BROKER_UP)

    def hint(self, task: str) -> None:
        """Sends a hint. Raises what the client raises."""
        try:
            self._send(task)
        except Exception as error:
            with self._lock:
                self._unsent = unusable_words(error), self._steady()
            raise
        with self._lock:
            self._unsent = None

    def consumer_failed(self, error: Exception) -> None:
        with self._lock:
            self._unconsumed = unusable_words(error)

    def consumer_is_ready(self) -> None:
        with self._lock:
            self._unconsumed = None

    def _try_to_send(self) -> bool:
        try:
            self.hint(ROUTE)
        except Exception:  # the state says why
            return False
        return True
