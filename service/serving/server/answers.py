"""The writing half of a connection: answers go out in order, and a client that does not read is noticed."""

from __future__ import annotations

import asyncio
from typing import cast

from service.http.client_address import household
from service.serving.server.context import ServerContext
from service.serving.server.refusals import CONNECTIONS_FULL, Refusal

# Beyond this what a client has not read counts as not read: see ConnectionTable.unsent.
HIGH_WATER = 16 * 1024
FOREVER = float("inf")


class AnswerWriter(asyncio.Protocol):
    """One connection of a client, as far as it is written to."""

    transport: asyncio.Transport

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.loop = context.loop
        self.limits = context.limits
        self.address = self.household = ""
        self.server = ("", 0)
        self.since = 0.0
        self.deadline = FOREVER
        self.body_bytes = 0
        self.unsent = b""
        self.write_paused = False
        # No more requests are read: further bytes are thrown away.
        self.ending = False
        self.drained = 0
        self._unsent_before = -1
        # uvloop sends several parts in one call, uncopied. asyncio's writelines may fail to pause us (CVE-2024-12254).
        self._gathers = type(context.loop).__module__ == "uvloop"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.address = peer[0] if peer else ""
        self.household = household(self.address)
        self.server = (own[0], own[1]) if own else ("", 0)
        self.since = self.loop.time()
        self.deadline = self.since + self.limits.head_seconds
        if not self.context.table.admit(self):
            self.refuse_now(CONNECTIONS_FULL)

    def connection_lost(self, _error: Exception | None) -> None:
        self.ending = True
        self.context.table.remove(self)

    def is_idle(self) -> bool:
        raise NotImplementedError

    def is_reading_body(self) -> bool:
        raise NotImplementedError

    def check(self, now: float) -> None:
        raise NotImplementedError

    def give_up_body(self) -> None:
        raise NotImplementedError

    def shutdown(self, *, hang_up: bool) -> None:
        raise NotImplementedError

    def send(self, parts: list[bytes]) -> None:
        """Writes an answer; the last part is its body."""
        self.since = now = self.loop.time()
        self.deadline = now + self.limits.keep_alive_seconds
        self.unsent = parts[-1]
        if self._gathers:
            self.transport.writelines(parts)
        else:
            self.transport.write(b"".join(parts))

    def send_head(self, first: bytes, head: bytes, body: bytes, *, close: bool) -> None:
        date = b"".join(b"%b: %b\r\n" % each for each in self.context.date)
        end = b"connection: close\r\n\r\n" if close else b"\r\n"
        self.send([first + date + head + end, body] if body else [first + date + head + end])

    def refuse_now(self, refusal: Refusal) -> None:
        """Refuses bytes that are no request, or come too slowly, and ends the connection."""
        self.context.refusals.count(refusal)
        self.ending = True
        if self.transport.is_closing() or self.write_paused:
            self.transport.abort()
            return
        self.send_head(*refusal.raw("GET"), close=True)
        # If we closed at once, with unread bytes of the client, the kernel would discard the refusal.
        self.transport.write_eof()
        self.deadline = self.since + self.limits.linger_seconds

    def close(self) -> None:
        """Ends the connection once all is sent."""
        self.ending = True
        self.deadline = self.loop.time() + self.limits.send_seconds
        self.transport.close()

    def throw_away(self, size: int) -> None:
        """Bytes came behind the last request: they do not matter, but there may not be too many."""
        self.drained += size
        if self.drained > self.limits.drain_bytes:
            self.transport.abort()

    def drain(self, size: int) -> None:
        """A part of a refused body came. It is read for so long that its sender can read the answer."""
        self.throw_away(size)
        now = self.loop.time()
        self.deadline = min(now + self.limits.linger_seconds, self.since + self.limits.drain_seconds)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._unsent_before = self.transport.get_write_buffer_size()
        self.deadline = self.loop.time() + self.limits.send_seconds
        self.context.table.unsent(self)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._unsent_before = -1
        self.deadline = self.loop.time() + self.limits.keep_alive_seconds
        self.context.table.sent(self)

    def waits_for_reader(self, now: float) -> bool:
        """Whether something is not sent yet. A client that took nothing of it since the last check is hung up on."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            return False
        if unsent == self._unsent_before:
            self.transport.abort()
        self._unsent_before = unsent
        self.deadline = now + self.limits.send_seconds
        return True

    def hang_up(self) -> None:
        self.ending = True
        self.transport.abort()
