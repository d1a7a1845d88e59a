"""Requests that were answered before, known again by all their bytes.

Readers ask again and again with the same bytes: what was made of them is known, as long as the document is the same.
Used from one thread, that of the event loop.
"""

from __future__ import annotations

from service.serving.compression import Coding
from service.serving.document_cache import Shelf
from service.serving.middleware import Standing

# Of heads; and what a longer one says is hardly said twice.
LIMIT = 4096
LONGEST = 2048

RawHeaders = list[tuple[bytes, bytes]]


class Reply:
    """A standing answer as it goes over the wire: `parts`, without the body for a HEAD."""

    __slots__ = ("_body", "_first", "_rest", "_stamp", "parts", "path", "standing")

    def __init__(self, standing: Standing, method: str) -> None:
        self.standing = standing
        self.path = standing.held.address.path
        self._first = f"HTTP/1.1 {standing.status}\r\n".encode()
        told = (f"{name.lower()}: {value}\r\n" for name, value in standing.headers)
        self._rest = "".join([*told, "\r\n"]).encode("latin-1")
        self._body = standing.body if method == "GET" else []
        self._stamp: RawHeaders | None = None
        self.parts: list[bytes] = []

    def stamp(self, headers: RawHeaders) -> list[bytes]:
        """The parts, with these headers (the date) put first. Fast while it is the same list."""
        if self._stamp is not headers:
            own = b"".join(b"%b: %b\r\n" % each for each in headers)
            self._stamp = headers
            self.parts = [self._first + own + self._rest, *self._body]
        return self.parts


class Recall:
    """Bounded: full, it begins anew. What no longer stands is never given, and is let go of by `tidy`."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._known: dict[bytes, Reply] = {}
        # By document, form, whether the client has it, and method.
        self._replies: dict[tuple[str, Coding, bool, str], Reply] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, head: bytes) -> Reply | None:
        """The answer to a request of exactly these bytes, if it stands."""
        reply = self._known.get(head)
        if reply is None or not self._stands(reply):
            return None
        reply.standing.held.used = self._shelf.looks
        return reply

    def reply(self, standing: Standing, method: str) -> Reply:
        """Made once for all that ask alike."""
        key = (standing.held.address.path, standing.coding, standing.unchanged, method)
        reply = self._replies.get(key)
        if reply is None or reply.standing.answer is not standing.answer:
            reply = self._replies[key] = Reply(standing, method)
        return reply

    def keep(self, head: bytes, reply: Reply) -> None:
        """`head` must be one whole request, with nothing behind it."""
        if len(head) > LONGEST:
            return
        if len(self._known) >= LIMIT:
            self._known.clear()
        self._known[head] = reply

    def tidy(self) -> None:
        """Lets go of answers from documents that there are no more, whose bytes would else stay in memory."""
        self._known = {head: reply for head, reply in self._known.items() if self._stands(reply)}
        self._replies = {key: reply for key, reply in self._replies.items() if self._stands(reply)}

    def _stands(self, reply: Reply) -> bool:
        """Whether it is of the very document, and the very form of it, that would be served now."""
        standing = reply.standing
        held = standing.held
        return (
            self._shelf.ready.get(reply.path) is held and held.answers.get(standing.coding) is standing.answer
        )
