"""The state of the intake in words: what it refuses, and that nothing comes. Pure."""

from __future__ import annotations

from datetime import datetime

from service.console.words import Summary, count
from service.store.articles.refusals import TAKEDOWN
from service.store.views.pipeline import PipelineNow
from service.store.views.thresholds import NOTHING_CAME_AFTER, REFUSED_WITHIN, TAKEDOWN_REFUSED_WITHIN
from service.times import ago, span

UNKNOWN_REFUSED = 3  # refusals of unknown senders in a row that are told: the internet knocks at every door


def refused_takedown(pipeline: PipelineNow, now: datetime) -> Summary | None:
    """A takedown of a known source that is not here, whatever else of it is."""
    found = [each for each in pipeline.refused if each.reason == TAKEDOWN]
    if not found or now - found[0].last_at >= TAKEDOWN_REFUSED_WITHIN:
        return None
    words = (
        f"The intake refused a takedown of {found[0].source!r} {ago(found[0].last_at, now)}:"
        " its story may still be everywhere"
    )
    return Summary("bad", words, f"dateline source show {found[0].source}")


def refused(pipeline: PipelineNow, now: datetime) -> Summary | None:
    """A source of which everything is refused, or unknown senders alone: its stories are not here, so nobody is
    current with them."""
    others_than_takedowns = [each for each in pipeline.refused if each.reason != TAKEDOWN]
    lately = [each for each in others_than_takedowns if now - each.last_at < REFUSED_WITHIN]
    known = [each for each in lately if each.source]
    if not known and sum(each.in_a_row for each in lately) < UNKNOWN_REFUSED:
        return None
    worst = max(known or lately, key=lambda each: each.in_a_row)
    others = len(known or lately) - 1
    sender = repr(worst.source) if worst.source else "unknown senders"
    also = f", and of {count(others, 'other source')}" if others else ""
    posts = "the last post" if worst.in_a_row == 1 else f"each of the last {worst.in_a_row:,} posts"
    words = f"The intake refused {posts} of {sender}{also}: {worst.reason}, {ago(worst.last_at, now)}"
    return Summary("warn", words, "dateline source list")


def silence(pipeline: PipelineNow, now: datetime) -> Summary | None:
    """A source that is silent for longer than it uses to be: its stories may be missing here."""
    found = [each for each in pipeline.sources if each.silent_since is not None]
    if not found:
        return None
    longest = min(each.last_post_at for each in found if each.last_post_at is not None)
    also = f" and {count(len(found) - 1, 'other source')}" if len(found) > 1 else ""
    words = f"{found[0].name}{also} sent nothing for {span(now - longest)}, longer than usual"
    return Summary("warn", words, f"dateline source show {found[0].slug}")


def nothing_came(pipeline: PipelineNow, now: datetime) -> Summary | None:
    """Silence at the intake looks like a calm day: a source whose key or address is wrong sends nothing, too."""
    if pipeline.accepted_at is None or now - pipeline.accepted_at < NOTHING_CAME_AFTER:
        return None
    words = f"Nothing has come in for {span(now - pipeline.accepted_at)}; all that came is delivered"
    return Summary("warn", words, "dateline source list")
