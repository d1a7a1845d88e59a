"""Routes for discovery: the page of all feeds, OPML, and the news sitemap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Blueprint, Response, redirect
from werkzeug.wrappers import Response as AnyResponse

from feeds import NAMELESS, Masthead
from feeds.page import content_security_policy
from service.http.problems import Problem
from service.serving.answers import Content, answer
from service.serving.catalogue import NewsSitemap, index, outline
from service.store.database.record import Record

_ICON = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="6" fill="#0b57a4"/>
<path d="M7 9h18M7 16h18M7 23h11" stroke="#fff" stroke-width="3" stroke-linecap="round"/></svg>
"""


def create_blueprint(
    record: Record, public_url: str, clock: Callable[[], datetime], masthead: Masthead = NAMELESS
) -> Blueprint:
    blueprint = Blueprint("discovery", __name__)
    sitemap = NewsSitemap(record, public_url, clock, masthead.name)

    @blueprint.get("/feeds")
    def get_index() -> Response:
        """All feeds, to read and subscribe from."""
        headers = {"Content-Security-Policy": content_security_policy(masthead)}
        return answer(_content(index(record, public_url, masthead), "text/html", headers=headers))

    @blueprint.get("/feeds.opml")
    def get_opml() -> Response:
        """All feeds as OPML 2.0."""
        return answer(_content(outline(record, public_url, masthead), "text/x-opml"))

    @blueprint.get("/favicon.ico")
    def get_icon() -> AnyResponse:
        """The icon of tabs and feed readers: the desk's logo, or else a plain one."""
        if not masthead.logo_url:
            return answer(_content(_ICON, "image/svg+xml"))
        moved = redirect(masthead.logo_url, 302)
        moved.headers["Cache-Control"] = "public, max-age=3600"
        return moved

    @blueprint.get("/sitemaps/news.xml")
    def get_sitemap() -> Response:
        """The stories of the last two days for Google News; above a thousand, the index of their files."""
        current = sitemap.current()
        body = current.files.get("news.xml")
        if body is None:
            raise _no_sitemap("there is no story of the last two days, and so no news sitemap")
        return answer(_content(body, "application/xml", current.changed_at))

    @blueprint.get("/sitemaps/news-<int:number>.xml")
    def get_sitemap_part(number: int) -> Response:
        """One file of a thousand stories of the last two days, if there are more than a thousand."""
        current = sitemap.current()
        body = current.files.get(f"news-{number}.xml")
        if body is None:
            raise _no_sitemap(f"there is no news sitemap {number}; see /sitemaps/news.xml")
        return answer(_content(body, "application/xml", current.changed_at))

    return blueprint


def _no_sitemap(words: str) -> Problem:
    return Problem(404, "not-found", words, headers={"Cache-Control": "public, max-age=60"})


def _content(
    body: bytes,
    kind: str,
    modified_at: datetime | None = None,
    headers: Mapping[str, str] | None = None,
) -> Content:
    etag = hashlib.sha256(body).hexdigest()[:32]
    moment = None if modified_at is None else modified_at.replace(microsecond=0)
    return Content(body, f"{kind}; charset=utf-8", etag, moment, headers or {})
