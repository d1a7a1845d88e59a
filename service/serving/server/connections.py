"""The open connections of a server, and what they hold: bounded in all and for each client address.

Where room is short the one that has been of no use for longest goes: an idle connection, an unfinished body, an answer
that its client does not read. So nobody is kept out by clients that only hold on. Used from the loop alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from operator import attrgetter
from typing import Protocol

from service.serving.server.limits import Limits
from service.serving.server.refusals import BODIES_FULL, RefusalLog

# So many are closed together: finding them means to look at all.
TOGETHER = 32


class CountedConnection(Protocol):
    """The parts of a connection that its table sees."""

    address: str
    household: str  # the address that limits count it by
    since: float  # the beginning of what it does now: being idle, sending a request, reading an answer
    deadline: float
    body_bytes: int
    unsent: bytes

    def is_idle(self) -> bool:
        """Whether nothing is being answered on it, so that it may be closed."""

    def is_reading_body(self) -> bool: ...

    def check(self, now: float) -> None: ...

    def give_up_body(self) -> None: ...

    def hang_up(self) -> None: ...

    def shutdown(self, *, hang_up: bool) -> None: ...


class ConnectionTable:
    """`ended` is noted in the log for each connection that is closed for others."""

    def __init__(self, limits: Limits, log: RefusalLog) -> None:
        self.limits = limits
        # In the order of admission (as dicts keep it): of those that began within one turn of the loop, and so have the
        # same `since`, the first goes first.
        self.all: dict[CountedConnection, None] = {}
        self.body_bytes = 0
        self.unsent_bytes = 0
        self._log = log
        self._by_address: dict[str, dict[CountedConnection, None]] = {}
        self._slow: dict[CountedConnection, None] = {}
        self._unsent: dict[int, list[int]] = {}  # by the answer's identity: its readers, its bytes

    def admit(self, connection: CountedConnection) -> bool:
        """Adds a connection, after closing others if there are too many; False if none can be closed."""
        own = self._by_address.setdefault(connection.household, {})
        exempt = self.limits.trusts(connection.address)
        room = exempt or len(own) < self.limits.per_address or self._end_useless(own, self.limits.per_address)
        room = room and (
            len(self.all) < self.limits.connections or self._end_useless(self.all, self.limits.connections)
        )
        # `_end_useless` may have removed the last one of this address.
        self._by_address.setdefault(connection.household, {})[connection] = None
        self.all[connection] = None
        return room

    def remove(self, connection: CountedConnection) -> None:
        self.all.pop(connection, None)
        own = self._by_address.get(connection.household)
        if own is not None:
            own.pop(connection, None)
            if not own:
                del self._by_address[connection.household]
        self.body_bytes -= connection.body_bytes
        connection.body_bytes = 0
        self.sent(connection)

    def check(self, now: float) -> None:
        """Has every connection whose time is over look after itself."""
        for connection in [each for each in self.all if each.deadline <= now]:
            connection.check(now)

    def make_room(self) -> bool:
        """Closes those of no use for longest: for a process that has no file descriptors left."""
        return self._end_useless(self.all, self.limits.connections)

    def add_body(self, connection: CountedConnection, size: int) -> bool:
        """Counts bytes of a body; False if there is no room, even after the longest unfinished ones were given up."""
        self.body_bytes += size
        connection.body_bytes += size
        while self.body_bytes > self.limits.body_bytes:
            slowest = min(
                (each for each in self.all if each.is_reading_body()), key=attrgetter("since"), default=None
            )
            if slowest is None or slowest is connection:
                return False
            self._log.count(BODIES_FULL)
            slowest.give_up_body()
        return True

    def body_done(self, connection: CountedConnection, size: int) -> None:
        size = min(size, connection.body_bytes)
        self.body_bytes -= size
        connection.body_bytes -= size

    def unsent(self, connection: CountedConnection) -> None:
        """Its client does not read: counts the answer, once for all readers. Drops the slowest if it is too much."""
        if connection in self._slow:
            return
        self._slow[connection] = None
        readers = self._unsent.setdefault(id(connection.unsent), [0, len(connection.unsent)])
        readers[0] += 1
        if readers[0] == 1:
            self.unsent_bytes += readers[1]
        while self.unsent_bytes > self.limits.unsent_bytes and len(self._slow) > 1:
            slowest = min(self._slow, key=attrgetter("since"))
            self._log.note("slow-reader")
            slowest.hang_up()
            self.sent(slowest)

    def sent(self, connection: CountedConnection) -> None:
        """Its client has read its answer, or is gone."""
        if connection not in self._slow:
            return
        del self._slow[connection]
        readers = self._unsent[id(connection.unsent)]
        readers[0] -= 1
        if readers[0] == 0:
            self.unsent_bytes -= readers[1]
            del self._unsent[id(connection.unsent)]

    def _end_useless(self, among: Iterable[CountedConnection], most: int) -> bool:
        """Closes a few of these, the longest first: idle ones, or else answers that their clients do not read."""
        count = max(1, min(TOGETHER, most // 8))
        reason = "idle-connection"
        chosen = heapq.nsmallest(count, (each for each in among if each.is_idle()), key=attrgetter("since"))
        if not chosen:
            reason = "slow-reader"
            chosen = heapq.nsmallest(
                count, (each for each in among if each in self._slow), key=attrgetter("since")
            )
        for connection in chosen:
            self._log.note(reason)
            connection.hang_up()
            self.remove(connection)
        return bool(chosen)
