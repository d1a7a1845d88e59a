"""Content codings of documents, and the cost of each. RFC 9110, 8.4.1; RFC 7932, RFC 8878."""

from __future__ import annotations

import gzip
from typing import Literal

import brotli
import zstandard

Coding = Literal["br", "zstd", "gzip", "identity"]

# Endings of the files of a document, as nginx's gzip_static, brotli_static and zstd_static want them.
SUFFIXES: dict[Coding, str] = {"identity": "", "gzip": ".gz", "br": ".br", "zstd": ".zst"}


def compress(body: bytes, coding: Coding, *, best: bool) -> bytes:
    """The body in this coding; the same bytes for the same input. Other threads run meanwhile.

    Fast compression takes under ten milliseconds for a feed, so that a client can wait for it. The best takes up to
    half a second.
    """
    if coding == "br":
        return bytes(brotli.compress(body, mode=brotli.MODE_TEXT, quality=11 if best else 5))
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=19 if best else 3).compress(body)
    if coding == "gzip":
        return gzip.compress(body, 9 if best else 6, mtime=0)
    return body
