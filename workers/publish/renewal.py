"""Has all feeds made again if they are to be written in another style than they were: once, when a worker starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from service import logs
from service.store.database.record import Record
from service.store.feeds import renewal
from service.store.feeds.renewal import Progress

log = logs.get("publish")


class FeedRenewal:
    """Asks at most once: two workers with different settings must not make all feeds again for ever."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._compared = False
        self._progress: Progress | None = Progress()

    @property
    def under_way(self) -> bool:
        return self._compared and self._progress is not None

    def compare(self, style: str) -> None:
        """Finds once whether the feeds were made in another style; those of a new desk are yet to be made."""
        if self._compared:
            return
        if renewal.is_current(self._record, style) or renewal.begin(self._record, style, self._clock()):
            self._progress = None
        self._compared = True

    def advance(self, style: str) -> None:
        """Asks for some more feeds, then for pages of archives, until it has asked for all."""
        self.compare(style)
        if self._progress is None:
            return
        self._progress = renewal.step(self._record, style, self._progress, self._clock())
        if self._progress is None:
            log.info("feeds.renewed", style=style)
