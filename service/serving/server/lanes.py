"""Lanes: threads of one kind, and the requests that wait for them, shared fairly among the senders.

Posts have a lane of their own, so that nothing else waits behind them. Within a lane each sender (a flow) has a queue,
and the threads take from these by turns. A full lane refuses the newest of the sender that has most. Used from the loop
alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from queue import SimpleQueue
from typing import Protocol

from service.serving.server.refusals import OVER_SHARE, OVERLOADED, Refusal
from service.serving.server.wsgi_bridge import Job

# Jobs that are handed to the threads beyond one for each: a thread that has done its own needs not wait for the loop.
AHEAD = 4


class LaneRequest(Protocol):
    """A request that waits for a thread."""

    flow: tuple[Hashable, ...]
    queued_at: float

    def start(self) -> Job | None:
        """The job, as late as possible; None if its client has gone."""

    def refuse(self, refusal: Refusal) -> None:
        """It will not be answered by the application."""


class ThreadLane:
    """`put` hands a request to a thread, now or later; call `finished` after each."""

    def __init__(self, jobs: SimpleQueue[Job | None], threads: int, queue: int) -> None:
        self._jobs = jobs
        self._threads = threads
        self._most = threads + AHEAD
        self._queue = queue
        self._flows: dict[tuple[Hashable, ...], deque[LaneRequest]] = {}
        self.running = self.waiting = 0

    def refusal(self, flow: tuple[Hashable, ...]) -> Refusal | None:
        """The refusal of one more request of this sender, if it has no place: before its body is read."""
        if self.waiting < self._queue:
            return None
        own = len(self._flows.get(flow, ()))
        if own + 1 < len(self._flows[self._longest()]):
            return None
        return OVER_SHARE if len(self._flows) > 1 else OVERLOADED

    def put(self, request: LaneRequest) -> None:
        if self.running < self._most:
            self._begin(request)
            return
        refusal = self.refusal(request.flow)
        if refusal is not None:
            request.refuse(refusal)
            return
        if self.waiting >= self._queue:
            self._drop(self._longest())
        self._flows.setdefault(request.flow, deque()).append(request)
        self.waiting += 1

    def finished(self) -> None:
        """A request of this lane is answered: the next sender's turn."""
        self.running -= 1
        while self._flows and self.running < self._most:
            flow = next(iter(self._flows))
            queue = self._flows.pop(flow)
            request = queue.popleft()
            self.waiting -= 1
            if queue:
                self._flows[flow] = queue  # behind the others
            self._begin(request)

    def expire(self, before: float) -> None:
        """Refuses the requests that wait since a time before this."""
        late = []
        for flow, queue in list(self._flows.items()):
            while queue and queue[0].queued_at < before:
                late.append(queue.popleft())
            if not queue:
                del self._flows[flow]
        self.waiting -= len(late)
        for request in late:
            request.refuse(OVERLOADED)

    def close(self) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    def _begin(self, request: LaneRequest) -> None:
        job = request.start()
        if job is not None:
            self.running += 1
            self._jobs.put(job)

    def _longest(self) -> tuple[Hashable, ...]:
        return max(self._flows, key=lambda flow: len(self._flows[flow]))

    def _drop(self, flow: tuple[Hashable, ...]) -> None:
        queue = self._flows[flow]
        self.waiting -= 1
        queue.pop().refuse(OVER_SHARE)
        if not queue:
            del self._flows[flow]


class KnownSenders:
    """Credentials that were accepted lately. Only these make a sender of their own: made-up ones cost no share."""

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._known: dict[Hashable, None] = {}

    def __contains__(self, credentials: Hashable) -> bool:
        return credentials in self._known

    def add(self, credentials: Hashable) -> None:
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[credentials] = None
