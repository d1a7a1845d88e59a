"""The history of an article or an event: revisions, deliveries, holdings. JSON, never cached."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from service import times
from service.api.models import (
    ArticleEvent,
    ArticleHistory,
    ArticleRevision,
    DeliveryAttempt,
    EventDelivery,
    EventHistory,
    PartnerHolding,
    json_response,
)
from service.http import auth, parameters
from service.http.problems import Problem
from service.store import names
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.errors import NotFound
from service.store.names import DeliveryName
from service.store.views import history
from service.store.views.history import ArticleTrace, DeliveryTrace, EventDetails, EventTrace, HistoryPart
from service.store.views.holdings import FIRST_PLACE, read_place

Trace = TypeVar("Trace", ArticleTrace, EventTrace)


def create_blueprint(
    record: Record, operator_token: str, clock: Callable[[], datetime] = times.now
) -> Blueprint:
    blueprint = Blueprint("api", __name__)

    @blueprint.get("/v1/articles/<path:name>")
    def get_article(name: str) -> Response:
        """An article, its revisions and events, and the partners that hold it. For the operator, and its own source."""
        parameters.require_known("revisions_before", "partners_after")
        source = _find_source(record, operator_token, clock())
        part = _part()
        trace = _find_trace(lambda: history.article_trace(record, name, part))
        if source is not None and source.slug != trace.source:
            raise _not_yours()
        return json_response(_article(trace, part))

    @blueprint.get("/v1/articles")
    def find_article() -> Response:
        """An article by its source's own id: ?source=SLUG&external_id=ID."""
        parameters.require_known("source", "external_id")
        source = _find_source(record, operator_token, clock())
        slug, external_id = request.args.get("source"), request.args.get("external_id")
        if not slug or not external_id or "\0" in slug + external_id:
            raise Problem(400, "query", "name the article: ?source=SLUG&external_id=ID")
        if source is not None and source.slug != slug:
            raise _not_yours()
        trace = _find_trace(lambda: history.article_by_external(record, slug, external_id))
        return json_response(_article(trace, HistoryPart()))

    @blueprint.get("/v1/events/<name>")
    def get_event(name: str) -> Response:
        """An event, its deliveries and their attempts. For the operator."""
        parameters.require_known("after")
        auth.require_operator(operator_token)
        after = _after()
        trace = _find_trace(lambda: history.event_trace(record, name, after))
        body = EventHistory(
            article=trace.article,
            deliveries=[_delivery(each) for each in trace.deliveries],
            delivery_count=trace.delivery_count,
            next=_next_deliveries(trace),
            **_event(trace.event).model_dump(),
        )
        return json_response(body)

    return blueprint


def _find_source(record: Record, operator_token: str, now: datetime) -> Source | None:
    """The source that asks, which may see its own articles only; None for the operator, who may see all."""
    if auth.is_operator(operator_token):
        return None
    if (source := auth.find_source(record, now)) is None:
        raise auth.unauthenticated("this needs the operator's token, or the API key of the article's source")
    return source


def _part() -> HistoryPart:
    before, after = request.args.get("revisions_before"), request.args.get("partners_after")
    number = HistoryPart.before if before is None else _revision_number(before)
    place = FIRST_PLACE if after is None else read_place(after)
    if number is None:
        raise parameters.wrong_value(
            "revisions_before", "the number of a revision, such as 12 (take it from `next`)"
        )
    if place is None:
        raise parameters.wrong_value(
            "partners_after", "a place in the list, such as 0.3.7 (take it from `next`)"
        )
    return HistoryPart(number, place)


def _revision_number(text: str) -> int | None:
    plain = text.isascii() and text.isdigit() and len(text) <= 10
    return int(text) if plain and 0 < int(text) <= HistoryPart.before else None


def _after() -> DeliveryName | None:
    text = request.args.get("after")
    after = None if text is None else names.read_delivery_id(text)
    if text is not None and after is None:
        raise parameters.wrong_value("after", "the id of a delivery, dlv_… (take it from `next`)")
    return after


def _next_part(trace: ArticleTrace, part: HistoryPart) -> str | None:
    """Where the rest is: each list goes on after what this part has of it."""
    before = trace.revisions[-1].number if trace.revisions else part.before
    after = trace.holdings[-1].place if trace.holdings else part.after
    if before == 1 and trace.holdings_before + len(trace.holdings) >= trace.holding_count:
        return None
    rest = urlencode({"revisions_before": before, "partners_after": after})
    return f"/v1/articles/{names.last_part(trace.id)}?{rest}"


def _next_deliveries(trace: EventTrace) -> str | None:
    shown = trace.deliveries
    if not shown or trace.deliveries_before + len(shown) >= trace.delivery_count:
        return None
    return f"/v1/events/{trace.event.id}?{urlencode({'after': shown[-1].delivery.id})}"


def _not_yours() -> Problem:
    return Problem(403, "not-yours", "this article belongs to another source")


def _find_trace(find: Callable[[], Trace]) -> Trace:
    try:
        return find()
    except NotFound as error:
        raise Problem(404, "not-found", f"there is no {error.what} {error.name!r} here") from None


def _article(trace: ArticleTrace, part: HistoryPart) -> ArticleHistory:
    return ArticleHistory(
        article=trace.id,
        source=trace.source,
        external_id=trace.external_id,
        revision=trace.revision,
        status=trace.status,
        embargo_until=trace.embargo_until,
        expires_at=trace.expires_at,
        first_published_at=trace.first_published_at,
        changed_at=trace.changed_at,
        content=dict(trace.content),
        revisions=[
            ArticleRevision(
                revision=each.number,
                status=each.status,
                headline=each.headline,
                version=each.version,
                accepted_at=each.accepted_at,
            )
            for each in reversed(trace.revisions)
        ],
        events=[_event(each.event) for each in reversed(trace.revisions)],
        partners=[
            PartnerHolding(
                partner=each.partner,
                revision=each.revision,
                state=each.state,
                since=each.since,
                channel=each.channel,
                endpoint=each.endpoint_id or None,
            )
            for each in trace.holdings
        ],
        partner_count=trace.holding_count,
        next=_next_part(trace, part),
    )


def _event(event: EventDetails) -> ArticleEvent:
    return ArticleEvent(
        event=event.id,
        type=event.type,
        revision=event.revision,
        occurred_at=event.occurred_at,
        actor=event.actor,
        reason=event.reason,
        routed_at=event.routed_at,
    )


def _delivery(trace: DeliveryTrace) -> EventDelivery:
    each = trace.delivery
    return EventDelivery(
        id=each.id,
        partner=each.partner,
        endpoint_id=each.endpoint_id,
        sequence=each.sequence,
        revision=each.revision,
        state=each.state,
        due_at=each.due_at,
        attempts=[
            DeliveryAttempt(
                number=attempt.number,
                started_at=attempt.started_at,
                outcome=attempt.outcome,
                status=attempt.status,
                words=attempt.words,
                total_ms=attempt.total_ms,
                address=attempt.address,
            )
            for attempt in trace.attempts
        ],
        attempt_count=trace.attempt_count,
        superseded_by=each.superseded_by,
        last_words=each.last_words,
        settled_at=each.settled_at,
    )
