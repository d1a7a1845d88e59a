"""`GET /v1/partner/events`: a partner finds the pushes it missed (docs/partners.md, "Finding and mending gaps")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from service.api.models import JSON, PartnerEventFacts, PartnerEvents, PartnerEventWithData
from service.http import auth, parameters
from service.http.problems import Problem
from service.store.database.record import Record
from service.store.deliveries import push_content
from service.store.errors import NotFound
from service.store.partners import catch_up
from service.store.partners.catch_up import PartnerEvent, StreamPage, StreamQuery
from service.webhooks import push_body

PARTNER_EVENTS_PATH = "/v1/partner/events"
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
# Bodies of an article may have a megabyte each.
MAX_LIMIT_WITH_DATA = 100


def create_blueprint(record: Record, public_url: str, clock: Callable[[], datetime]) -> Blueprint:
    blueprint = Blueprint("api_partner", __name__)

    @blueprint.get(PARTNER_EVENTS_PATH)
    def get_partner_events() -> Response:
        """A partner's events after sequence number ?after=N, with the superseded ones marked. For that partner."""
        parameters.require_known("after", "limit", "endpoint", "include")
        query = _query(auth.require_partner(record, clock()).id)
        read = catch_up.read_with_bodies if query.with_data else catch_up.read
        try:
            page = read(record, query.asked, clock())
        except NotFound as error:
            raise Problem(404, "not-found", f"you have no {error.what} {error.name}") from None
        bodies = _bodies(record, page) if query.with_data else {}
        events = [_event(each, query, bodies.get(each.event_row)) for each in page.events]
        after = page.events[-1].sequence if page.events else query.asked.after
        following = f"{public_url}{PARTNER_EVENTS_PATH}?{query.following(after)}" if page.more else None
        return _answer(PartnerEvents(events=events, next=after, more=page.more), following)

    return blueprint


@dataclass(frozen=True)
class _EventsQuery:
    asked: StreamQuery
    with_data: bool

    def following(self, after: int) -> str:
        asked: dict[str, Any] = {"after": after, "limit": self.asked.limit}
        if self.asked.endpoint is not None:
            asked["endpoint"] = self.asked.endpoint
        return urlencode(asked | ({"include": "data"} if self.with_data else {}))


def _query(partner_id: int) -> _EventsQuery:
    include = request.args.get("include")
    if include not in (None, "data"):
        raise parameters.wrong_value("include", "data, or left out")
    most = MAX_LIMIT_WITH_DATA if include else MAX_LIMIT  # `more` says that there is more than fits
    endpoint = parameters.whole_number("endpoint") if "endpoint" in request.args else None
    limit = max(min(parameters.whole_number("limit", DEFAULT_LIMIT, MAX_LIMIT), most), 1)
    return _EventsQuery(
        StreamQuery(partner_id, parameters.whole_number("after"), limit, endpoint), include is not None
    )


def _bodies(record: Record, page: StreamPage) -> dict[int, dict[str, Any]]:
    """The bodies of the pushes, by event: the same that were signed and sent."""
    rows = {each.event_row for each in page.events if each.readable}
    return {
        row: json.loads(push_body.body(told))
        for row, told in push_content.push_contents(record, rows).items()
    }


def _event(
    each: PartnerEvent, query: _EventsQuery, body: dict[str, Any] | None
) -> PartnerEventFacts | PartnerEventWithData:
    facts: dict[str, Any] = {
        "sequence": each.sequence,
        "endpoint": each.endpoint_id,
        "id": each.id,
        "type": each.type,
        "article": each.article,
        "revision": each.revision,
        "state": each.state,
        "superseded_by": each.superseded_by,
        "superseded_by_sequence": each.superseded_by_sequence,
        "occurred_at": each.occurred_at,
    }
    if not query.with_data:
        return PartnerEventFacts(**facts)
    return PartnerEventWithData(**facts | (body if body is not None and each.readable else {"data": None}))


def _answer(events: PartnerEvents, following: str | None) -> Response:
    body = events.model_dump_json(exclude_unset=True).encode()
    response = Response(body, content_type=JSON)
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    if following:
        response.headers["Link"] = f'<{following}>; rel="next"'
    response.set_etag(hashlib.sha256(body).hexdigest()[:32])
    response.make_conditional(request)
    return response
