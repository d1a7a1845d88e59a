"""Feeds that are not answered from memory: pages to read, archives, new addresses, and why there is no document.

The middleware answers for the documents themselves, ahead of Flask.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from flask import Blueprint, Response, redirect
from werkzeug.wrappers import Response as AnyResponse

from feeds import ARCHIVED, CONTENT_TYPES, FORMATS, NAMELESS, Masthead, closed_feed, feed_address
from feeds.page import content_security_policy
from service.http.problems import Problem
from service.serving.answers import Content, answer, public_headers
from service.store.database.record import Record
from service.store.feeds import archives, documents, kinds, sections, slugs
from service.store.feeds.documents import Document
from service.store.feeds.kinds import ALL
from service.store.feeds.whereabouts import Whereabouts, whereabouts

# A page changes only when a story on it is taken down: caches may store it for long, but must then ask again.
_PAGE_CACHE_CONTROL = "public, max-age=600, s-maxage=600, must-revalidate, stale-if-error=86400"
_PAGE_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


def create_blueprint(record: Record, public_url: str, masthead: Masthead = NAMELESS) -> Blueprint:
    blueprint = Blueprint("feeds", __name__)

    @blueprint.get("/feeds/<path:name>.<fmt>")
    def get_feed(name: str, fmt: str) -> AnyResponse:
        """A feed as rss, atom or json, if the middleware has no document of it; or a page of its archive.

        Names are `world`, `package/china-focus`, `world/3`.
        """
        address = _address(name)
        if address is None:
            raise _unknown(record, f"{name}.{fmt}")
        formats = FORMATS if address.page is None else ARCHIVED
        if fmt not in formats:
            words = f"there is no feed {name!r} in the format {fmt!r}; there are {', '.join(formats)}"
            raise Problem(404, "not-found", words)
        if address.page is not None:
            return _get_page(address.slug, address.page, fmt)
        return _missing(record, public_url, address, fmt)

    @blueprint.get("/feeds/<path:name>")
    def get_feed_page(name: str) -> AnyResponse:
        """A feed as a page to read, and to subscribe from."""
        if name.endswith("/"):
            return _without_slash(record, public_url, name)
        address = _address(name)
        if address is None or address.page is not None:
            raise _unknown(record, name)
        document = documents.get_document(record, address.slug, "html")
        if document is None:
            return _missing(record, public_url, address, "html")
        response = _serve(document, "html", feed_address(public_url, address.slug))
        response.headers["Content-Security-Policy"] = content_security_policy(masthead)
        return response

    def _get_page(slug: str, page: int, fmt: str) -> AnyResponse:
        document = archives.get_page(record, slug, page, fmt)
        if document is None:
            return _missing(record, public_url, PageAddress(slug, page), fmt)
        response = _serve(document, fmt, f"{feed_address(public_url, slug)}/{page}.{fmt}")
        response.headers["Cache-Control"] = _PAGE_CACHE_CONTROL
        return response

    return blueprint


def _without_slash(record: Record, public_url: str, name: str) -> AnyResponse:
    """Leads from an address with a slash too many to that of the feed, if there is such a feed."""
    right = name.strip("/")
    bare, dot, fmt = right.rpartition(".")
    address = _address(bare if dot else right)
    if address is None or (dot and fmt not in FORMATS) or whereabouts(record, address.slug) is None:
        raise _unknown(record, name)
    return redirect(f"{public_url}/feeds/{quote(right)}", 308)


@dataclass(frozen=True)
class PageAddress:
    """A feed's slug and, if it has one, a page of its archive."""

    slug: str
    page: int | None = None


def _address(name: str) -> PageAddress | None:
    """Reads `world`, `world/3`, `language/ur`, `language/ur/3`; None if no feed can have this name."""
    parts = name.split("/")
    length = 2 if parts[0] in kinds.AUTOMATIC_KINDS else 1
    slug, rest = "/".join(parts[:length]), parts[length:]
    if len(parts) < length or len(rest) > 1:
        return None
    if not rest:
        return PageAddress(slug)
    return PageAddress(slug, int(rest[0])) if _PAGE_NUMBER.fullmatch(rest[0]) else None


def _missing(record: Record, public_url: str, address: PageAddress, fmt: str) -> AnyResponse:
    """The answer if there is no document: the new address of a renamed feed, or a problem that says why."""
    found = whereabouts(record, address.slug) or whereabouts(record, slugs.fold(address.slug))
    name = address.slug if address.page is None else f"{address.slug}/{address.page}"
    if found is None:
        raise _unknown(record, name)
    if found.closed:
        words = f"the feed {found.slug!r} was closed and will not come back"
        if fmt == "json":
            return _ended(found, public_url, words)
        raise Problem(410, "closed", words)
    base, ending = feed_address(public_url, found.slug), "" if fmt == "html" else f".{fmt}"
    if found.slug != address.slug:
        page = "" if address.page is None else f"/{address.page}"
        return redirect(f"{base}{page}{ending}", 301)
    if address.page is not None and found.pages < address.page <= found.complete + 1:
        return redirect(f"{base}{ending}", 307)  # not made yet: its stories are in the feed itself
    if address.page is not None and address.page > found.pages:
        raise _unknown(record, name)
    words = f"the feed {name!r} is being built for the first time"
    raise Problem(503, "not-built", words, headers={"Retry-After": "2"})


def _ended(found: Whereabouts, public_url: str, words: str) -> Response:
    """A 410 whose body is a JSON Feed that says so, for readers that look at the body alone."""
    address = f"{feed_address(public_url, found.slug)}.json"
    body = closed_feed(found.title, address, f"{public_url}/feeds", words)
    headers = {**public_headers(), "Cache-Control": "no-store"}
    return Response(body, 410, headers, content_type=CONTENT_TYPES["json"])


def _unknown(record: Record, name: str) -> Problem:
    known = [each.slug for each in sections.all_sections(record)]
    there = ", ".join([*known, ALL])
    return Problem(404, "not-found", f"there is no feed {name!r}; there are {there}, and those of /feeds")


def _serve(document: Document, fmt: str, url: str) -> Response:
    headers = {"Link": f'<{url}>; rel="self"'}
    content = Content(document.body, CONTENT_TYPES[fmt], document.etag, document.modified_at, headers)
    return answer(content)
