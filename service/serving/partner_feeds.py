"""Partners' own feeds over HTTP: found by a token in the address, each fetch recorded before it is answered.

Unlike the public feeds they are not answered ahead of Flask and from memory alone: these addresses exist for the
evidence, so without the record there is no answer. docs/decisions/0008.
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
from service.serving.cached_document import Headers, format_links
from service.serving.edition_cache import EditionCache
from service.store.database.record import Record
from service.store.feeds import fetches
from service.store.feeds.fetches import Fetch, FetchTarget

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logs.get("serving")

PARTNER_FEED_PATH = "/partner/feeds/<token>.<fmt>"
# The same words for an address that never existed and for a mistyped one: guessing tells nothing.
_NO_SUCH_FEED = "there is no such feed; its address has to be copied whole, as the desk gave it"


def create_blueprint(record: Record, public_url: str, clock: Callable[[], datetime]) -> Blueprint:
    blueprint = Blueprint("partner_feeds", __name__)
    editions = EditionCache(record)

    @blueprint.get(PARTNER_FEED_PATH)
    def get_partner_feed(token: str, fmt: str) -> Response:
        """A partner's own feed as rss, atom or json, for every client that has its address."""
        form = next((each for each in feeds.FORMATS if each == fmt), None)
        digest = credentials.read_feed_token(token)
        addressed = fetches.find(record, digest, fmt) if form and digest else None
        if addressed is None or form is None:
            raise _private(404, "not-found", _NO_SUCH_FEED)
        _refuse_ended(record, addressed, clock())
        cached = editions.get(addressed, form)
        if cached is None:
            words = "this feed is being built for the first time"
            raise _private(503, "not-built", words, {"Retry-After": "2"})
        accepted = acceptable(request.headers.get("Accept-Encoding"))
        if not accepted:
            words = "Accept-Encoding refuses every form that there is: br, zstd, gzip, identity"
            raise _private(406, "not-acceptable", words, {"Vary": "Accept-Encoding"})
        coding = cached.document.client_coding(request.environ, accepted)
        representation = cached.document.representation(coding or accepted[0])
        fetch = Fetch(request.method, fmt, 304 if coding else 200, request.headers.get("User-Agent"))
        if not fetches.note(record, addressed, cached.edition, fetch, clock()):
            raise _ended("revoked")
        log.info(
            "feed.fetched",
            feed=addressed.slug,
            address=addressed.token,
            method=fetch.method,
            format=fmt,
            status=fetch.status,
            etag=cached.edition.document.etag,
        )
        own = ("Link", format_links(f"{public_url}/partner/feeds/{token}", form))
        if coding:
            return _answer(b"", 304, [*representation.not_modified_headers, own])
        return _answer(representation.body[0], 200, [*representation.ok_headers, own])

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


class _ExactResponse(Response):
    """A response with exactly the headers that are set on it: Werkzeug would remove some from a 304."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> WireHeaders:
        headers = super().get_wsgi_headers(environ)
        headers.clear()
        headers.extend(self.headers)
        return headers


def _answer(body: bytes, status: int, headers: Headers) -> Response:
    response = _ExactResponse(body, status)
    response.headers.clear()
    response.headers.extend(headers)
    return response
