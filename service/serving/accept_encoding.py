"""Accept-Encoding: the content codings that a request accepts. RFC 9110, 12.5.3."""

from __future__ import annotations

from functools import lru_cache

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from service.serving.compression import Coding

IDENTITY: Coding = "identity"
# The order for a request that likes several equally: the smallest first, the plain bytes last.
CODINGS: tuple[Coding, ...] = ("br", "zstd", "gzip", IDENTITY)

# No client sends a longer header, so the result of reading one is not worth its memory.
_LONGEST_REMEMBERED = 200


def acceptable(header: str | None) -> tuple[Coding, ...]:
    """The codings that an Accept-Encoding header accepts, the best first. Empty if it refuses even the plain bytes.

    A request without the header gets the plain bytes, because such clients are old. Parts that are not understood
    are ignored.
    """
    if header is None:
        return (IDENTITY,)
    return _remembered(header) if len(header) <= _LONGEST_REMEMBERED else _parse(header)


def _parse(header: str) -> tuple[Coding, ...]:
    accepted = parse_accept_header(header.lower().replace("x-gzip", "gzip"), Accept)
    weights = {coding: accepted.quality(coding) for coding in CODINGS}
    if accepted.find(IDENTITY) < 0:
        # Neither it nor * was named: it is accepted, but comes after everything that was named.
        weights[IDENTITY] = 0.0001
    return tuple(sorted((c for c in CODINGS if weights[c] > 0), key=lambda coding: -weights[coding]))


_remembered = lru_cache(maxsize=512)(_parse)
