"""The feeds, as readers fetch them: validators that move only with the bytes, 304s, HEAD, and no cookies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from flask import Blueprint, Response, request
from werkzeug.datastructures import Headers

from feeds import CONTENT_TYPES, FORMATS
from service.problems import Problem
from service.store import documents, sections
from service.store.documents import Document
from service.store.record import Record
from service.store.sections import ALL

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_CACHE = "public, max-age=60, s-maxage=300, stale-while-revalidate=600, stale-if-error=86400"
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


def create_blueprint(record: Record, public_url: str) -> Blueprint:
    blueprint = Blueprint("feeds", __name__)

    @blueprint.get("/feeds/<slug>.<fmt>")
    def get_feed(slug: str, fmt: str) -> Response:
        """A section's feed, or `all`, as rss, atom or json."""
        if fmt not in FORMATS:
            raise Problem(
                404, "not-found", f"there is no feed format {fmt!r}; there are {', '.join(FORMATS)}"
            )
        document = documents.get_document(record, slug, fmt)
        if document is None:
            raise _missing(record, slug)
        return _serve(document, fmt, f"{public_url}/feeds/{slug}.{fmt}")

    @blueprint.get("/feeds.opml")
    def get_opml() -> Response:
        """All feeds as OPML 2.0."""
        body = _opml(record, public_url).encode()
        etag = hashlib.sha256(body).hexdigest()[:32]
        return _answer(body, "text/x-opml; charset=utf-8", etag, {})

    return blueprint


def _missing(record: Record, slug: str) -> Problem:
    known = [each.slug for each in sections.all_sections(record)]
    if slug in {*known, ALL} and known:
        words = f"the feed {slug!r} is being built for the first time"
        return Problem(503, "not-built", words, headers={"Retry-After": "2"})
    return Problem(404, "not-found", f"there is no feed {slug!r}; there are {', '.join([*known, ALL])}")


def _shared() -> dict[str, str]:
    return {
        "Cache-Control": _CACHE,
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "ETag, Last-Modified, Link",
    }


def _serve(document: Document, fmt: str, url: str) -> Response:
    headers = {
        "Last-Modified": format_datetime(document.modified_at.astimezone(UTC), usegmt=True),
        "Link": f'<{url}>; rel="self"',
    }
    return _answer(document.body, CONTENT_TYPES[fmt], document.etag, headers, document.modified_at)


def _answer(
    body: bytes,
    content_type: str,
    etag: str,
    headers: Mapping[str, str],
    modified_at: datetime | None = None,
) -> Response:
    """The document, or a 304 to who has it."""
    headers = {**_shared(), **headers, "ETag": f'"{etag}"'}
    if _unchanged(etag, modified_at):
        return _NotModified(status=304, headers=headers)
    return Response(body, content_type=content_type, headers=headers)


class _NotModified(Response):
    """A 304 that keeps Last-Modified, which Werkzeug would take away: some readers keep only what came last."""

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        headers = super().get_wsgi_headers(environ)
        if "Last-Modified" in self.headers:
            headers["Last-Modified"] = self.headers["Last-Modified"]
        return headers


def _unchanged(etag: str, modified_at: datetime | None) -> bool:
    """If-None-Match, compared weakly, beats If-Modified-Since (RFC 9110, 13.2.2)."""
    tags = request.headers.get("If-None-Match")
    if tags is not None:
        return tags.strip() == "*" or any(_same(tag, etag) for tag in _TAG.findall(tags))
    since = _moment(request.headers.get("If-Modified-Since"))
    return since is not None and modified_at is not None and modified_at <= since


def _same(tag: str, etag: str) -> bool:
    # Proxies mark the tag with the encoding that they applied.
    return tag == etag or tag.removesuffix("-gzip").removesuffix(";br").removesuffix("-br") == etag


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _opml(record: Record, public_url: str) -> str:
    feeds = [(ALL, "All sections"), *((each.slug, each.title) for each in sections.all_sections(record))]
    lines = [
        f'    <outline type="rss" text={quoteattr(title)} title={quoteattr(title)} version="RSS2"'
        f" xmlUrl={quoteattr(f'{public_url}/feeds/{slug}.rss')} htmlUrl={quoteattr(f'{public_url}/')}/>"
        for slug, title in feeds
    ]
    outlines = "\n".join(lines)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<opml version="2.0">\n  <head><title>Feeds</title></head>\n'
        f"  <body>\n{outlines}\n  </body>\n</opml>\n"
    )
