"""All feeds as a page and as OPML, and the news sitemap. Knows no HTTP: the export writes them, too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from cachetools import TTLCache

from feeds import Feed, opml, page, sitemap
from feeds.public import public_feed
from service.store.database.record import Record
from service.store.feeds import documents, news
from service.store.feeds.documents import FeedDue
from service.store.feeds.kinds import ALL, kind_of

GROUPS = {"section": "Sections", "package": "Packages", "language": "Languages", "source": "Sources"}
NEWS_WINDOW = timedelta(days=2)  # Google News wants no older stories
NEWS_MAX_AGE = timedelta(seconds=60)


def outline(record: Record, public_url: str) -> bytes:
    """All feeds as OPML."""
    return opml.opml_bytes(f"Feeds of {_authority(public_url)}", groups(record, public_url))


def index(record: Record, public_url: str) -> bytes:
    """All feeds as a page."""
    return page.index_bytes(_authority(public_url), public_url, groups(record, public_url))


def groups(record: Record, public_url: str) -> list[tuple[str, list[Feed]]]:
    """The feeds by kind, `all` first. Kinds without a feed are left out."""
    found: dict[str, list[Feed]] = {kind: [] for kind in GROUPS}
    for each in sorted(documents.open_feeds(record), key=lambda each: each.slug != ALL):
        found[kind_of(each.slug)].append(_feed(each, public_url))
    return [(GROUPS[kind], feeds) for kind, feeds in found.items() if feeds]


class NewsSitemap:
    """The files of the news sitemap. They are built at most once a minute, however many clients ask."""

    def __init__(self, record: Record, public_url: str, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._public_url = public_url
        self._clock = clock
        self._cache: TTLCache[str, dict[str, bytes], datetime] = TTLCache(1, NEWS_MAX_AGE, clock)
        self._lock = threading.Lock()

    def files(self) -> dict[str, bytes]:
        """By name: `news.xml`, and `news-1.xml`… if one file cannot contain all."""
        with self._lock:
            files = self._cache.get("files")
            if files is None:
                recent = news.recent(self._record, self._clock(), NEWS_WINDOW)
                files = self._cache["files"] = news_files([_entry(each) for each in recent], self._public_url)
            return files


def news_files(entries: list[sitemap.NewsEntry], public_url: str) -> dict[str, bytes]:
    """One file, or an index and the files that it names."""
    parts = [
        entries[at : at + sitemap.SITEMAP_STORIES] for at in range(0, len(entries), sitemap.SITEMAP_STORIES)
    ]
    if len(parts) <= 1:
        return {"news.xml": sitemap.sitemap_bytes(entries)}
    names = {f"news-{number}.xml": part for number, part in enumerate(parts, 1)}
    addresses = [f"{public_url}/sitemaps/{name}" for name in names]
    return {
        "news.xml": sitemap.index_bytes(addresses),
        **{name: sitemap.sitemap_bytes(part) for name, part in names.items()},
    }


def _entry(each: news.Recent) -> sitemap.NewsEntry:
    return sitemap.NewsEntry(
        each.url, each.source_name, each.language or "en", each.published_at, each.headline
    )


def _feed(each: FeedDue, public_url: str) -> Feed:
    """The feed's address and title, which are all that an outline and an index show of it."""
    return public_feed(
        Feed(
            slug=each.slug,
            title=each.title,
            id=each.slug,
            public_url=public_url,
            home_url=public_url,
            authority=_authority(public_url),
            updated=each.made_at,
            language=each.language,
        )
    )


def _authority(public_url: str) -> str:
    return urlsplit(public_url).hostname or "localhost"
