"""Publish: the feeds that were asked for become documents. A burst of a hundred articles builds a section once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from time import monotonic, perf_counter

import feeds
from service import logs
from service.settings import FEED_BYTES
from service.store import notices
from service.store.database.record import Record
from service.store.feeds import archives, contents, documents, partner_contents, placements, sections
from service.store.feeds.archives import PageDue
from service.store.feeds.contents import Placement
from service.store.feeds.documents import Overtaken
from service.store.feeds.entries import prune_entries
from service.store.feeds.feeds import PAGES_BEHIND, FeedDue, due_feeds, look_again, open_feeds
from service.store.feeds.takedowns import due_takedowns
from service.store.notices import NewNotice
from workers.publish.assemble import Bounds, Documents, Entries, compose
from workers.publish.entry_cache import EntryCache
from workers.publish.items import Publisher, feed_of
from workers.publish.renewal import FeedRenewal

log = logs.get("publish")

PRUNE_AFTER = 2_000  # new entries
REPORTS_REMEMBERED = 10_000  # feeds
# Takedowns are looked for so often while other feeds are built.
TAKEDOWN_SECONDS = 0.25
# For pages that feeds are to lead to, as after an import of hundreds of stories, before these feeds are written.
PAGES_FIRST_SECONDS = 10.0


@dataclass(frozen=True)
class FeedRules:
    """The desk's own rules for its feeds.

    `withdrawn_stays`: how long a story that was taken down keeps its place, as a notice. `feed_bytes`: the most that a
    document may have.
    """

    withdrawn_stays: timedelta = timedelta(days=14)
    feed_bytes: int = FEED_BYTES
    masthead: feeds.Masthead = feeds.NAMELESS


class FeedBuilder:
    """Renders feeds. A change costs the serialising of one story, once; all else is spliced from entries that exist."""

    def __init__(
        self,
        record: Record,
        public_url: str,
        clock: Callable[[], datetime],
        *,
        rules: FeedRules = FeedRules(),
        steady: Callable[[], float] = monotonic,
    ) -> None:
        """`steady` gives seconds that go on whatever is done to `clock`."""
        self._steady = steady
        self._masthead = rules.masthead
        self._feed_bytes = rules.feed_bytes
        self._reported: dict[str, datetime] = {}
        self._record = record
        self._public_url = public_url
        self._clock = clock
        self._withdrawn_stays = rules.withdrawn_stays
        self._cache = EntryCache(record)
        self._renewal = FeedRenewal(record, clock)
        self._style = Publisher(public_url, {}, rules.masthead).style
        self._new_entries = 0
        self._stopping = False

    def stop(self) -> None:
        """Ends a drain after the document at hand; the others stay due."""
        self._stopping = True

    @property
    def renewing(self) -> bool:
        """Whether more feeds are to be asked for, because all are written in another style from now on."""
        return self._renewal.under_way

    def drain(self, goes_on: Callable[[], bool] = lambda: True) -> int:
        """Builds every feed that is due now, then some pages of archives; returns how many documents of either.

        `goes_on` is asked before each: once it is False nothing more is built, and the others stay due.

        If it is killed half-way, the feeds that are not written are still due. Feeds that are asked for meanwhile are
        the next call's: in a flood, builds would follow one another without end. Pages come last, so that news never
        waits for the archive, and are some at a time, so that there may be many.
        """

        def further(_: object = None) -> bool:
            return not self._stopping and goes_on()

        built = 0
        if further():
            self._renewal.compare(self._style)
        if further():
            built += self._build_feeds(further)
        # Asked again: the last document may have taken long, and the lease on the publishing ends by itself.
        pages = archives.due_pages(self._record, self._clock()) if further() else []
        if pages:
            publisher, known = (
                self._publisher(),
                {each.slug: each for each in open_feeds(self._record)},
            )
            for page in takewhile(further, pages):
                if page.feed in known:
                    with suppress(Overtaken):
                        self._build_page(publisher, known[page.feed], page, self._clock())
                    built += 1
        if further():
            self._renewal.advance(self._style)
        self._prune()
        return built

    def _build_feeds(self, further: Callable[[object], bool]) -> int:
        due = due_feeds(self._record)
        if not due:
            return 0
        publisher, built = self._publisher(), 0
        takedowns = _Takedowns(lambda: self._build_takedowns(publisher, further), self._steady)
        # Those whose pages are made first come last: they keep no other waiting.
        last: list[FeedDue] = []
        for each in takewhile(further, due):
            takedowns.look()
            now_due = look_again(self._record, each)
            if _lacks_pages(now_due):
                last.append(now_due)
            elif each.slug not in takedowns.built:
                self.build(publisher, now_due, self._clock())
                built += 1
        pages_until = self._steady() + PAGES_FIRST_SECONDS

        def goes_on() -> bool:
            takedowns.look()
            return further(None) and self._steady() < pages_until

        for each in last:
            takedowns.look()
            complete = self._with_pages(publisher, each, goes_on)
            if not further(None):
                break
            # One that was built meanwhile and asked for again is the next call's.
            if each.slug not in takedowns.built:
                self.build(publisher, complete, self._clock())
                built += 1
        return built + len(takedowns.built)

    def _with_pages(self, publisher: Publisher, due: FeedDue, goes_on: Callable[[], bool]) -> FeedDue:
        """The feed, with the pages made that it leads to. Until then readers have the former one, which is whole too.

        If there are more than can be made while it `goes_on`, it holds the stories of some, and leads to one that is
        answered 503 for a while if there are more still: news does not wait for the archive of years.
        """
        while _lacks_pages(due) and goes_on():
            made = False
            with suppress(Overtaken):
                page = archives.next_page(self._record, due)
                made = self._build_page(publisher, due, page, self._clock())
            # More stories were routed meanwhile: pages of a burst are complete one after another.
            due = look_again(self._record, due)
            if not made:
                break  # a story changed meanwhile, or another process made it
        return due

    def _build_takedowns(self, publisher: Publisher, further: Callable[[object], bool]) -> set[str]:
        """Builds the feeds from which a story was taken down, and makes such pages; returns the feeds' slugs."""
        feeds_first = list(takewhile(further, due_takedowns(self._record)))
        for each in feeds_first:
            self.build(publisher, each, self._clock())
        if pages := archives.due_takedowns(self._record, self._clock()):
            known = {each.slug: each for each in open_feeds(self._record)}
            for page in takewhile(further, pages):
                if page.feed in known:
                    self._build_page(publisher, known[page.feed], page, self._clock())
        return {each.slug for each in feeds_first}

    def build(self, publisher: Publisher, due: FeedDue, now: datetime) -> None:
        """Renders one feed in all its formats and writes the documents that changed."""
        with suppress(Overtaken):  # the record was set back meanwhile: it is due still
            self._build(publisher, due, now)

    def _build(self, publisher: Publisher, due: FeedDue, now: datetime) -> None:
        started = perf_counter()
        due, shown, due_at = self._shown(due, now)
        if not due.shown:
            documents.keep_hidden(self._record, due, due_at=due_at, now=now)
            return
        entries, new = self._cache.entries(publisher, shown)
        # A partner's own is not for people to look at, and its page would tell its address.
        formats = feeds.FORMATS if due.private else feeds.RENDITIONS
        left_at = contents.left_at(self._record, due, now)
        bounds = replace(self._bounds(publisher, due), not_before=left_at)
        composed = compose(feed_of(publisher, due), shown, entries, formats, bounds)
        renderings = composed.renderings
        changed = documents.store_documents(self._record, due, renderings, due_at=due_at, now=now, made=new)
        self._new_entries += len(new)
        log.info(
            "feed.rendered",
            feed=due.slug,
            stories=len(shown),
            serialised=len(new) // len(feeds.RENDITIONS),
            changed=list(changed or ()),
            ms=round((perf_counter() - started) * 1000, 1),
        )
        self._report_size(due, composed, now)

    def _bounds(self, publisher: Publisher, due: FeedDue) -> Bounds:
        def archived() -> Collection[int]:
            return contents.archived_stories(self._record, due)

        def briefs(shown: Collection[Placement]) -> Mapping[int, Entries]:
            return self._cache.briefs(publisher, shown)

        return Bounds(self._feed_bytes, briefs, archived)

    def _report_size(self, due: FeedDue, composed: Documents, now: datetime) -> None:
        """Tells the operator that a feed is as large as it may be: for each feed once an hour at the most."""
        last = self._reported.get(due.slug)
        if not (composed.cut or composed.left_out) or (last and abs(now - last) < notices.AT_MOST_EVERY):
            return
        if len(self._reported) >= REPORTS_REMEMBERED:
            self._reported.clear()
        self._reported[due.slug] = now
        log.warning("feed.too_large", feed=due.slug, cut=composed.cut, left_out=composed.left_out)
        words = (
            f"the feed {due.slug} would be larger than {self._feed_bytes:,} bytes (DATELINE_FEED_BYTES):"
            f" {composed.left_out} of its older stories are in its archive alone, {composed.cut} are shown"
            " by their summaries"
        )
        with self._record.writing() as connection:
            notices.write(connection, [NewNotice("feed.too_large", f"feed:{due.slug}", words)], now)

    def _shown(self, due: FeedDue, now: datetime) -> tuple[FeedDue, list[Placement], datetime | None]:
        """The feed with its new stories numbered, the stories that stand in it, and when they change by themselves."""
        stays = self._withdrawn_stays
        if due.private:
            found = partner_contents.partner_contents(self._record, due, now, withdrawn_stays=stays)
            return due, found.placements, found.due_at
        placements.set_back(self._record, due, now)
        due = replace(due, sequence=placements.number_new(self._record, due, now))
        shown = contents.placements(self._record, due, now, withdrawn_stays=stays)
        return due, shown, contents.next_change(self._record, due, shown, now, withdrawn_stays=stays)

    def _build_page(self, publisher: Publisher, due: FeedDue, page: PageDue, now: datetime) -> bool:
        """Makes a page; False if it stays due, for it was made of an older state."""
        shown = contents.page_placements(self._record, page.feed, page.page, now)
        entries, new = self._cache.entries(publisher, shown)
        feed = replace(feed_of(publisher, due), page=page.page)
        bounds = replace(self._bounds(publisher, due), archived=tuple)
        bodies = compose(feed, shown, entries, feeds.ARCHIVED, bounds).renderings
        due_at = archives.opens_at(self._record, page.feed, page.page, now)
        stored = archives.store_page(self._record, page, bodies, due_at=due_at, now=now, made=new)
        self._new_entries += len(new)
        if stored:
            log.info(
                "page.rendered", feed=page.feed, page=page.page, stories=len(shown), again=bool(page.due_at)
            )
        return stored

    def _publisher(self) -> Publisher:
        named = sections.titles(self._record)
        there = {each.slug for each in sections.all_sections(self._record)}
        closed = frozenset(slug for slug, _ in named.values() if slug not in there)
        return Publisher(self._public_url, named, self._masthead, closed)

    def _prune(self) -> None:
        if self._new_entries >= PRUNE_AFTER:
            self._new_entries = 0
            log.info("entries.pruned", count=prune_entries(self._record))


class _Takedowns:
    """Looks for takedowns now and then, and has their feeds built; `built` are the feeds' slugs."""

    def __init__(self, build: Callable[[], set[str]], steady: Callable[[], float]) -> None:
        self.built: set[str] = set()
        self._build = build
        self._steady = steady
        self._looked_at = float("-inf")

    def look(self) -> None:
        if self._steady() - self._looked_at >= TAKEDOWN_SECONDS:
            self.built |= self._build()
            self._looked_at = self._steady()


def _lacks_pages(due: FeedDue) -> bool:
    """Whether pages are to be made before it."""
    return due.pages_behind > PAGES_BEHIND
