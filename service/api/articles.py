"""What became of it: articles and events. JSON, never cached."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from flask import Blueprint, Response, request

from service import times
from service.http import auth
from service.http.problems import Problem
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.errors import NotFound
from service.store.views import history
from service.store.views.deliveries import AttemptNow
from service.store.views.history import ArticleTrace, DeliveryTrace, EventDetails, EventTrace

Trace = TypeVar("Trace", ArticleTrace, EventTrace)


def create_blueprint(record: Record, operator_token: str) -> Blueprint:
    blueprint = Blueprint("api", __name__)

    @blueprint.get("/v1/articles/<path:name>")
    def get_article(name: str) -> Response:
        """An article: its revisions, its events, who holds what. For the operator, and its own source."""
        source = _asking(record, operator_token)
        trace = _found(lambda: history.article_trace(record, name))
        if source is not None and source.slug != trace.source:
            raise _not_yours()
        return _json(_article(trace))

    @blueprint.get("/v1/articles")
    def find_article() -> Response:
        """An article by its source's own id: ?source=SLUG&external_id=ID."""
        source = _asking(record, operator_token)
        slug, external_id = request.args.get("source"), request.args.get("external_id")
        if not slug or not external_id or "\0" in slug + external_id:
            raise Problem(400, "query", "name the article: ?source=SLUG&external_id=ID")
        if source is not None and source.slug != slug:
            raise _not_yours()
        return _json(_article(_found(lambda: history.article_by_external(record, slug, external_id))))

    @blueprint.get("/v1/events/<name>")
    def get_event(name: str) -> Response:
        """An event, its deliveries and their attempts. For the operator."""
        auth.require_operator(operator_token)
        trace = _found(lambda: history.event_trace(record, name))
        deliveries = [_delivery(each) for each in trace.deliveries]
        return _json({"article": trace.article, **_event(trace.event), "deliveries": deliveries})

    return blueprint


def _asking(record: Record, operator_token: str) -> Source | None:
    """The source that asks, which may see its own articles only; None: the operator, who may see all."""
    if auth.is_operator(operator_token):
        return None
    if (source := auth.a_source(record)) is None:
        raise auth.unauthenticated("this needs the operator's token, or the API key of the article's source")
    return source


def _not_yours() -> Problem:
    return Problem(403, "not-yours", "this article belongs to another source")


def _found(find: Callable[[], Trace]) -> Trace:
    try:
        return find()
    except NotFound as error:
        raise Problem(404, "not-found", f"there is no {error.what} {error.name!r} here") from None


def _article(trace: ArticleTrace) -> dict[str, Any]:
    return {
        "article": trace.id,
        "source": trace.source,
        "external_id": trace.external_id,
        "revision": trace.revision,
        "status": trace.status,
        "embargo_until": _time(trace.embargo_until),
        "expires_at": _time(trace.expires_at),
        "first_published_at": _time(trace.first_published_at),
        "changed_at": _time(trace.changed_at),
        "content": trace.content,
        "revisions": [
            {
                "revision": each.number,
                "status": each.status,
                "headline": each.headline,
                "version": each.version,
                "accepted_at": _time(each.accepted_at),
            }
            for each in reversed(trace.revisions)
        ],
        "events": [_event(each.event) for each in reversed(trace.revisions)],
        "partners": [
            {
                "partner": each.partner,
                "revision": each.revision,
                "since": _time(each.since),
                "channel": each.channel,
                "endpoint": each.endpoint_id or None,
            }
            for each in trace.holdings
        ],
    }


def _event(event: EventDetails) -> dict[str, Any]:
    return {
        "event": event.id,
        "type": event.type,
        "revision": event.revision,
        "occurred_at": _time(event.occurred_at),
        "actor": event.actor,
        "reason": event.reason,
        "routed_at": _time(event.routed_at),
    }


def _delivery(trace: DeliveryTrace) -> dict[str, Any]:
    each = trace.delivery
    return {
        "id": each.id,
        "partner": each.partner,
        "endpoint_id": each.endpoint_id,
        "sequence": each.sequence,
        "revision": each.revision,
        "state": each.state,
        "due_at": _time(each.due_at),
        "attempts": [_attempt(attempt) for attempt in trace.attempts],
        "superseded_by": each.superseded_by,
        "last_words": each.last_words,
        "settled_at": _time(each.settled_at),
    }


def _attempt(each: AttemptNow) -> dict[str, Any]:
    return {
        "number": each.number,
        "started_at": _time(each.started_at),
        "outcome": each.outcome,
        "status": each.status,
        "words": each.words,
        "total_ms": each.total_ms,
        "address": each.address,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else times.to_iso(moment)


def _json(body: dict[str, Any]) -> Response:
    text = json.dumps(body, ensure_ascii=False)
    return Response(text, content_type="application/json", headers={"Cache-Control": "no-store"})
