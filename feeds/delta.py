"""A document with only the entries that its reader does not have: the body of a 226 (RFC 3229, `feed`)."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from hashlib import blake2b

from feeds.model import Format

FINGERPRINT = 8  # bytes

# The content of a CDATA section is text, even if it looks like an element.
_MARKS = {
    "rss": re.compile(rb"<!\[CDATA\[.*?\]\]>|(<item[ >])|(</item>)", re.DOTALL),
    "atom": re.compile(rb"<!\[CDATA\[.*?\]\]>|(<entry[ >])|(</entry>)", re.DOTALL),
}


def fingerprints(document: bytes, fmt: Format) -> frozenset[bytes]:
    """FINGERPRINT bytes of each entry, a hash of all its bytes."""
    return frozenset(map(_fingerprint, _parts(document, fmt)[1]))


def without_known(document: bytes, fmt: Format, known: Container[bytes]) -> tuple[bytes, int]:
    """The document without the entries whose fingerprints are known, and the number of those that are left."""
    head, entries, tail = _parts(document, fmt)
    left = [entry for entry in entries if _fingerprint(entry) not in known]
    return head + (b",\n" if fmt == "json" else b"").join(left) + tail, len(left)


def _fingerprint(entry: bytes) -> bytes:
    return blake2b(entry, digest_size=FINGERPRINT).digest()


def _parts(document: bytes, fmt: Format) -> tuple[bytes, Sequence[bytes], bytes]:
    """A document of `feeds.document` as head, entries, tail."""
    if fmt == "json":
        return _json_parts(document)
    spans: list[tuple[int, int]] = []
    start = 0
    for mark in _MARKS[fmt].finditer(document):
        if mark.group(1):
            start = mark.start()
        elif mark.group(2):
            spans.append((start, mark.end()))
    if not spans:
        return document, (), b""
    entries = [document[first:last] for first, last in spans]
    return document[: spans[0][0]], entries, document[spans[-1][1] :]


def _json_parts(document: bytes) -> tuple[bytes, Sequence[bytes], bytes]:
    """Each item is a line: no line feed can be inside one."""
    first, last = document.index(b"\n") + 1, document.rindex(b"\n]}")
    entries = document[first:last].split(b",\n") if first < last else ()
    return document[:first], entries, document[last:]
