"""A hook's events as its adapter reads them, and the source's settings as the adapter sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service import logs
from service.intake import text
from service.intake.adapters.adapter import (
    Adapter,
    Event,
    FieldRule,
    HookRequest,
    SourceSettings,
    Unreadable,
)
from service.intake.story_intake import HELD_WORDS
from service.store.articles.source_settings import SourceOptions

log = logs.get("intake")

EVENTS_MOST = 1_000  # of one request; one with more is held


@dataclass(frozen=True)
class HookReading:
    """The events of a request, or why it is held."""

    events: Sequence[Event] = ()
    fault: str | None = None


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
