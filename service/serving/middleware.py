"""Ahead of Flask: answers for the documents of feeds from memory, and hands on all else.

What is done per request is to look into the environment and choose among answers that are made. docs/serving.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from wsgiref.types import StartResponse, WSGIApplication

from service import logs
from service.http.problems import Problem
from service.serving import conditional
from service.serving.accept_encoding import IDENTITY, acceptable
from service.serving.cached_document import EXPOSED, Address, Answer, Headers, Held
from service.serving.compression import Coding
from service.serving.deltas import Deltas
from service.serving.document_cache import Shelf
from service.store.errors import RecordUnavailable

Environ = dict[str, Any]
# The headers that decide what stands.
READ = ("Accept-Encoding", "If-None-Match", "If-Modified-Since", "A-IM", "Range")

log = logs.get("serving")

METHODS = "GET, HEAD, OPTIONS"
_CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": EXPOSED}
_PREFLIGHT = [
    *_CORS.items(),
    ("Allow", METHODS),
    ("Access-Control-Allow-Methods", METHODS),
    ("Access-Control-Allow-Headers", "A-IM, If-Modified-Since, If-None-Match, If-Range, Range"),
    ("Access-Control-Max-Age", "86400"),
]


class Standing(NamedTuple):
    """An answer that stands for as long as the document does, in this form: all of it, or that the client has it."""

    held: Held
    coding: Coding
    answer: Answer
    unchanged: bool

    @property
    def status(self) -> str:
        return "304 Not Modified" if self.unchanged else "200 OK"

    @property
    def headers(self) -> Headers:
        return self.answer.unchanged if self.unchanged else self.answer.ok

    @property
    def body(self) -> list[bytes]:
        return [] if self.unchanged else self.answer.body


class Front:
    """A WSGI application. What it has no document for, it gives to `behind`: that tells why there is none."""

    def __init__(self, behind: WSGIApplication, shelf: Shelf) -> None:
        self._behind = behind
        self._shelf = shelf
        self._deltas = Deltas()

    def __call__(self, environ: Environ, start: StartResponse) -> Iterable[bytes]:
        shelf = self._shelf
        held = shelf.ready.get(environ["PATH_INFO"]) or self._fetched(environ)
        if held is None:
            return self._behind(environ, start)
        held.used = shelf.looks
        method = environ["REQUEST_METHOD"]
        if method not in {"GET", "HEAD"}:
            return _other_method(method, environ, start)
        accepted = acceptable(environ.get("HTTP_ACCEPT_ENCODING"))
        if not accepted:
            return _not_acceptable(environ, start)
        wanted = _wanted(environ, held, accepted)
        if wanted is None:
            return self._part(environ, start, held, accepted)
        coding, unchanged = wanted
        standing = Standing(held, coding, held.answer(coding), unchanged)
        start(standing.status, standing.headers)
        return standing.body if method == "GET" else []

    def at_once(self, environ: Environ) -> Standing | None:
        """What a call would answer, if that is made and stands; None if a call may take its time or answers otherwise.

        Neither reads nor compresses, so that it may be asked where nothing may wait. Of the environment it needs the
        method, the path, and the headers in `READ`.
        """
        held = self._shelf.ready.get(environ["PATH_INFO"])
        if held is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return None
        accepted = acceptable(environ.get("HTTP_ACCEPT_ENCODING"))
        wanted = _wanted(environ, held, accepted) if accepted else None
        if wanted is None:
            return None
        answer = held.answers.get(wanted[0])
        if answer is None:
            return None
        held.used = self._shelf.looks
        return Standing(held, wanted[0], answer, wanted[1])

    def _part(
        self, environ: Environ, start: StartResponse, held: Held, accepted: tuple[Coding, ...]
    ) -> Iterable[bytes]:
        """What is new to the client, or the range that it asks for; where neither can be told, all of it."""
        delta = self._deltas.answer(environ, held, accepted) if "HTTP_A_IM" in environ else None
        if delta is not None:
            start("226 IM Used", delta.ok)
            return delta.body
        if "HTTP_RANGE" in environ and accepted[0] == IDENTITY:
            return _ranged(environ, start, held)
        answer = held.answer(accepted[0])
        start("200 OK", answer.ok)
        return answer.body

    def _fetched(self, environ: Environ) -> Held | None:
        address = Address.of_path(environ["PATH_INFO"])
        if address is None:
            return None
        try:
            return self._shelf.fetch(address)
        except RecordUnavailable as error:
            log.warning("document.unavailable", path=address.path, error=str(error))
            return None


def _wanted(environ: Environ, held: Held, accepted: Sequence[Coding]) -> tuple[Coding, bool] | None:
    """The form to answer from, and whether the client has it; None if it asks for a part."""
    has = held.client_has(environ, accepted)
    if has is not None:
        return has, True
    if environ["REQUEST_METHOD"] == "GET" and ("HTTP_A_IM" in environ or "HTTP_RANGE" in environ):
        return None
    return accepted[0], False


def _ranged(environ: Environ, start: StartResponse, held: Held) -> Iterable[bytes]:
    answer = held.answer(IDENTITY)
    body = answer.body[0]
    condition = environ.get("HTTP_IF_RANGE")
    unmoved = condition is None or condition in {held.etag(IDENTITY), held.modified}
    try:
        part = conditional.byte_range(environ["HTTP_RANGE"], len(body)) if unmoved else None
    except conditional.Unsatisfiable:
        headers = {"Content-Range": f"bytes */{len(body)}"}
        words = f"the document has {len(body)} bytes: none of them is in that range"
        return _problem(Problem(416, "range", words, headers=headers), environ, start)
    if part is None:
        start("200 OK", answer.ok)
        return answer.body
    kept = [(name, value) for name, value in answer.ok if name != "Content-Length"]
    told = ("Content-Range", f"bytes {part.start}-{part.stop - 1}/{len(body)}")
    start("206 Partial Content", [*kept, ("Content-Length", str(part.stop - part.start)), told])
    return [body[part]]


def _other_method(method: str, environ: Environ, start: StartResponse) -> Iterable[bytes]:
    if method == "OPTIONS":
        start("204 No Content", _PREFLIGHT)
        return []
    problem = Problem(
        405,
        "method-not-allowed",
        f"{method} is not possible here: a feed is read",
        headers={"Allow": METHODS},
    )
    return _problem(problem, environ, start)


def _not_acceptable(environ: Environ, start: StartResponse) -> Iterable[bytes]:
    words = "Accept-Encoding refuses all that there is: br, zstd, gzip, identity"
    headers = {"Vary": "Accept-Encoding"}
    return _problem(Problem(406, "not-acceptable", words, headers=headers), environ, start)


def _problem(problem: Problem, environ: Environ, start: StartResponse) -> Iterable[bytes]:
    problem.headers.update({**_CORS, "X-Content-Type-Options": "nosniff"})
    return problem.response()(environ, start)
