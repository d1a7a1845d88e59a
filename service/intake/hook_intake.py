"""Hooks: kept as they came, read by the source's adapter, each story in them accepted, queued, ignored or held.

Reading is pure and done within the request. Only what must be fetched is left to a worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.intake import text
from service.intake.adapters import registry
from service.intake.adapters.adapter import (
    Adapter,
    Event,
    Gone,
    Hint,
    HookRequest,
    Ignore,
    StoryRead,
)
from service.intake.hook_privacy import stored_request
from service.intake.hook_reading import HookReading, can_fetch, read, settings_of
from service.intake.story_intake import (
    HELD_WORDS,
    Stamp,
    StoryIntake,
    StoryResult,
    StorySource,
    is_takedown,
)
from service.store.articles import hook_acceptance, hooks, source_sync
from service.store.articles.hooks import (
    HELD,
    HOOK_DONE,
    IGNORED,
    QUEUED,
    Hook,
    HookClaim,
    HookResult,
    NewHook,
)
from service.store.articles.idempotency import Answer
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.store.schema.base import EPOCH

IDS_MOST = 1_000
_BY_WEIGHT = ("held", "queued", "accepted", "stale", "repeat", "ignored")


@dataclass
class _Tally:
    """The results of a hook's events so far."""

    stories: list[StoryResult] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)  # (outcome, why) of what is no story
    ids: list[str] = field(default_factory=list)
    sweep: bool | None = None  # the system is to be compared, with a sweep of its ids or without

    def result(self, *, ask_again: bool = False) -> HookResult:
        """The hook's result. `ask_again`: the system is asked for what seems to be stale."""
        ids = list(self.ids)
        if ask_again:
            ids += [each.external_id for each in self.stories if each.outcome == "stale"]
        outcomes = {each.outcome for each in self.stories} | {outcome for outcome, _ in self.notes}
        if ids:
            outcomes.add("queued")
        outcome = next((each for each in _BY_WEIGHT if each in outcomes), "ignored")
        reasons = [each.why for each in self.stories if each.outcome == outcome and each.why]
        reasons += [why for of, why in self.notes if of == outcome]
        held = "held" in outcomes
        state = QUEUED if ids else HELD if held else IGNORED if outcome == "ignored" else HOOK_DONE
        return HookResult(
            state=state,
            outcome=outcome,
            why="; ".join(dict.fromkeys(reasons))[:HELD_WORDS] or None,
            articles=[each.facts() for each in self.stories],
            takedown=any(each.takedown for each in self.stories if each.outcome == "held"),
            ids=list(dict.fromkeys(ids)) or None,
        )


@dataclass(frozen=True)
class _Arrival:
    """An authenticated request as it came. `content_hash` tells it from another."""

    source: Source
    request: HookRequest
    secrets: Sequence[str] = field(repr=False)
    content_hash: str
    at: datetime

    def as_kept(self, result: HookResult) -> NewHook:
        """The hook for the record. Of one that is done the story is there: it is kept without its body."""
        if result.state == HOOK_DONE:
            stored = stored_request(replace(self.request, body=b""), self.secrets)
        else:
            stored = stored_request(self.request, self.secrets)
        return NewHook(
            self.source.id, self.content_hash, stored.method, stored.target, stored.headers, stored.body
        )


