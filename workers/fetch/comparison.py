"""Reconciliation: a system's changes since the last time, and a sweep of all its ids, against the record.

A list alone takes nothing down and brings nothing back: pages drift while they are read. Each such story is looked up
by itself. A sweep that would take down more than the source's limit takes down none, and waits for the operator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from service.intake.adapters.adapter import (
    ApiAnswer,
    Event,
    Gone,
    Hint,
    Reconciliation,
    StoryRead,
    Unreadable,
)
from service.intake.hook_reading import can_fetch
from service.intake.story_intake import StoryResult
from service.store.articles import standings, story_lookups
from service.store.articles.source_sync import SweepEnd, SyncState
from service.store.articles.standings import Standing
from service.store.database.record import Record
from service.store.errors import ChangedMeanwhile
from workers.fetch import backoff
from workers.fetch.system import Look, StoryUnclear, System, SystemFailed

OVERLAP_READ_AGAIN = timedelta(
    minutes=10
)  # before the last comparison: clocks differ, and posts take their time
FIRST_LOOK_BACK = timedelta(days=1)
CLOCKS_AGREE = timedelta(minutes=1)
PAGES_MOST = 2_000
IDS_MOST_COMPARED = 1_000_000
LOOKS_MOST = 200  # stories that one sweep looks up; the next one goes on
LIST_SECONDS = 240.0
LOOKING_UP_SECONDS = 120.0
LIST_READINGS_MOST = 3  # of a list of several pages, which drift while they are read
BROKEN_IN_A_ROW = 3  # stories that the system fails at: then it is the system
PATIENCE_SECONDS = 120.0  # that one comparison waits for a system which asks it to
Found = TypeVar("Found")


@dataclass
class ComparisonReport:
    """The effects of a comparison, done or to be done: a result for each story that is not as it was."""

    results: list[StoryResult] = field(default_factory=list)
    unclear: list[tuple[str, str]] = field(default_factory=list)  # (id, why)
    compared: int = 0

    def add(self, result: StoryResult) -> None:
        self.compared += 1
        if result.outcome not in ("repeat", "ignored"):
            self.results.append(result)


@dataclass
class _ChangeReading:
    """A list of changes while it is read: the stories that are down here, those that were seen or are about to be
    looked up anyway, and until when stories are looked up."""

    down: set[str]
    seen: set[str]
    look_up_until: float


class ComparisonInterrupted(Exception):
    """The worker was asked to end: the comparison is due again."""


class Comparison:
    """Compares one source. `stopping`: whether the worker is to end."""

    def __init__(
        self,
        record: Record,
        system: System,
        reconciliation: Reconciliation,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.report = ComparisonReport()
        self._record = record
        self._system = system
        self._reconciliation = reconciliation
        self._clock = clock
        self._stopping = stopping
        self._broken = 0
        self.left: dict[str, None] = {}  # stories that changed and were not looked up: they are a worker's
        system.wait_up_to(PATIENCE_SECONDS, stopping)
        self._fetches = can_fetch(system.adapter, system.of.options)

    def read_changes(self, since: datetime) -> None:
        """Takes in what has changed since then. Raises SystemFailed when not all of it could be read."""
        down = {each.external_id for each in self._standings() if each.status != "usable" and not each.final}
        lookups = story_lookups.ids_queued(self._record, self._system.of.source.id, self._clock())
        changes = _ChangeReading(down, set(lookups), time.monotonic() + LOOKING_UP_SECONDS)
        deadline = time.monotonic() + LIST_SECONDS
        for _ in range(LIST_READINGS_MOST):
            # A story that goes while the pages are read moves another from a page to come to one that was read.
            pages_with_news = self._read_list(since, changes, deadline)
            if pages_with_news < 2 or time.monotonic() > deadline - LIST_SECONDS / 2:
                return

    def _read_list(self, since: datetime, changes: _ChangeReading, deadline: float) -> int:
        """Reads the list of changes once; returns how many of its pages had a story that was not seen before."""
        pages_with_news = 0
        request = self._reconciliation.changed(since, self._system.settings)
        for page_number in range(PAGES_MOST):
            self._check(deadline)
            asked_at = self._clock()
            answer = self._system.ask(request)
            if page_number == 0 and (behind := clock_behind(answer, asked_at)) > CLOCKS_AGREE:
                request = self._reconciliation.changed(since - behind, self._system.settings)
                answer = self._system.ask(request)
            try:
                page = self._reconciliation.changed_page(answer, request, self._system.settings)
            except Unreadable as error:
                raise SystemFailed(f"its list of changes cannot be read: {error}", answer) from None
            seen_before = len(changes.seen)
            for event in page.events:
                self._take(event, asked_at, changes)
            pages_with_news += len(changes.seen) > seen_before
            if page.next is None:
                return pages_with_news
            request = page.next
        raise SystemFailed(f"its list of changes has more than {PAGES_MOST:,} pages")

    def sweep(self, state: SyncState) -> SweepEnd:
        """Compares all ids: what is missing there is looked up and taken down, what is missing here is taken in."""
        listed = self._all_ids()
        here = {each.external_id: each for each in self._standings()}
        fresh = [each for each in listed if each not in here]
        baseline = fresh if state.baseline is None else _still(state.baseline, fresh)
        known_before = set(baseline)
        wanted = [each for each in fresh if each not in known_before]
        wanted += [each for each in listed if _may_return(here.get(each))]
        there = set(listed)
        missing = [
            each.external_id
            for each in here.values()
            if each.status == "usable" and each.external_id not in there
        ]
        limit = max(self._system.of.options.takedown_limit, state.released)
        end = self._take_down(missing, limit, baseline, state)
        # Stories that are held already come last: two hundred of them would keep all others from being looked up.
        held = set(story_lookups.ids_held(self._record, self._system.of.source.id))
        wanted.sort(key=held.__contains__)
        left = () if not self._fetches else self._fetch_all(wanted, time.monotonic() + LOOKING_UP_SECONDS)
        more = any(each not in held for each in left)
        return SweepEnd(end.missing, end.baseline, end.released, more=end.more or more)

    def _take(self, event: Event, asked_at: datetime, changes: _ChangeReading) -> None:
        """One event of a list of changes. What would take down or bring back is looked up by itself."""
        if isinstance(event, StoryRead):
            ids: Sequence[str] = [str(event.fields.get("id", ""))]
        else:
            ids = event.ids if isinstance(event, Hint) else [event.id] if isinstance(event, Gone) else []
        new = list(dict.fromkeys(each for each in ids if each not in changes.seen))
        changes.seen.update(new)
        if not new:
            return
        if isinstance(event, StoryRead) and not (new[0] in changes.down and self._fetches):
            self.report.add(self._system.take_from_list(event, asked_at))
        elif self._fetches:
            unclear_before = len(self.report.unclear)
            left = self._fetch_all(new, changes.look_up_until)
            self.left |= dict.fromkeys([*left, *(each for each, _ in self.report.unclear[unclear_before:])])

    def _all_ids(self) -> list[str]:
        """Every id that is public now, or SystemFailed: half a list would say that the other half is gone."""
        found: dict[str, None] = {}
        deadline = time.monotonic() + LIST_SECONDS
        request = self._reconciliation.all_ids(self._system.settings)
        for _ in range(PAGES_MOST):
            self._check(deadline)
            answer = self._system.ask(request)
            try:
                page = self._reconciliation.ids_page(answer, request, self._system.settings)
            except Unreadable as error:
                raise SystemFailed(f"its list of ids cannot be read: {error}", answer) from None
            found |= dict.fromkeys(map(str, page.ids))
            if page.next is None:
                return list(found)
            if len(found) > IDS_MOST_COMPARED:
                break
            request = page.next
        raise SystemFailed(f"its list of ids has more than {PAGES_MOST:,} pages or {IDS_MOST_COMPARED:,} ids")

    def _take_down(
        self, missing: Sequence[str], limit: int, baseline: Sequence[str], state: SyncState
    ) -> SweepEnd:
        """Looks each missing story up first; takes down those that are gone, all of them or, beyond the limit, none."""
        gone: list[Look] = []
        looked = 0
        deadline = time.monotonic() + LOOKING_UP_SECONDS
        for story_id in missing:
            if (
                len(gone) > limit
                or looked >= LOOKS_MOST + limit
                or time.monotonic() > deadline
                or self._stopping()
            ):
                break
            looked += 1
            look = self._asked(self._system.look, story_id)
            if look is None:
                continue
            if isinstance(look.event, Gone):
                gone.append(look)
            else:
                self._take_look(look)
        if len(gone) > limit:
            return SweepEnd(missing, baseline, 0)
        for look in gone:
            self._take_look(look)
        more = looked < len(missing)
        return SweepEnd((), baseline, state.released if more else 0, more=more)

    def _fetch_all(self, ids: Sequence[str], deadline: float) -> Sequence[str]:
        """Looks stories up and takes in what is said; returns those that are left for the next time."""
        for place, story_id in enumerate(ids):
            if place >= LOOKS_MOST or time.monotonic() > deadline or self._stopping():
                return ids[place:]
            if (result := self._asked(self._system.fetch, story_id)) is not None:
                self.report.add(result)
        return ()

    def _asked(self, ask: Callable[[str], Found], story_id: str) -> Found | None:
        """The system's word on a story; None if that is unclear. One story at which it fails stops no others."""
        try:
            found = ask(story_id)
        except StoryUnclear as error:
            why = str(error)
        except SystemFailed as error:
            self._broken += 1
            if self._broken >= BROKEN_IN_A_ROW or not backoff.may_be_of_one_story(error.answer):
                raise
            why = f"the system {error}"
        else:
            self._broken = 0
            return found
        self.report.unclear.append((story_id, why))
        return None

    def _take_look(self, look: Look) -> None:
        try:
            self.report.add(self._system.take(look))
        except ChangedMeanwhile:
            self.report.unclear.append((look.story_id, "it changed meanwhile: the next sweep looks again"))

    def _standings(self) -> list[Standing]:
        return standings.standings(self._record, self._system.of.source.id, self._clock())

    def _check(self, deadline: float) -> None:
        if self._stopping():
            raise ComparisonInterrupted
        if time.monotonic() > deadline:
            raise SystemFailed(f"its lists took longer than {LIST_SECONDS:.0f} s")


def clock_behind(answer: ApiAnswer, asked_at: datetime) -> timedelta:
    """How far a system's clock is behind ours, by the Date of its answer: it dates its changes by that."""
    date = backoff.date_of(answer)
    return timedelta(0) if date is None else max(timedelta(0), asked_at - date)


def since_of(state: SyncState, now: datetime) -> datetime:
    """From when on changes are read; if a clock that was ahead wrote that down, from the first look's time."""
    known = state.changed_since
    if known is None or known > now:
        return now - FIRST_LOOK_BACK
    return known - OVERLAP_READ_AGAIN


def _may_return(standing: Standing | None) -> bool:
    return standing is not None and standing.status != "usable" and not standing.final


def _still(before: Sequence[str], fresh: Sequence[str]) -> list[str]:
    """The stories of the baseline that are public still: one that went and comes again is news."""
    known = set(before)
    return [each for each in fresh if each in known]
