"""What is asked of the feeds and is no document: why there is none, and the list of all feeds.

The documents themselves are answered ahead of Flask: service/serving.
"""

from __future__ import annotations

import hashlib
from xml.sax.saxutils import quoteattr

from flask import Blueprint, Response, request

from feeds import FORMATS
from service.problems import Problem
from service.serving import conditions
from service.serving.held import CACHE
from service.store import sections
from service.store.record import Record
from service.store.sections import ALL


def create_blueprint(record: Record, public_url: str) -> Blueprint:
    blueprint = Blueprint("feeds", __name__)

    @blueprint.get("/feeds/<path:slug>.<fmt>")
    def get_feed(slug: str, fmt: str) -> Response:
        """A section's feed, or `all`, as rss, atom or json. Here: only what there is no document of."""
        if fmt not in FORMATS:
            raise Problem(
                404, "not-found", f"there is no feed format {fmt!r}; there are {', '.join(FORMATS)}"
            )
        raise _missing(record, slug)

    @blueprint.get("/feeds.opml")
    def get_opml() -> Response:
        """All feeds as OPML 2.0."""
        body = _opml(record, public_url).encode()
        etag = hashlib.sha256(body).hexdigest()[:32]
        headers = {"ETag": f'"{etag}"', "Cache-Control": CACHE, "Access-Control-Allow-Origin": "*"}
        if conditions.names(request.headers.get("If-None-Match", ""), etag):
            return Response(status=304, headers=headers)
        return Response(body, content_type="text/x-opml; charset=utf-8", headers=headers)

    return blueprint


def _missing(record: Record, slug: str) -> Problem:
    known = [each.slug for each in sections.all_sections(record)]
    if slug in {*known, ALL} and known:
        words = f"the feed {slug!r} is being built for the first time"
        return Problem(503, "not-built", words, headers={"Retry-After": "2"})
    return Problem(404, "not-found", f"there is no feed {slug!r}; there are {', '.join([*known, ALL])}")


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
