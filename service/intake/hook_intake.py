"""Hooks: kept as they came, read by the source's adapter, each story in them accepted, queued, ignored or held.

Reading is pure and done within the request. Only what must be fetched is left to a worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service import logs
from service.intake import text
from service.intake.adapters import registry
from service.intake.adapters.adapter import (
    Adapter,
    Event,
    FieldRule,
    Gone,
    Hint,
    HookRequest,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.hook_privacy import stored_request
from service.intake.story_intake import (
    HELD_WORDS,
    Stamp,
    StoryIntake,
    StoryResult,
    StorySource,
    is_takedown,
)
from service.store.articles import hooks, source_settings, source_sync
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
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.store.schema.base import EPOCH

log = logs.get("intake")

EVENTS_MOST = 1_000  # of one request; one with more is held
IDS_MOST = 1_000
_BY_WEIGHT = ("held", "queued", "accepted", "stale", "repeat", "ignored")


@dataclass(frozen=True)
class HookReading:
    """The events of a request, or why it is held."""

    events: Sequence[Event] = ()
    fault: str | None = None


@dataclass
class _Tally:
    """The results of a hook's events so far."""

    stories: list[StoryResult] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)  # (outcome, why) of what is no story
    ids: list[str] = field(default_factory=list)
    sweep: bool | None = None  # the system is to be compared, with a sweep of its ids or without

    def result(self) -> HookResult:
        outcomes = {each.outcome for each in self.stories} | {outcome for outcome, _ in self.notes}
        if self.ids:
            outcomes.add("queued")
        outcome = next((each for each in _BY_WEIGHT if each in outcomes), "ignored")
        reasons = [each.why for each in self.stories if each.outcome == outcome and each.why]
        reasons += [why for of, why in self.notes if of == outcome]
        held = "held" in outcomes
        state = QUEUED if self.ids else HELD if held else IGNORED if outcome == "ignored" else HOOK_DONE
        return HookResult(
            state=state,
            outcome=outcome,
            why="; ".join(dict.fromkeys(reasons))[:HELD_WORDS] or None,
            articles=[each.facts() for each in self.stories],
            takedown=any(each.takedown for each in self.stories if each.outcome == "held"),
            ids=list(dict.fromkeys(self.ids)) or None,
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

        A process that dies in between leaves it in the record, from where a worker takes it.
        """
        now = self._stories.clock()
        options = source_settings.options(self._record, source.id)
        reading = read(adapter, request, settings_of(options))
        planned = self._planned(adapter, options, reading)
        unsettled = any(isinstance(each, StoryRead | Gone) for each in reading.events)
        first = HookResult(QUEUED, "queued", "it is being worked on") if unsettled else planned.result()
        new = _new_hook(source, request, secrets)
        if planned.sweep is not None:  # first: of a hook that is kept as done nothing is to be left
            source_sync.ask(self._record, source.id, now, sweep=planned.sweep)
        claim = hooks.keep(self._record, new, first, now)
        if not unsettled:
            return claim.id, first
        of = StorySource(source, options, self._stories.known_sections())
        stamps = _stamps(claim, new.content_hash)
        # Hooks overtake each other. Where the system can be asked, a story that does not say itself that it is newer
        # than the one here is asked for: it may be older, and bring back what was taken down since.
        asks = can_fetch(adapter, options)
        self._take_stories(of, reading.events, planned, replace(stamps, received_at=EPOCH if asks else None))
        if asks:
            planned.ids += [each.external_id for each in planned.stories if each.outcome == "stale"]
        result = planned.result()
        hooks.settle(self._record, claim, result, next_try_at=now if result.state == QUEUED else None)
        return claim.id, result

    def resume(self, source: Source, hook: Hook) -> HookResult:
        """Works on a hook that is kept: one that was held, or whose process died. What it says may be old by now: a
        story that changed since is fetched, or stays as it is."""
        adapter = registry.ADAPTERS.get(hook.adapter)
        if adapter is None:
            return HookResult(HELD, "held", registry.unknown_words(hook.adapter))
        options = source_settings.options(self._record, source.id)
        request = HookRequest(hook.method, hook.target, hook.headers, hook.body)
        reading = (
            HookReading([Hint(json.loads(hook.body))])
            if hook.method == hooks.FETCHED
            else read(adapter, request, settings_of(options))
        )
        tally = self._planned(adapter, options, reading)
        if tally.sweep is not None:
            source_sync.ask(self._record, source.id, self._stories.clock(), sweep=tally.sweep)
        of = StorySource(source, options, self._stories.known_sections())
        stamps = replace(_stamps(hook.claim, hook.content_hash), received_at=hook.last_received_at)
        self._take_stories(of, reading.events, tally, stamps)
        if can_fetch(adapter, options):
            tally.ids += [each.external_id for each in tally.stories if each.outcome == "stale"]
        return tally.result()

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
    """The stamps of a hook's events: each has an idempotency key of its own, the same however often it is tried."""

    prefix: str
    body_hash: str
    received_at: datetime | None = None

    def of(self, place: int, event: StoryRead | Gone) -> Stamp:
        """A takedown is taken at its word, unless it waited."""
        at_once = self.received_at == EPOCH and is_takedown(event)
        return Stamp(f"{self.prefix}:{place}", self.body_hash, None if at_once else self.received_at)


def _stamps(claim: HookClaim, body_hash: str) -> _Stamps:
    return _Stamps(f"hook:{claim.id}:{claim.repeats}", body_hash)


def read(adapter: Adapter, request: HookRequest, settings: SourceSettings) -> HookReading:
    """The events of a request; a fault of the adapter holds it too, so that nothing authenticated is ever lost."""
    try:
        events = list(adapter.read(request, settings))
    except Unreadable as error:
        return HookReading(fault=text.line(str(error))[:HELD_WORDS] or "it cannot be read")
    except Exception as error:
        log.exception("hook.read_failed", adapter=adapter.name)
        return HookReading(
            fault=f"the adapter {adapter.name} has a fault: {type(error).__name__}; it was logged"
        )
    if len(events) > EVENTS_MOST:
        return HookReading(
            fault=f"it has {len(events):,} events; {EVENTS_MOST:,} at the most are taken at once"
        )
    return HookReading(events)


def settings_of(options: SourceOptions) -> SourceSettings:
    """A source's settings as its adapter sees them."""
    return SourceSettings(
        base_url=options.base_url,
        language=options.language,
        content_type=options.content_type,
        fields={name: FieldRule(*rule) for name, rule in options.fields.items()},
        has_token=bool(options.api_token),
    )


def can_fetch(adapter: Adapter, options: SourceOptions) -> bool:
    """Whether a story can be asked for by its id."""
    return adapter.fetch is not None and adapter.fetched is not None and bool(options.base_url)


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


def _new_hook(source: Source, request: HookRequest, secrets: Sequence[str]) -> NewHook:
    stored = stored_request(request, secrets)
    digest = hashlib.sha256(repr((request.method, request.target, _telling(request.headers))).encode())
    digest.update(request.body)
    return NewHook(source.id, digest.hexdigest(), stored.method, stored.target, stored.headers, stored.body)


def _telling(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that tell one event from another with the same body: those with its name, no times and signatures."""
    words = ("topic", "event", "operation", "action", "hook-name", "content-type")
    return sorted((name, value) for name, value in headers.items() if any(word in name for word in words))
