"""All feeds as a page and as OPML, and the news sitemap. Knows no HTTP: the export writes them, too."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from feeds import NAMELESS, Feed, Masthead, opml, page, sitemap
from feeds.public import public_feed
from service.store.database.record import Record
from service.store.errors import RecordUnavailable
from service.store.feeds import news
from service.store.feeds.feeds import FeedDue, open_feeds
from service.store.feeds.kinds import ALL, kind_of

GROUPS = {"section": "Sections", "package": "Packages", "language": "Languages", "source": "Sources"}
NEWS_WINDOW = timedelta(days=2)  # Google News wants no older stories
NEWS_MAX_AGE = timedelta(seconds=15)
# Takedowns are looked for as often as that; everywhere they are gone within a second.
NEWS_LOOK_SECONDS = 0.25


def outline(record: Record, public_url: str, masthead: Masthead = NAMELESS) -> bytes:
    """All feeds as OPML."""
    return opml.opml_bytes(page.index_title(masthead), groups(record, public_url, masthead))


def index(record: Record, public_url: str, masthead: Masthead = NAMELESS) -> bytes:
    """All feeds as a page."""
    return page.index_bytes(masthead, public_url, groups(record, public_url, masthead))


def groups(record: Record, public_url: str, masthead: Masthead = NAMELESS) -> list[tuple[str, list[Feed]]]:
    """The feeds by kind, `all` first. Kinds without a feed are left out."""
    found: dict[str, list[Feed]] = {kind: [] for kind in GROUPS}
    for each in sorted(open_feeds(record), key=lambda each: each.slug != ALL):
        found[kind_of(each.slug)].append(_feed(each, public_url, masthead))
    return [(GROUPS[kind], feeds) for kind, feeds in found.items() if feeds]


@dataclass(frozen=True)
class NewsFiles:
    """The files of the news sitemap by name, `news.xml` and `news-1.xml`… None while there is no news."""

    files: Mapping[str, bytes]
    changed_at: datetime | None


class NewsSitemap:
    """The files of the news sitemap, made anew after NEWS_MAX_AGE; at once when a story is taken down or expires.

    Whether one was is asked once in `look_seconds` at the most, however many clients ask. While the record is away
    the files stay as they are.
    """

    def __init__(
        self,
        record: Record,
        public_url: str,
        clock: Callable[[], datetime],
        publication: str = "",
        look_seconds: float = NEWS_LOOK_SECONDS,
    ) -> None:
        """`publication` is the name of the desk; without one each story has its source's name."""
        self._record = record
        self._public_url = public_url
        self._clock = clock
        self._publication = publication
        self._made: NewsFiles | None = None
        self._made_at = self._until = clock()
        self._hidden: news.HiddenState | None = None
        self._look_seconds = look_seconds
        self._looked_at = -look_seconds
        self._lock = threading.Lock()

    def files(self) -> dict[str, bytes]:
        """By name: `news.xml`, and `news-1.xml`… if one file cannot contain all. Empty while there is no news."""
        return dict(self.current().files)

    def current(self) -> NewsFiles:
        """The files as they are now. Raises RecordUnavailable before they were made for the first time."""
        with self._lock:
            try:
                if self._made is None or self._is_old():
                    self._made = self._make()
            except RecordUnavailable:
                if self._made is None:
                    raise
            return self._made

    def _is_old(self) -> bool:
        now, looked = self._clock(), monotonic()
        if not self._made_at <= now < self._until:
            return True
        if looked - self._looked_at < self._look_seconds:
            return False
        hidden = news.hidden_state(self._record, self._made_at, now)
        self._looked_at = looked
        return hidden != self._hidden

    def _make(self) -> NewsFiles:
        now = self._clock()
        # First: a takedown after it is seen at the next look.
        hidden = news.hidden_state(self._record, now, now)
        found = news.recent(self._record, now, NEWS_WINDOW)
        entries = [_entry(each, self._publication) for each in found.stories]
        made = NewsFiles(news_files(entries, self._public_url), found.changed_at)
        self._made_at, self._hidden, self._looked_at = now, hidden, monotonic()
        self._until = min(now + NEWS_MAX_AGE, found.until or now + NEWS_MAX_AGE)
        return made


def news_files(entries: list[sitemap.NewsEntry], public_url: str) -> dict[str, bytes]:
    """One file, or an index and the files that it names. None for no story: an empty sitemap is not valid."""
    shown = [entry for entry in entries if sitemap.is_valid(entry)]
    parts = [shown[at : at + sitemap.SITEMAP_STORIES] for at in range(0, len(shown), sitemap.SITEMAP_STORIES)]
    if not parts:
        return {}
    if len(parts) == 1:
        return {"news.xml": sitemap.sitemap_bytes(shown)}
    names = {f"news-{number}.xml": part for number, part in enumerate(parts, 1)}
    addresses = [f"{public_url}/sitemaps/{name}" for name in names]
    return {
        "news.xml": sitemap.index_bytes(addresses),
        **{name: sitemap.sitemap_bytes(part) for name, part in names.items()},
    }


def _entry(each: news.Recent, publication: str = "") -> sitemap.NewsEntry:
    name = publication or each.source_name
    return sitemap.NewsEntry(each.url, name, each.language or "en", each.published_at, each.headline)


def _feed(each: FeedDue, public_url: str, masthead: Masthead) -> Feed:
    """The feed's address and title, which are all that an outline and an index show of it."""
    return public_feed(
        Feed(
            slug=each.slug,
            title=each.title,
            id=each.slug,
            public_url=public_url,
            home_url=public_url,
            updated=each.made_at,
            masthead=masthead,
            language=each.language,
        )
    )
