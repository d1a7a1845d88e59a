"""Answers of what is not in the document cache: pages, archives, lists, sitemaps. In the forms that clients accept.

The headers are those of docs/serving.md, as the middleware gives them for documents.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from cachetools import LRUCache
from flask import Response, request
from werkzeug.datastructures import Headers

from service.http.problems import Problem
from service.serving import conditional
from service.serving.accept_encoding import IDENTITY, acceptable
from service.serving.cached_document import CACHE_CONTROL, EXPOSED_HEADERS, entity_tag
from service.serving.compression import Coding, compress

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Bytes of compressed forms that a process keeps of such answers.
FORM_CACHE_BYTES = 16 << 20


@dataclass(frozen=True)
class Content:
    """The bytes of an answer, and their version. `etag` is of the bytes, without quotes."""

    body: bytes
    content_type: str
    etag: str
    modified_at: datetime | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class _FormCache:
    """Compressed forms by ETag, bounded by their bytes. Safe among threads."""

    def __init__(self, limit: int = FORM_CACHE_BYTES) -> None:
        self._forms: LRUCache[tuple[str, Coding], bytes] = LRUCache(limit, len)
        self._lock = threading.Lock()

    def form(self, content: Content, coding: Coding) -> bytes:
        if coding == IDENTITY:
            return content.body
        with self._lock:
            found = self._forms.get((content.etag, coding))
        if found is None:
            found = compress(content.body, coding, best=False)
            with self._lock, suppress(ValueError):  # larger than the whole cache
                self._forms[content.etag, coding] = found
        return found


_FORMS = _FormCache()


def public_headers() -> dict[str, str]:
    """The headers of every public answer."""
    return {
        "Cache-Control": CACHE_CONTROL,
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        "Vary": "Accept-Encoding",
    }


def answer(content: Content) -> Response:
    """The document in a form that the client accepts, or a 304 if it has it."""
    accepted = acceptable(request.headers.get("Accept-Encoding"))
    if not accepted:
        words = "Accept-Encoding refuses every form that there is: br, zstd, gzip, identity"
        raise Problem(406, "not-acceptable", words, headers={"Vary": "Accept-Encoding"})
    modified = {}
    if content.modified_at is not None:
        modified["Last-Modified"] = format_datetime(content.modified_at.astimezone(UTC), usegmt=True)
    headers = {**public_headers(), **modified, **content.headers}
    held = _coding_of_client(content, accepted)
    coding = held or accepted[0]
    headers["ETag"] = entity_tag(content.etag, coding)
    if held is not None:
        return _NotModified(status=304, headers=headers)
    if coding != IDENTITY:
        headers["Content-Encoding"] = coding
    return Response(_FORMS.form(content, coding), content_type=content.content_type, headers=headers)


class _NotModified(Response):
    """A 304 with Last-Modified, which Werkzeug would remove: some readers store only the last headers they got."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        headers = super().get_wsgi_headers(environ)
        if "Last-Modified" in self.headers:
            headers["Last-Modified"] = self.headers["Last-Modified"]
        return headers


def _coding_of_client(content: Content, accepted: tuple[Coding, ...]) -> Coding | None:
    """The form that the client has; None if it has none. If-None-Match beats If-Modified-Since (RFC 9110, 13.2.2)."""
    tags = request.headers.get("If-None-Match")
    if tags is None:
        since = request.headers.get("If-Modified-Since")
        moment = content.modified_at
        same = since is not None and moment is not None and conditional.is_same_moment(since, moment)
        return accepted[0] if same else None
    if tags.strip() == "*":
        return accepted[0]
    ours = {entity_tag(content.etag, each).removeprefix("W/").strip('"'): each for each in accepted}
    ours[content.etag] = IDENTITY
    return next((ours[tag] for _, tag in conditional.entity_tags(tags) if tag in ours), None)
