"""Refusals as RFC 9457 problem details: the fault, its place, and the remedy. A refusal changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict
from werkzeug.exceptions import HTTPException

from service import logs
from service.http.credentials import hide_feed_tokens
from service.store.errors import RecordUnavailable

log = logs.get("http")

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = 2

# Every refusal: (status, kind, words). The kinds are the anchors of /docs and the problems' `type`.
PROBLEMS: tuple[tuple[int, str, str], ...] = (
    (400, "not-json", "The body is not JSON in UTF-8, or is no object, or names a key twice."),
    (400, "idempotency-key", "An idempotency key has 1 to 200 printable ASCII characters."),
    (400, "query", "A parameter of the address is missing or wrong."),
    (400, "bad-request", "The request is not valid HTTP."),
    (401, "unauthenticated", "No key, an unknown key, or a signature that does not verify."),
    (403, "not-yours", "The key is good, but not for this."),
    (404, "not-found", "There is nothing of that name."),
    (405, "method-not-allowed", "The address is right, the method is not: see Allow."),
    (406, "not-acceptable", "Accept-Encoding refuses every form of the feed, the plain one too."),
    (408, "too-slow", "The head or the body of the request did not come in time: send it again."),
    (
        409,
        "key-reused",
        "The idempotency key was used for another body. Each new body needs a key of its own.",
    ),
    (410, "closed", "The feed was closed and will not come back."),
    (
        410,
        "revoked",
        "The address of a partner's own feed was replaced or revoked: ask the desk for a new one.",
    ),
    (413, "too-large", "An article may have 1 MiB at the most, other bodies less."),
    (415, "media-type", "Send application/json in UTF-8, without Content-Encoding."),
    (416, "range", "The feed is shorter than the range asked for: see Content-Range."),
    (422, "invalid", "Fields are missing or wrong: `errors` names each with a JSON pointer."),
    (422, "adapter", "The source's adapter is not part of this version."),
    (429, "too-many", "Too many wrong tokens came from your address within a minute: see Retry-After."),
    (429, "over-share", "More came from this sender than its share while others wait: see Retry-After."),
    (431, "head-too-large", "The head of a request may have 32 KiB and 100 headers."),
    (500, "unexpected", "A fault of ours; the number in it helps the operator find it."),
    (
        503,
        "record-unavailable",
        "The record is away or busy. Nothing was accepted: send it again, see Retry-After.",
    ),
    (
        503,
        "overloaded",
        "More came than can be answered. Nothing was accepted: send it again, see Retry-After.",
    ),
    (503, "not-built", "The feed is being built for the first time; see Retry-After."),
)


class FieldError(BaseModel):
    """A fault of one field of the body."""

    pointer: str
    """A JSON pointer to the field."""
    detail: str

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ProblemDetails(BaseModel):
    """A refusal as it is sent (RFC 9457). `errors` is absent unless fields are at fault."""

    type: str
    """The address of its paragraph in /docs."""
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Problem(Exception):
    """A refusal. `errors`: (JSON pointer into the body, the fault there). `register` makes a response of it."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: Iterable[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        details = ProblemDetails(
            type=f"/docs#problem-{self.kind}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=[FieldError(pointer=pointer, detail=detail) for pointer, detail in self.errors],
        )
        body = details.model_dump_json(exclude_defaults=True)
        response = Response(body, self.status, {"Cache-Control": "no-store", **self.headers})
        response.content_type = CONTENT_TYPE
        return response


def register(app: Flask) -> None:
    """Answers every refusal and fault with a problem. The status pages have a page for it instead."""
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(RecordUnavailable, _record_away)
    app.register_error_handler(Exception, _unexpected)


def _problem(problem: Problem) -> Response:
    return problem.response()


def _http(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    kind = _KINDS.get(error.code) or HTTPStatus(error.code).phrase.lower().replace(" ", "-")
    return Problem(error.code, kind, _words(error), headers=headers).response()


_KINDS = {413: "too-large", 415: "media-type"}


def _words(error: HTTPException) -> str:
    if error.code == 404:
        return f"there is nothing at {_path()}; /docs lists what there is"
    if error.code == 405:
        return f"{request.method} is not possible here"
    return error.description or error.name


def _record_away(error: RecordUnavailable) -> Response:
    note_record_away(error)
    words = "the record cannot be reached or is busy; nothing was accepted: send it again"
    headers = {"Retry-After": str(RETRY_SECONDS)}
    return Problem(503, "record-unavailable", words, headers=headers).response()


def note_record_away(error: RecordUnavailable) -> None:
    log.warning("record.unavailable", path=_path(), error=str(error))


def _unexpected(error: Exception) -> Response:
    number = note_unexpected(error)
    words = f"something went wrong on our side; tell the operator this number: {number}"
    return Problem(500, "unexpected", words).response()


def note_unexpected(error: Exception) -> str:
    """Logs a fault of ours; returns the number by which the operator finds it in the log."""
    number = secrets.token_hex(4)
    log.error("request.failed", number=number, path=_path(), exc_info=error)
    return number


def _path() -> str:
    return hide_feed_tokens(request.path)
