"""Partners' own feeds over HTTP: by a token in the address, each fetch written into the record before its answer.

Not ahead of Flask and not from memory alone, as the public feeds are: the evidence is the point of these addresses, so
without the record there is no answer. docs/decisions/0008.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers as WireHeaders

import feeds
from service import logs
from service.http import credentials
from service.http.problems import Problem
from service.serving.accept_encoding import acceptable
from service.serving.cached_document import Headers, links
from service.serving.edition_cache import Cabinet
from service.store.database.record import Record
from service.store.feeds import fetches
from service.store.feeds.fetches import Fetch, FetchTarget

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logs.get("serving")

PATH = "/partner/feeds/<token>.<fmt>"
# Said alike of what never was and of what is mistyped: whoever guesses learns nothing.
_NOTHING = "there is no such feed; its address has to be copied whole, as the desk gave it"


def create_blueprint(record: Record, public_url: str, clock: Callable[[], datetime]) -> Blueprint:
    blueprint = Blueprint("partner_feeds", __name__)
    cabinet = Cabinet(record)

    @blueprint.get(PATH)
    def get_partner_feed(token: str, fmt: str) -> Response:
        """A partner's own feed as rss, atom or json, for whoever has its address."""
        form = next((each for each in feeds.FORMATS if each == fmt), None)
        digest = credentials.read_feed_token(token)
        addressed = fetches.find(record, digest, fmt) if form and digest else None
        if addressed is None or form is None:
            raise _private(404, "not-found", _NOTHING)
        _refuse_ended(record, addressed, clock())
        kept = cabinet.take(addressed, form)
        if kept is None:
            words = "this feed is being built for the first time"
            raise _private(503, "not-built", words, {"Retry-After": "2"})
        accepted = acceptable(request.headers.get("Accept-Encoding"))
        if not accepted:
            words = "Accept-Encoding refuses all that there is: br, zstd, gzip, identity"
            raise _private(406, "not-acceptable", words, {"Vary": "Accept-Encoding"})
        has = kept.held.client_has(request.environ, accepted)
        answer = kept.held.answer(has or accepted[0])
        fetch = Fetch(request.method, fmt, 304 if has else 200, request.headers.get("User-Agent"))
        if not fetches.note(record, addressed, kept.edition, fetch, clock()):
            raise _ended("revoked")
        log.info(
            "feed.fetched",
            feed=addressed.slug,
            address=addressed.token,
            method=fetch.method,
            format=fmt,
            status=fetch.status,
            etag=kept.edition.document.etag,
        )
        own = ("Link", links(f"{public_url}/partner/feeds/{token}", form))
        if has:
            return _answer(b"", 304, [*answer.unchanged, own])
        return _answer(answer.body[0], 200, [*answer.ok, own])

    return blueprint


def _refuse_ended(record: Record, addressed: FetchTarget, now: datetime) -> None:
    revoked = addressed.revoked_at is not None
    if revoked or (addressed.until is not None and addressed.until <= now):
        fetches.note_refused(record, addressed, now)
        raise _ended("revoked" if revoked else "replaced by a new one")


def _ended(what: str) -> Problem:
    return _private(410, "revoked", f"this address was {what} and will not come back: ask the desk")


def _private(status: int, kind: str, words: str, headers: Mapping[str, str] | None = None) -> Problem:
    return Problem(status, kind, words, headers={"X-Robots-Tag": "noindex", **(headers or {})})


class _Exact(Response):
    """An answer with the headers that it was given, and no others: Werkzeug would take some from a 304."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> WireHeaders:
        headers = super().get_wsgi_headers(environ)
        headers.clear()
        headers.extend(self.headers)
        return headers


def _answer(body: bytes, status: int, headers: Headers) -> Response:
    response = _Exact(body, status)
    response.headers.clear()
    response.headers.extend(headers)
    return response
