"""A-IM: feed (RFC 3229): only the entries that the client does not have, told by the ETag that it has.

Answered to readers that are known to take a 226 right, and to no others: one in wide use asks for it and is stuck for
good when it gets it. Whoever asks twice from the same ETag has not taken the first answer, and gets the whole.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import feeds
from service.serving import conditional
from service.serving.cached_document import Answer, Held
from service.serving.compression import Coding, compress

# newsboat, and lemon24's reader: tests/e2e/test_readers.py.
KNOWN_READERS = re.compile(r"(?:newsboat|python-reader)/", re.IGNORECASE)
ASKERS_KEPT = 8192
_FEED = re.compile(
    r"(?:^|,)\s*feed\s*(?:;\s*q\s*=\s*(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)", re.IGNORECASE
)


class Deltas:
    """Remembers who was answered from which ETag. Safe among threads."""

    def __init__(self) -> None:
        self._answered: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, environ: dict[str, Any], held: Held, accepted: Sequence[Coding]) -> Answer | None:
        """The 226; None where the whole document is to be sent. To be asked when the client's ETag is not ours."""
        tags: str = environ.get("HTTP_IF_NONE_MATCH", "")
        agent: str = environ.get("HTTP_USER_AGENT", "")
        if not tags or not KNOWN_READERS.match(agent) or not _FEED.search(environ["HTTP_A_IM"]):
            return None
        for sent, tag in conditional.entity_tags(tags):
            base = tag.partition(".")[0]
            if base in held.former:
                answer = _delta(held, base, accepted[0])
                if answer is None or self._asked_before(environ, agent, held, tags):
                    return None
                return replace(answer, ok=[*answer.ok, ("Delta-Base", sent)])
        return None

    def _asked_before(self, environ: dict[str, Any], agent: str, held: Held, tags: str) -> bool:
        asker = (
            environ.get("HTTP_X_FORWARDED_FOR", ""),
            environ.get("REMOTE_ADDR", ""),
            agent,
            held.address.path,
            tags,
        )
        with self._lock:
            if asker in self._answered:
                self._answered.move_to_end(asker)
                return True
            self._answered[asker] = None
            if len(self._answered) > ASKERS_KEPT:
                self._answered.popitem(last=False)
        return False


def _delta(held: Held, base: str, coding: Coding) -> Answer | None:
    """What is new since that version; None if that is nothing (a story left the feed) or everything."""
    key = (base, coding)
    if key not in held.deltas:
        held.deltas[key] = _made(held, base, coding)
    return held.deltas[key]


def _made(held: Held, base: str, coding: Coding) -> Answer | None:
    prints = held.former[base]
    known = {prints[at : at + feeds.FINGERPRINT] for at in range(0, len(prints), feeds.FINGERPRINT)}
    document = held.document.body
    delta, entries = feeds.unknown(document, held.address.fmt, known)
    if not entries or len(delta) == len(document):
        return None
    body = compress(delta, coding, best=False)
    dropped = {"Content-Length", "Accept-Ranges", "Vary", "Cache-Control", "CDN-Cache-Control"}
    kept = [(name, value) for name, value in held.answer(coding).ok if name not in dropped]
    own = [
        ("Content-Length", str(len(body))),
        ("IM", "feed"),
        # For this client alone: no cache may give it to others.
        ("Cache-Control", "no-store, im"),
        ("Vary", "A-IM, If-None-Match, Accept-Encoding"),
    ]
    return Answer([body], [*kept, *own], [], best=True)