class HookIntake:
    """Takes hooks in, from their request or, later, from the record."""

    def __init__(self, stories: StoryIntake) -> None:
        self._stories = stories
        self._record = stories.record

    def receive(
        self, source: Source, adapter: Adapter, request: HookRequest, secrets: Sequence[str]
    ) -> tuple[int, HookResult]:
        """Keeps an authenticated request and does all that needs no network. Returns its number, and what became of it.

        A request with one story, as nearly all have, is one transaction. One with several, and one whose story cannot
        be accepted, is kept first: a process that dies then leaves it in the record, from where a worker takes it.
        """
        of = self._stories.source_now(source)
        reading = read(adapter, request, settings_of(of.options))
        planned = self._planned(adapter, of.options, reading)
        arrival = _Arrival(source, request, secrets, _content_hash(request), self._stories.clock())
        stories = [each for each in reading.events if isinstance(each, StoryRead | Gone)]
        if not stories:
            result = planned.result()
            return self._keep(arrival, result, planned.sweep).id, result
        # Hooks overtake each other. Where the system can be asked, a story that does not say itself that it is newer
        # than the one here is asked for: it may be older, and bring back what was taken down since.
        asks = can_fetch(adapter, of.options)
        stamps = _Stamps("", arrival.content_hash, EPOCH if asks else None)
        if len(stories) == 1 and (end := self._at_once(arrival, of, stories[0], stamps, planned)) is not None:
            return end
        claim = self._keep(arrival, HookResult(QUEUED, "queued", "it is being worked on"), planned.sweep)
        self._take_stories(of, reading.events, planned, replace(stamps, prefix=_prefix(claim)))
        result = planned.result(ask_again=asks)
        next_try_at = arrival.at if result.state == QUEUED else None
        hooks.settle(self._record, claim, result, next_try_at=next_try_at)
        return claim.id, result

    def _keep(self, arrival: _Arrival, result: HookResult, sweep: bool | None) -> HookClaim:
        return hooks.keep(self._record, arrival.as_kept(result), result, arrival.at, sweep=sweep)

    def _at_once(
        self, arrival: _Arrival, of: StorySource, event: StoryRead | Gone, stamps: _Stamps, planned: _Tally
    ) -> tuple[int, HookResult] | None:
        """Accepts a hook's only story and keeps the hook, in one transaction; None where that fails. It needs no
        idempotency key: a hook that was not answered comes anew."""
        ready = self._stories.ready(of, event, stamps.of(0, event))
        if isinstance(ready, StoryResult):
            result = replace(planned, stories=[ready]).result()
            return self._keep(arrival, result, planned.sweep).id, result

        def described(answer: Answer) -> tuple[NewHook, HookResult]:
            tally = replace(planned, stories=[ready.result(answer)])
            result = tally.result(ask_again=stamps.received_at is not None)
            return arrival.as_kept(result), result

        try:
            end = hook_acceptance.accept_and_keep(self._record, ready.post, described, sweep=planned.sweep)
        except Exception:  # kept for itself it has another chance, and says what is wrong
            return None
        self._stories.announce(of.source, end.answer)
        return end.claim.id, end.result

    def resume(self, source: Source, hook: Hook) -> HookResult:
        """Works on a hook that is kept: one that was held, or whose process died. What it says may be old by now: a
        story that changed since is fetched, or stays as it is."""
        adapter = registry.ADAPTERS.get(hook.adapter)
        if adapter is None:
            return HookResult(HELD, "held", registry.unknown_words(hook.adapter))
        of = self._stories.source_now(source)
        request = HookRequest(hook.method, hook.target, hook.headers, hook.body)
        reading = (
            HookReading([Hint(json.loads(hook.body))])
            if hook.method == hooks.FETCHED
            else read(adapter, request, settings_of(of.options))
        )
        tally = self._planned(adapter, of.options, reading)
        if tally.sweep is not None:
            source_sync.ask(self._record, source.id, self._stories.clock(), sweep=tally.sweep)
        stamps = _Stamps(_prefix(hook.claim), hook.content_hash, hook.last_received_at)
        self._take_stories(of, reading.events, tally, stamps)
        return tally.result(ask_again=can_fetch(adapter, of.options))

    def _planned(self, adapter: Adapter, options: SourceOptions, reading: HookReading) -> _Tally:
        """Counts the events that are no stories: they change nothing, or are work for later."""
        tally = _Tally()
        if reading.fault is not None:
            tally.notes.append(("held", reading.fault))
        if not reading.events and reading.fault is None:
            tally.notes.append(("ignored", "there is nothing in it"))
        for event in reading.events:
            if isinstance(event, Ignore):
                tally.notes.append(("ignored", text.line(event.why)[:HELD_WORDS]))
            elif isinstance(event, Hint):
                _plan_hint(adapter, options, event, tally)
        return tally

    def _take_stories(self, of: StorySource, events: Sequence[Event], tally: _Tally, stamps: _Stamps) -> None:
        for place, event in enumerate(events):
            if isinstance(event, StoryRead | Gone):
                tally.stories.append(self._stories.take(of, event, stamps.of(place, event)))


@dataclass(frozen=True)
class _Stamps:
    """The stamps of a hook's events: each has an idempotency key of its own, the same however often it is tried; none
    without a prefix."""

    prefix: str
    body_hash: str
    received_at: datetime | None = None

    def of(self, place: int, event: StoryRead | Gone) -> Stamp:
        """A takedown is taken at its word, unless it waited."""
        at_once = self.received_at == EPOCH and is_takedown(event)
        key = f"{self.prefix}:{place}" if self.prefix else None
        return Stamp(key, self.body_hash, None if at_once else self.received_at)


def _prefix(claim: HookClaim) -> str:
    return f"hook:{claim.id}:{claim.repeats}"


def _plan_hint(adapter: Adapter, options: SourceOptions, hint: Hint, tally: _Tally) -> None:
    if not options.base_url and not hint.ids:  # nothing is lost: with an address, all is compared anyway
        words = "it names no story, and there is no address to ask: dateline source set SLUG --base-url URL"
        tally.notes.append(("ignored", words))
        return
    if not options.base_url:
        words = "it says that stories changed, which must be fetched: dateline source set SLUG --base-url URL"
        tally.notes.append(("held", words))
        return
    compares = adapter.reconciliation is not None
    if hint.ids and not can_fetch(adapter, options):
        tally.notes.append(("held", f"{adapter.title} cannot be asked for one story in this version"))
        return
    if not hint.ids and not compares:
        tally.notes.append(
            ("ignored", f"it names no story, and {adapter.title} cannot be compared as a whole")
        )
        return
    ids = [str(each) for each in hint.ids]
    if len(tally.ids) + len(ids) > IDS_MOST and not compares:
        tally.notes.append(("held", f"it names more than {IDS_MOST:,} stories"))
        return
    if len(tally.ids) + len(ids) > IDS_MOST:
        ids, hint = [], Hint(sweep=True)
    tally.ids += ids
    if compares and (hint.sweep or not ids):
        tally.sweep = bool(tally.sweep) or hint.sweep
        tally.notes.append(("queued", "its system is compared with the record"))


def _content_hash(request: HookRequest) -> str:
    digest = hashlib.sha256(repr((request.method, request.target, _telling(request.headers))).encode())
    digest.update(b"2")  # the version before finds no hook of this one: of a repeat it would keep no body
    digest.update(request.body)
    return digest.hexdigest()


def _telling(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that tell one event from another with the same body: those with its name, no times and signatures."""
    words = ("topic", "event", "operation", "action", "hook-name", "content-type")
    return sorted((name, value) for name, value in headers.items() if any(word in name for word in words))
