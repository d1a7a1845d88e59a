"""A-IM: feed (RFC 3229): only the entries that are new to the client, by the ETag that it sends.

Only readers that are known to handle a 226 get one: a widely used reader asks for it, and never fetches again once it
gets it. A client that asks twice from the same ETag did not take the first answer, and gets the whole document.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

import feeds
from service.serving import conditional
from service.serving.cached_document import CachedDocument, Representation
from service.serving.compression import Coding, compress

# newsboat, and lemon24's reader: tests/e2e/test_readers.py.
KNOWN_READERS = re.compile(r"(?:newsboat|python-reader)/", re.IGNORECASE)
CLIENTS_REMEMBERED = 8192
_FEED = re.compile(
    r"(?:^|,)\s*feed\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)", re.IGNORECASE
)

_Client = tuple[str, ...]


class Deltas:
    """Remembers which client got a 226 from which ETag. Safe among threads."""

    def __init__(self) -> None:
        self._answered: LRUCache[_Client, bool] = LRUCache(CLIENTS_REMEMBERED)
        self._lock = threading.Lock()

    def find(
        self, environ: dict[str, Any], cached: CachedDocument, accepted: Sequence[Coding]
    ) -> Representation | None:
        """The body of the 226; None if the whole document is to be sent."""
        tags: str = environ.get("HTTP_IF_NONE_MATCH", "")
        agent: str = environ.get("HTTP_USER_AGENT", "")
        if not tags or not KNOWN_READERS.match(agent) or not _FEED.search(environ["HTTP_A_IM"]):
            return None
        for sent, tag in conditional.entity_tags(tags):
            base = tag.partition(".")[0]
            if base in cached.former:
                delta = _delta(cached, base, accepted[0])
                if delta is None or self._asked_before(_client(environ, cached)):
                    return None
                return replace(delta, ok_headers=[*delta.ok_headers, ("Delta-Base", sent)])
        return None

    def _asked_before(self, client: _Client) -> bool:
        with self._lock:
            asked = self._answered.get(client, False)
            self._answered[client] = True
        return asked


def _client(environ: dict[str, Any], cached: CachedDocument) -> _Client:
    names = ("HTTP_X_FORWARDED_FOR", "REMOTE_ADDR", "HTTP_USER_AGENT", "HTTP_IF_NONE_MATCH")
    return (cached.address.path, *(environ.get(name, "") for name in names))


def _delta(cached: CachedDocument, base: str, coding: Coding) -> Representation | None:
    """The entries that are new since that version; None if there are none (a story left the feed) or all are new."""
    key = (base, coding)
    if key in cached.deltas:
        return cached.deltas[key]
    delta = _build_delta(cached, base, coding)
    cached.remember_delta(key, delta)
    return delta


def _build_delta(cached: CachedDocument, base: str, coding: Coding) -> Representation | None:
    prints = cached.former[base]
    known = {prints[at : at + feeds.FINGERPRINT] for at in range(0, len(prints), feeds.FINGERPRINT)}
    document = cached.document.body
    delta, entries = feeds.without_known(document, cached.address.fmt, known)
    if not entries or len(delta) == len(document):
        return None
    body = compress(delta, coding, best=False)
    replaced = {"Content-Length", "Accept-Ranges", "Vary", "Cache-Control", "CDN-Cache-Control"}
    headers = [each for each in cached.representation(coding).ok_headers if each[0] not in replaced]
    own = [
        ("Content-Length", str(len(body))),
        ("IM", "feed"),
        # For this client alone: no cache may give it to others.
        ("Cache-Control", "no-store, im"),
        ("Vary", "A-IM, If-None-Match, Accept-Encoding"),
    ]
    return Representation([body], [*headers, *own], [], best=True)
