"""Sends pushes, many at once in one thread, by libcurl's multi interface (docs/decisions/0004-transport.md).

Knows nothing of deliveries, articles or the record: a Push goes in, the same Push comes out with its Outcome.
"""

from __future__ import annotations

import selectors
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic

import certifi
import pycurl

from service import times
from service.settings import Network
from workers.net import outcome
from workers.net.outcome import Outcome
from workers.net.transfer import DEFAULT_TIMEOUTS, Push, Timeouts, Transfer, TransferOptions
from workers.net.wakeup_pipe import WakeupPipe

__all__ = ["DEFAULT_TIMEOUTS", "Full", "Push", "Sender", "Timeouts"]


IDLE_TRANSFERS = 256  # kept for the next pushes: a storm of slow partners must not leave its memory behind
MOST_CONNECTIONS = 512  # kept open for the next pushes, or as many as may be in use


class Full(RuntimeError):
    """More pushes were submitted than the capacity: poll first."""


class Sender:
    """Sends up to `capacity` pushes at once over kept-alive connections. For one thread; close() when done.

    Every connection is guarded on the address it goes to (address_guard.refusal, `allowed_networks` pass). Redirects,
    proxies, cookies and netrc are never used. `ca_file`: the authorities trusted, by default the system's.
    """

    def __init__(
        self,
        allowed_networks: Sequence[Network],
        *,
        user_agent: str,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        capacity: int = 256,
        ca_file: str | None = None,
        stalls: Callable[[], int] = lambda: 0,
    ) -> None:
        """`stalls`: how often this process stood still so far. Pushes on the wire then are dropped, not sent late:
        they end as lost, which is no fault of their partners."""
        self._capacity = capacity
        self._stalls = stalls
        self._stalls_seen = stalls()  # at which all that is on the wire was submitted
        self._idle: list[Transfer] = []
        self._busy: dict[pycurl.Curl, Transfer] = {}
        self._failed: list[tuple[Push, Outcome]] = []
        self._due: float | None = None  # when libcurl wants to be called whatever happens; monotonic
        self._selector = selectors.DefaultSelector()
        self._wakeup: WakeupPipe | None = WakeupPipe()  # None: closed
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._woken = False
        ca_file = ca_file or ssl.get_default_verify_paths().cafile or certifi.where()
        self._options = TransferOptions(tuple(allowed_networks), user_agent, timeouts, ca_file)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max(MOST_CONNECTIONS, capacity))

    @property
    def capacity(self) -> int:
        """How many pushes may be in flight at once."""
        return self._capacity

    @property
    def in_flight(self) -> int:
        """How many pushes were submitted and not yet returned by poll()."""
        return len(self._busy) + len(self._failed)

    @property
    def room(self) -> int:
        """How many more may be submitted now."""
        return self._capacity - self.in_flight

    def submit(self, push: Push, *, stalls_seen: int | None = None) -> None:
        """Takes a push; raises Full at capacity. One that cannot be sent at all comes back by poll(), too.

        `stalls_seen`: how often the process had stood still when the push was found to be good; None: as often as now.
        A pause before that moment has not overtaken it; one after it has, though it came just before this call.
        """
        self._drop_before(self._stalls() if stalls_seen is None else stalls_seen)
        if self.room <= 0:
            raise Full(f"{self._capacity} pushes are in flight; call poll() before submitting more")
        transfer = self._idle.pop() if self._idle else Transfer(self._options)
        try:
            transfer.begin(push)
        except (pycurl.error, ValueError) as error:
            transfer.close()
            self._failed.append((push, outcome.unsent(f"could not be called: {error}")))
            return
        self._busy[transfer.curl] = transfer
        self._multi.add_handle(transfer.curl)

    def poll(self, timeout_seconds: float) -> list[tuple[Push, Outcome]]:
        """The pushes that have ended, waiting up to `timeout_seconds` for the first, or for `wake`.

        At once if nothing is in flight.
        """
        deadline = monotonic() + timeout_seconds
        while True:
            ended = self._ended()
            if ended or self._woken or not self._busy:
                self._woken = False
                return ended
            self._advance(deadline)
            if monotonic() >= deadline:
                return self._ended()

    def wake(self) -> None:
        """Has poll() return at once, the one that waits now or the next. For any thread and for signal handlers."""
        if (wakeup := self._wakeup) is not None:
            wakeup.notify()

    def drop(self, result: Outcome, which: Callable[[Push], bool] = lambda _: True) -> None:
        """Hangs up: poll() returns these of the pushes on the wire as `result`, which says if each was reached."""
        for transfer in [each for each in self._busy.values() if which(each.push)]:
            del self._busy[transfer.curl]
            push, exchange = transfer.end(pycurl.E_OK, "")
            self._multi.remove_handle(transfer.curl)
            transfer.close()
            reached = exchange.request_bytes > 0
            words = f"{result.words}; it may have arrived" if reached else result.words
            self._failed.append((push, result._replace(words=words, reached=reached)))

    def close(self) -> None:
        """Drops all connections and all pushes in flight; drain with poll() first to lose no outcome."""
        for transfer in self._busy.values():
            self._multi.remove_handle(transfer.curl)
            transfer.close()
        for transfer in self._idle:
            transfer.close()
        self._busy.clear()
        self._idle.clear()
        self._failed.clear()
        self._multi.close()
        self._selector.close()
        self._wakeup = None

    def _advance(self, deadline: float) -> None:
        """One wait, and all the work that libcurl has then."""
        until = deadline if self._due is None else min(deadline, self._due)
        ready = self._selector.select(max(0.0, until - monotonic()))
        if self._drop_before(self._stalls()):
            return
        for key, events in ready:
            if isinstance(key.fileobj, WakeupPipe):
                key.fileobj.drain()
                self._woken = True
                continue
            bits = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
            if events & selectors.EVENT_WRITE:
                bits |= pycurl.CSELECT_OUT
            self._multi.socket_action(key.fd, bits)
        if self._due is not None and self._due <= monotonic():
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _drop_before(self, stalls: int) -> bool:
        """Drops what was submitted before the last of so many pauses; whether there was one. libcurl has done nothing
        since: nothing is sent late."""
        if stalls <= self._stalls_seen:
            return False
        self._stalls_seen = stalls
        self.drop(outcome.lost("the worker stood still while sending"))
        return True

    def _ended(self) -> list[tuple[Push, Outcome]]:
        ended, self._failed = self._failed, []
        now = times.now()
        more = 1
        while more:
            more, succeeded, failed = self._multi.info_read()
            ended += [self._end(curl, pycurl.E_OK, "", now) for curl in succeeded]
            ended += [self._end(curl, code, error, now) for curl, code, error in failed]
        return ended

    def _end(self, curl: pycurl.Curl, code: int, error: str, now: datetime) -> tuple[Push, Outcome]:
        transfer = self._busy.pop(curl)
        push, exchange = transfer.end(code, error)
        self._multi.remove_handle(curl)
        if len(self._idle) < IDLE_TRANSFERS:
            self._idle.append(transfer)
        else:
            transfer.close()
        return push, outcome.classify(exchange, now)

    def _set_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else monotonic() + milliseconds / 1000

    def _watch_socket(self, what: int, fd: int, _multi: object, _data: object) -> None:
        """libcurl says which events of a socket it wants to hear of."""
        if what == pycurl.POLL_REMOVE:
            with suppress(KeyError, ValueError):
                self._selector.unregister(fd)
            return
        events = selectors.EVENT_READ if what & pycurl.POLL_IN else 0
        if what & pycurl.POLL_OUT:
            events |= selectors.EVENT_WRITE
        try:
            self._selector.modify(fd, events)
        except KeyError:
            self._selector.register(fd, events)
