"""If-None-Match, If-Modified-Since and Range of a request. RFC 9110, 13 and 14.

Read here and not by Werkzeug, for the reasons in docs/decisions/0011.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from service import times

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
# Servers in between that compress add a mark to the tag that they were given: "abc-gzip", "abc;br", "abc--gzip".
_MARK = re.compile(r"(?:--?|;)(?:gzip|br|zstd|deflate)$")
_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*$", re.IGNORECASE)


class Unsatisfiable(Exception):
    """No byte of the document is in the range."""


def entity_tags(header: str) -> Iterator[tuple[str, str]]:
    """The tags of an If-None-Match, each as it was sent and without W/, quotes and the marks of servers in between."""
    for tag in _TAG.finditer(header):
        yield tag.group(), _MARK.sub("", tag.group(1))


def has_tag(header: str, etag: str) -> bool:
    """Whether an If-None-Match names this tag (given without quotes), by weak comparison."""
    return header.strip() == "*" or any(tag == etag for _, tag in entity_tags(header))


def is_same_moment(header: str, modified_at: datetime) -> bool:
    """Whether an If-Modified-Since is exactly this moment.

    No other time is one of ours: a client that invents a later one must not keep an old document for ever.
    """
    return times.from_http(header) == modified_at


def byte_range(header: str, length: int) -> slice | None:
    """The one range that is asked for; None means the whole document (several ranges, another unit).

    Raises Unsatisfiable.
    """
    match = _RANGE.match(header)
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0:
            raise Unsatisfiable
        return slice(max(length - int(last), 0), length)
    if last and int(last) < int(first):
        return None
    if int(first) >= length:
        raise Unsatisfiable
    return slice(int(first), min(int(last) + 1, length) if last else length)
