"""Requests that were answered before, recognised by all their bytes.

Readers send the same bytes again and again, and their answer stays the same for as long as the document does. Used from
one thread, that of the event loop.

A plain dictionary that is emptied when it is full, not a cache of cachetools: a known request takes half a microsecond,
to which LRUCache would add as much again. docs/decisions/0011.
"""

from __future__ import annotations

from service.serving.compression import Coding
from service.serving.document_cache import DocumentCache
from service.serving.middleware import Selection

REQUEST_CACHE_HEADS = 4096
# Longer heads are hardly sent twice.
LONGEST_HEAD = 2048

RawHeaders = list[tuple[bytes, bytes]]


class RawResponse:
    """A selection as it goes over the wire: `parts`, without the body for a HEAD."""

    __slots__ = ("_body", "_first", "_rest", "_stamp", "parts", "path", "selection")

    def __init__(self, selection: Selection, method: str) -> None:
        self.selection = selection
        self.path = selection.cached.address.path
        self._first = f"HTTP/1.1 {selection.status}\r\n".encode()
        lines = (f"{name.lower()}: {value}\r\n" for name, value in selection.headers)
        self._rest = "".join([*lines, "\r\n"]).encode("latin-1")
        self._body = selection.body if method == "GET" else []
        self._stamp: RawHeaders | None = None
        self.parts: list[bytes] = []

    def stamp(self, headers: RawHeaders) -> list[bytes]:
        """The parts, with these headers (the date) first. Fast for as long as it is the same list."""
        if self._stamp is not headers:
            own = b"".join(b"%b: %b\r\n" % each for each in headers)
            self._stamp = headers
            self.parts = [self._first + own + self._rest, *self._body]
        return self.parts


class RequestCache:
    """Bounded. An answer that is not current any more is never given, and `drop_stale` frees its memory."""

    def __init__(self, documents: DocumentCache) -> None:
        self._documents = documents
        self._by_head: dict[bytes, RawResponse] = {}
        # By document, coding, whether the client has it, and method.
        self._responses: dict[tuple[str, Coding, bool, str], RawResponse] = {}

    def __len__(self) -> int:
        return len(self._by_head)

    def find(self, head: bytes) -> RawResponse | None:
        """The answer to a request of exactly these bytes, if it is current."""
        response = self._by_head.get(head)
        if response is None or not self._is_current(response):
            return None
        response.selection.cached.note_request(self._documents.refreshes)
        return response

    def response(self, selection: Selection, method: str) -> RawResponse:
        """Built once for all requests that ask alike."""
        key = (selection.cached.address.path, selection.coding, selection.not_modified, method)
        response = self._responses.get(key)
        if response is None or response.selection.representation is not selection.representation:
            response = self._responses[key] = RawResponse(selection, method)
        return response

    def put(self, head: bytes, response: RawResponse) -> None:
        """`head` must be one whole request, with nothing behind it."""
        if len(head) > LONGEST_HEAD:
            return
        if len(self._by_head) >= REQUEST_CACHE_HEADS:
            self._by_head.clear()
        self._by_head[head] = response

    def drop_stale(self) -> None:
        """Drops the answers from documents that are gone, whose bytes would otherwise stay in memory."""
        self._by_head = {head: each for head, each in self._by_head.items() if self._is_current(each)}
        self._responses = {key: each for key, each in self._responses.items() if self._is_current(each)}

    def _is_current(self, response: RawResponse) -> bool:
        """Whether this very document, in this very representation, would be served now."""
        selection = response.selection
        cached = selection.cached
        return (
            self._documents.ready.get(response.path) is cached
            and cached.representations.get(selection.coding) is selection.representation
        )
