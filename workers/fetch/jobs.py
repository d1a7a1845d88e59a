"""The two kinds of work of fetching: a hook that waits, and a comparison that is due. Each ends in the record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from service import logs
from service.intake import text
from service.intake.hook_intake import HookIntake
from service.intake.hook_reading import can_fetch
from service.store.articles import hooks, source_sync, story_lookups
from service.store.articles.hooks import HELD, HOOK_DONE, QUEUED, Hook, HookResult
from service.store.articles.source_sync import DueComparison
from service.store.articles.sources import Source
from service.store.database.record import Record
from workers.fetch import backoff
from workers.fetch.comparison import Comparison, ComparisonInterrupted, since_of
from workers.fetch.system import StoryUnclear, System, SystemFailed

log = logs.get("fetch")

HOOK_SECONDS = 60.0  # of one try; a story takes 20 more at the most, and the claim lasts longer
FAILURE_LETTERS = 300


class HookJob:
    """Works on one claimed hook."""

    def __init__(
        self,
        record: Record,
        intake: HookIntake,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool],
    ) -> None:
        self._record = record
        self._intake = intake
        self._clock = clock
        self._stopping = stopping

    def run(self, source: Source, hook: Hook, system: System | None) -> HookResult:
        """Takes in what the hook says, fetches what it only names, and writes down what is left."""
        result = hook.result
        if result.ids is None:  # its own request did not come to an end
            result = self._intake.resume(source, hook)
        next_try_at = None
        if result.ids:
            result, next_try_at = self._fetched(hook, result, system)
        hooks.settle(self._record, hook.claim, result, next_try_at=next_try_at)
        log.info(
            "hook.fetched",
            source=source.slug,
            hook=hook.claim.id,
            outcome=result.outcome,
            why=result.why,
            left=len(result.ids or ()),
        )
        return result

    def _fetched(
        self, hook: Hook, result: HookResult, system: System | None
    ) -> tuple[HookResult, datetime | None]:
        now = self._clock()
        if system is None or not can_fetch(system.adapter, system.of.options):
            words = (
                "its stories must be fetched, and the source has no address for that:"
                " dateline source set SLUG --base-url URL"
            )
            return replace(result, state=HELD, outcome="held", why=words, ids=None), None
        articles: list[dict[str, Any]] = [dict(each) for each in result.articles]
        left, why = list(result.ids or ()), ""
        unclear: list[str] = []
        deadline = time.monotonic() + HOOK_SECONDS
        takedown = result.takedown
        while left and time.monotonic() < deadline and not self._stopping():
            try:
                story = system.fetch(left[0])
            except StoryUnclear as error:
                unclear.append(left.pop(0))
                why = f"{unclear[-1]}: {error}"
                continue
            except SystemFailed as error:
                why = f"the system {error}"
                left.append(left.pop(0))  # one story at which it fails keeps no other waiting
                fail(self._record, system, error, now)
                break
            left.pop(0)
            articles.append(story.facts())
            takedown = takedown or (story.takedown and story.outcome == "held")
        else:
            source_sync.note_success(self._record, system.of.source.id, now)
        ids = [*left, *unclear]
        if not ids:
            return _settled(replace(result, ids=None, takedown=takedown), articles), None
        later = now if not why else backoff.next_try(hook.claim.attempts, hook.received_at, now)
        state = HELD if later is None else QUEUED
        held = replace(
            result,
            state=state,
            outcome="held" if state == HELD else "queued",
            why=text.line(why)[:FAILURE_LETTERS] or result.why,
            articles=articles,
            ids=ids,
            takedown=takedown,
        )
        return held, later


def _settled(result: HookResult, articles: list[dict[str, Any]]) -> HookResult:
    """The result of a hook of which nothing is left to fetch."""
    outcomes = [each["outcome"] for each in articles]
    outcome = next((each for each in ("held", "accepted", "stale", "repeat") if each in outcomes), "ignored")
    reasons = dict.fromkeys(
        str(each["why"]) for each in articles if each["outcome"] == outcome and each.get("why")
    )
    why = "; ".join(reasons)[: hooks.WHY_MOST] or None
    state = HELD if outcome == "held" else HOOK_DONE
    return replace(result, state=state, outcome=outcome, why=why, articles=articles)


class ComparisonJob:
    """Works on one claimed comparison."""

    def __init__(self, record: Record, clock: Callable[[], datetime], stopping: Callable[[], bool]) -> None:
        self._record = record
        self._clock = clock
        self._stopping = stopping

    def run(
        self, due: DueComparison, system: System | None, since: datetime | None = None
    ) -> Comparison | None:
        """Compares the source's changes, and all ids if that is due, and writes down how far it came."""
        reconciliation = None if system is None else system.adapter.reconciliation
        if system is None or reconciliation is None or not system.of.options.base_url:
            source_sync.stop(self._record, due.source_id)
            return None
        comparison = Comparison(self._record, system, reconciliation, self._clock, self._stopping)
        state = source_sync.state(self._record, due.source_id)
        now = self._clock()
        try:
            comparison.read_changes(since or since_of(state, now))
            story_lookups.queue(self._record, due.source_id, list(comparison.left), self._clock())
            source_sync.end_changes(self._record, due, now, self._clock())
            if due.sweep:
                source_sync.end_sweep(self._record, due, comparison.sweep(state), self._clock())
        except ComparisonInterrupted:
            source_sync.put_back(self._record, due, self._clock())
        except SystemFailed as error:
            fail(self._record, system, error, self._clock())
            source_sync.put_back(self._record, due, self._clock())
            raise
        finally:
            for each in comparison.report.results:
                if each.outcome == "held":
                    words = each.why or "it cannot be mapped"
                    story_lookups.hold(self._record, due.source_id, each.external_id, words, self._clock())
            _log(due, comparison, system)
        return comparison


def fail(record: Record, system: System, error: SystemFailed, now: datetime) -> None:
    """Notes that a system failed, and leaves it alone for a while."""
    source = system.of.source
    failures = source_sync.state(record, source.id).failures
    until = backoff.not_before(failures, error.answer, now)
    words = text.line(str(error))[:FAILURE_LETTERS]
    source_sync.note_failure(record, source.id, words, until, now)
    log.warning("source.unreachable", source=source.slug, words=words, failures=failures + 1)


def _log(due: DueComparison, comparison: Comparison, system: System) -> None:
    report = comparison.report
    if report.results or report.unclear or due.sweep:
        log.info(
            "source.compared",
            source=due.slug,
            sweep=due.sweep,
            compared=report.compared,
            changed=sum(each.outcome == "accepted" for each in report.results),
            held=sum(each.outcome == "held" for each in report.results),
            unclear=len(report.unclear),
            requests=system.requests,
        )
