"""WSGI middleware ahead of Flask: answers for the documents of feeds from memory, and passes all else on.

For each request it reads the environment and chooses among answers that are made already. docs/serving.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication

from service import logs
from service.http.problems import Problem
from service.serving import conditional
from service.serving.accept_encoding import IDENTITY, acceptable
from service.serving.cached_document import (
    EXPOSED_HEADERS,
    CachedDocument,
    DocumentAddress,
    Headers,
    Representation,
)
from service.serving.compression import Coding
from service.serving.deltas import Deltas
from service.serving.document_cache import DocumentCache
from service.store.errors import RecordUnavailable

Environ = dict[str, Any]
# The headers that decide which representation is selected.
SELECTING_HEADERS = ("Accept-Encoding", "If-None-Match", "If-Modified-Since", "A-IM", "Range")

log = logs.get("serving")

METHODS = "GET, HEAD, OPTIONS"
_CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED_HEADERS}
_PREFLIGHT = [
    *_CORS.items(),
    ("Allow", METHODS),
    ("Access-Control-Allow-Methods", METHODS),
    ("Access-Control-Allow-Headers", "A-IM, If-Modified-Since, If-None-Match, If-Range, Range"),
    ("Access-Control-Max-Age", "86400"),
]


class Selection(NamedTuple):
    """The selected representation of a document (RFC 9110, 3.2), and whether the client has it already.

    It is the answer for as long as the document has this representation.
    """

    cached: CachedDocument
    coding: Coding
    representation: Representation
    not_modified: bool

    @property
    def status(self) -> str:
        return "304 Not Modified" if self.not_modified else "200 OK"

    @property
    def headers(self) -> Headers:
        representation = self.representation
        return representation.not_modified_headers if self.not_modified else representation.ok_headers

    @property
    def body(self) -> list[bytes]:
        return [] if self.not_modified else self.representation.body


class FeedMiddleware:
    """A WSGI application. If there is no document, it passes the request on to `app`, which explains why."""

    def __init__(self, app: WSGIApplication, documents: DocumentCache) -> None:
        self._app = app
        self._documents = documents
        self._deltas = Deltas()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        documents = self._documents
        cached = documents.ready.get(environ["PATH_INFO"]) or self._fetch(environ)
        if cached is None:
            return self._app(environ, start)
        cached.note_request(documents.refreshes)
        method = environ["REQUEST_METHOD"]
        if method not in {"GET", "HEAD"}:
            return _answer_method(method, environ, start)
        accepted = acceptable(environ.get("HTTP_ACCEPT_ENCODING"))
        if not accepted:
            return _refuse_encodings(environ, start)
        chosen = _choose(environ, cached, accepted)
        if chosen is None:
            return self._answer_part(environ, start, cached, accepted)
        coding, not_modified = chosen
        selection = Selection(cached, coding, cached.representation(coding), not_modified)
        start(selection.status, selection.headers)
        return selection.body if method == "GET" else []

    def select(self, environ: Environ) -> Selection | None:
        """The answer of a call, if it is in memory; None if a call may take time or answers otherwise.

        Neither reads the record nor compresses, so that an event loop may call it. Of the environment it needs the
        method, the path, and the `SELECTING_HEADERS`.
        """
        cached = self._documents.ready.get(environ["PATH_INFO"])
        if cached is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return None
        accepted = acceptable(environ.get("HTTP_ACCEPT_ENCODING"))
        chosen = _choose(environ, cached, accepted) if accepted else None
        if chosen is None:
            return None
        representation = cached.representations.get(chosen[0])
        if representation is None:
            return None
        cached.note_request(self._documents.refreshes)
        return Selection(cached, chosen[0], representation, chosen[1])

    def _answer_part(
        self, environ: Environ, start: StartResponse, cached: CachedDocument, accepted: tuple[Coding, ...]
    ) -> Iterable[bytes]:
        """The entries that are new to the client, or the range that it asks for; the whole if neither is possible."""
        delta = self._deltas.find(environ, cached, accepted) if "HTTP_A_IM" in environ else None
        if delta is not None:
            start("226 IM Used", delta.ok_headers)
            return delta.body
        if "HTTP_RANGE" in environ and accepted[0] == IDENTITY:
            return _answer_range(environ, start, cached)
        whole = cached.representation(accepted[0])
        start("200 OK", whole.ok_headers)
        return whole.body

    def _fetch(self, environ: Environ) -> CachedDocument | None:
        address = DocumentAddress.of_path(environ["PATH_INFO"])
        if address is None:
            return None
        try:
            return self._documents.fetch(address)
        except RecordUnavailable as error:
            log.warning(
                "document.unavailable", path=quote(f"/feeds/{address.slug}.{address.fmt}"), error=str(error)
            )
            return None


def _choose(
    environ: Environ, cached: CachedDocument, accepted: Sequence[Coding]
) -> tuple[Coding, bool] | None:
    """The coding, and whether the client has the document in it; None if the request asks for a part."""
    coding = cached.client_coding(environ, accepted)
    if coding is not None:
        return coding, True
    if environ["REQUEST_METHOD"] == "GET" and ("HTTP_A_IM" in environ or "HTTP_RANGE" in environ):
        return None
    return accepted[0], False


def _answer_range(environ: Environ, start: StartResponse, cached: CachedDocument) -> Iterable[bytes]:
    plain = cached.representation(IDENTITY)
    body = plain.body[0]
    condition = environ.get("HTTP_IF_RANGE")
    current = condition is None or condition in {cached.etag(IDENTITY), cached.modified}
    try:
        part = conditional.byte_range(environ["HTTP_RANGE"], len(body)) if current else None
    except conditional.Unsatisfiable:
        headers = {"Content-Range": f"bytes */{len(body)}"}
        words = f"the document has {len(body)} bytes: none of them is in that range"
        return _refuse(Problem(416, "range", words, headers=headers), environ, start)
    if part is None:
        start("200 OK", plain.ok_headers)
        return plain.body
    headers_of_part = [
        *(each for each in plain.ok_headers if each[0] != "Content-Length"),
        ("Content-Length", str(part.stop - part.start)),
        ("Content-Range", f"bytes {part.start}-{part.stop - 1}/{len(body)}"),
    ]
    start("206 Partial Content", headers_of_part)
    return [body[part]]


def _answer_method(method: str, environ: Environ, start: StartResponse) -> Iterable[bytes]:
    if method == "OPTIONS":
        start("204 No Content", _PREFLIGHT)
        return []
    words = f"{method} is not possible here: a feed is read"
    problem = Problem(405, "method-not-allowed", words, headers={"Allow": METHODS})
    return _refuse(problem, environ, start)


def _refuse_encodings(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    words = "Accept-Encoding refuses every form that there is: br, zstd, gzip, identity"
    headers = {"Vary": "Accept-Encoding"}
    return _refuse(Problem(406, "not-acceptable", words, headers=headers), environ, start)


def _refuse(problem: Problem, environ: Environ, start: StartResponse) -> Iterable[bytes]:
    problem.headers.update({**_CORS, "X-Content-Type-Options": "nosniff"})
    return problem.response()(environ, start)
