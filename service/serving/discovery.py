"""Routes for discovery: the page of all feeds, OPML, and the news sitemap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Blueprint, Response

from feeds.page import CONTENT_SECURITY_POLICY
from service.http.problems import Problem
from service.serving.catalogue import NewsSitemap, index, outline
from service.serving.pages import answer
from service.store.database.record import Record


def create_blueprint(record: Record, public_url: str, clock: Callable[[], datetime]) -> Blueprint:
    blueprint = Blueprint("discovery", __name__)
    sitemap = NewsSitemap(record, public_url, clock)

    @blueprint.get("/feeds")
    def get_index() -> Response:
        """All feeds, to read and subscribe from."""
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
        return _answer(index(record, public_url), "text/html", headers)

    @blueprint.get("/feeds.opml")
    def get_opml() -> Response:
        """All feeds as OPML 2.0."""
        return _answer(outline(record, public_url), "text/x-opml")

    @blueprint.get("/sitemaps/news.xml")
    def get_sitemap() -> Response:
        """The stories of the last two days for Google News; above a thousand, the index of their files."""
        return _answer(sitemap.files()["news.xml"], "application/xml")

    @blueprint.get("/sitemaps/news-<int:number>.xml")
    def get_sitemap_part(number: int) -> Response:
        """One file of a thousand stories of the last two days, if there are more than a thousand."""
        body = sitemap.files().get(f"news-{number}.xml")
        if body is None:
            raise Problem(404, "not-found", f"there is no news sitemap {number}; see /sitemaps/news.xml")
        return _answer(body, "application/xml")

    return blueprint


def _answer(body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> Response:
    etag = hashlib.sha256(body).hexdigest()[:32]
    return answer(body, f"{kind}; charset=utf-8", etag, headers or {})
