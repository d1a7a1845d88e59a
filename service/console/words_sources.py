"""The state of a source in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from service.console.words import LEVELS, Word, count
from service.store.views.sources import SourceNow
from service.times import ago, span


def source_word(source: SourceNow, now: datetime) -> Word:
    """The one word for a source, the gravest that is true."""
    if source.held_takedowns:
        words = f"{count(source.held_takedowns, 'takedown')} cannot be mapped: the story is still everywhere"
        return Word("bad", "open", "A takedown is held", words)
    if source.is_waiting:
        waited = f"for {span(now - source.waiting_since)}" if source.waiting_since else ""
        words = f"more stories are gone from its system than one sweep may take down, {waited}".rstrip(", ")
        return Word("bad", "paused", "Takedowns wait for you", words)
    if source.held:
        words = f"{count(source.held, 'hook')} cannot be mapped"
        return Word(
            "warn",
            "paused",
            "Held",
            words + (f"; its API fails, too: it {source.failure}" if source.failures else ""),
        )
    return _quieter_word(source, now)


def _quieter_word(source: SourceNow, now: datetime) -> Word:
    """The word for a source that waits for nobody."""
    if source.failures:
        since = f", last {ago(source.failed_at, now)}" if source.failed_at else ""
        return Word("warn", "retry", "Its API fails", f"it {source.failure}{since}")
    if source.silent_since is not None:
        return Word(
            "warn",
            "silent",
            "Silent",
            f"for {span(now - (source.last_post_at or source.silent_since))}: longer than it uses to be",
        )
    if source.last_post_at is None:
        return Word("quiet", "none", "Nothing came yet")
    return Word("good", "good", "Fine")


def remedy(source: SourceNow) -> str:
    """The command that shows more, or mends it; empty where nothing is wrong."""
    if source.held:
        return f"dateline source held {source.slug}"
    return (
        f"dateline source show {source.slug}"
        if source.is_waiting or source.failures or source.silent_since
        else ""
    )


def gravest(sources: Iterable[SourceNow], now: datetime) -> list[SourceNow]:
    """The gravest first, then as they were added."""
    return sorted(sources, key=lambda each: -LEVELS.index(source_word(each, now).level))
