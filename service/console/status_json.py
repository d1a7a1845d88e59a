"""The status page as plain values for JSON. The keys are a contract: docs/operations.md, Status as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from service import times
from service.console import words_desk, words_sources
from service.console.words import Word
from service.store.errors import NotFound
from service.store.notices import Notice
from service.store.views.events import EventNow
from service.store.views.feeds import FeedNow
from service.store.views.partners import EndpointNow, PartnerNow
from service.store.views.pipeline import PipelineNow
from service.store.views.sources import SourceNow

Facts = dict[str, Any]
PARTNERS_LISTED = 100
LISTED = 25  # endpoints of each of them, and feeds
NAMES_LISTED = 100  # of workers, and of feeds that wait to be built


@dataclass(frozen=True)
class StatusCursor:
    """The part of the partners that is asked for: those after one, or only one, with what comes after these of it."""

    after: str | None = None
    partner: str | None = None
    endpoints_after: int = 0
    feeds_after: int = 0


_START = StatusCursor()


def facts(
    partners: Sequence[PartnerNow],
    pipeline: PipelineNow,
    events: Sequence[EventNow],
    notices: Sequence[Notice],
    now: datetime,
    cursor: StatusCursor = _START,
) -> Facts:
    """Times are ISO 8601 in UTC, ages whole seconds; what is not known is null.

    Raises NotFound for a cursor with a partner that is none.
    """
    summary = words_desk.summary(partners, pipeline, now)
    ranked = words_desk.worst_first(partners, now)
    start = _place(ranked, cursor.after) + 1 if cursor.after is not None else 0
    shown = ranked[start : start + PARTNERS_LISTED]
    if cursor.partner is not None:
        shown = [ranked[_place(ranked, cursor.partner)]]
    more = cursor.partner is None and start + len(shown) < len(ranked)
    return {
        "as_of": _iso(now),
        "summary": {"sentence": summary.sentence, "level": summary.level},
        "partners": [_partner(each, now, cursor) for each in shown],
        "partner_count": len(ranked),
        "next": f"/status.json?{urlencode({'after': shown[-1].slug})}" if more else None,
        "sources": [_source(each, now) for each in pipeline.sources],
        "pipeline": _pipeline(pipeline, now),
        "events": [_event(each, now) for each in events],
        "notices": [_notice(each) for each in notices],
    }


def _place(ranked: Sequence[PartnerNow], slug: str) -> int:
    place = next((number for number, each in enumerate(ranked) if each.slug == slug), None)
    if place is None:
        raise NotFound("partner", slug)
    return place


def _partner(partner: PartnerNow, now: datetime, cursor: StatusCursor) -> Facts:
    endpoints = partner.endpoints
    shown = [each for each in endpoints if each.id > cursor.endpoints_after][:LISTED]
    feeds = [each for each in partner.feeds if each.id > cursor.feeds_after][:LISTED]
    failed = partner.last_failed
    return {
        "slug": partner.slug,
        "name": partner.name,
        **_state(words_desk.partner_state(partner, now)),
        "current": not partner.is_behind(now),
        "backlog": partner.undelivered,
        "oldest_undelivered_seconds": _age(partner.oldest_since, now),
        "in_flight": partner.in_flight,
        "scheduled": sum(each.scheduled for each in endpoints),
        "given_up": partner.given_up,
        "missing": partner.missing,
        "last_success_at": _iso(partner.last_success_at),
        "last_failure_at": _iso(failed.last_failure_at) if failed else None,
        "last_failure": failed.last_failure if failed else None,
        "endpoints": [_endpoint(each, now) for each in shown],
        "endpoint_count": len(endpoints),
        "feeds": [_feed(each, now) for each in feeds],
        "feed_count": len(partner.feeds),
        "next": _rest_of(partner, shown, feeds),
    }


def _rest_of(partner: PartnerNow, shown: Sequence[EndpointNow], feeds: Sequence[FeedNow]) -> str | None:
    """The address of the endpoints and feeds that come after these; both are in the order of their numbers."""
    after = shown[-1].id if shown else max((each.id for each in partner.endpoints), default=0)
    feeds_after = feeds[-1].id if feeds else max((each.id for each in partner.feeds), default=0)
    if all(each.id <= after for each in partner.endpoints) and all(
        each.id <= feeds_after for each in partner.feeds
    ):
        return None
    rest = {"partner": partner.slug, "endpoints_after": after, "feeds_after": feeds_after}
    return f"/status.json?{urlencode(rest)}"


def _endpoint(endpoint: EndpointNow, now: datetime) -> Facts:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        **_state(words_desk.endpoint_state(endpoint, now)),
        "sections": None if endpoint.sections is None else list(endpoint.sections),
        "backlog": endpoint.undelivered,
        "oldest_undelivered_seconds": _age(endpoint.oldest_since, now),
        "retrying": endpoint.retrying,
        "scheduled": endpoint.scheduled,
        "in_flight": endpoint.in_flight,
        "max_in_flight": endpoint.max_in_flight,
        "given_up": endpoint.given_up,
        "missing": endpoint.missing,
        "breaker": endpoint.breaker,
        "breaker_until": _iso(endpoint.breaker_until),
        "not_before": _iso(endpoint.not_before),
        "last_success_at": _iso(endpoint.last_success_at),
        "last_failure_at": _iso(endpoint.last_failure_at),
        "last_failure": endpoint.last_failure,
    }


def _feed(feed: FeedNow, now: datetime) -> Facts:
    return {
        "id": feed.id,
        "title": feed.title,
        **_state(words_desk.feed_state(feed, now)),
        "sections": None if feed.sections is None else list(feed.sections),
        "created_at": _iso(feed.created_at),
        "revoked_at": _iso(feed.revoked_at),
        "last_fetched_at": _iso(feed.fetched_at),
        "unfetched_seconds": None if feed.revoked_at else _age(feed.fetched_at or feed.created_at, now),
        "fetches": feed.fetches,
        "tokens": [
            {
                "number": each.number,
                "created_at": _iso(each.created_at),
                "works_until": _iso(each.until),
                "last_fetched_at": _iso(each.fetched_at),
                "fetches": each.fetches,
                "last_refused_at": _iso(each.refused_at),
            }
            for each in feed.tokens
        ],
    }


def _source(source: SourceNow, now: datetime) -> Facts:
    return {
        "slug": source.slug,
        "name": source.name,
        "adapter": source.adapter,
        **_state(words_sources.source_word(source, now)),
        "last_post_at": _iso(source.last_post_at),
        "silent": source.silent_since is not None,
        "held": source.held,
        "held_takedowns": source.held_takedowns,
        "queued": source.queued,
        "takedowns_wait": source.is_waiting,
        "compared_at": _iso(source.changes_at),
        "swept_at": _iso(source.swept_at),
        "api_failure": source.failure,
    }


def _pipeline(pipeline: PipelineNow, now: datetime) -> Facts:
    return {
        "record": {"level": "good", "state": "Up"},
        "redis": _word(words_desk.redis_word(pipeline, now)),
        "workers": [
            {
                "name": each.name,
                "running": each.is_running(now),
                "started_at": _iso(each.started_at),
                "seen_at": _iso(each.seen_at),
                "broker": each.broker,
            }
            for each in pipeline.workers[:NAMES_LISTED]
        ],
        "worker_count": len(pipeline.workers),
        "unrouted": pipeline.unrouted,
        "oldest_unrouted_seconds": _age(pipeline.unrouted_since, now),
        "feeds": pipeline.feeds,
        "feeds_behind": list(islice(pipeline.feeds_behind, NAMES_LISTED)),
        "feeds_behind_count": len(pipeline.feeds_behind),
        "feeds_lag_seconds": _age(pipeline.feeds_behind_since, now) or 0,
        "swept_at": _iso(pipeline.swept_at),
        "refused": [
            {
                "source": each.source or None,
                "in_a_row": each.in_a_row,
                "last_at": _iso(each.last_at),
                "reason": each.reason,
            }
            for each in pipeline.refused
        ],
    }


def _event(event: EventNow, now: datetime) -> Facts:
    secret = event.embargo_until is not None and event.embargo_until > now
    return {
        "id": event.id,
        "type": event.type,
        "article": event.article,
        "revision": event.revision,
        "source": event.source,
        "headline": event.headline,
        "embargo_until": _iso(event.embargo_until) if secret else None,
        "occurred_at": _iso(event.occurred_at),
        "routed_at": _iso(event.routed_at),
        "deliveries": dict(event.deliveries),
    }


def _notice(notice: Notice) -> Facts:
    return {
        "id": notice.public_id,
        "type": notice.kind,
        "words": notice.words,
        "count": notice.count,
        "about": notice.about,
        "partner": notice.partner,
        "endpoint": notice.endpoint_id,
        "created_at": _iso(notice.created_at),
    }


def _state(word: Word) -> Facts:
    return {"state": word.word, "level": word.level, "state_detail": word.detail or None}


def _word(word: Word) -> Facts:
    return {"level": word.level, "state": word.word, "detail": word.detail or None}


def _age(since: datetime | None, now: datetime) -> int | None:
    return None if since is None else max(0, int((now - since).total_seconds()))


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else times.to_iso(moment)
