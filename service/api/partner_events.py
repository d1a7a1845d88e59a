"""`GET /v1/partner/events`: a partner finds what it missed (docs/partners.md, "Finding and mending gaps")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from service.http import auth
from service.http.problems import Problem
from service.store.database.record import Record
from service.store.deliveries import push_content
from service.store.errors import NotFound
from service.store.partners import catch_up
from service.store.partners.catch_up import PartnerEvent, StreamPage, StreamQuery
from service.webhooks import push_body

PATH = "/v1/partner/events"
PAGE = 100
PAGE_MAX = 1000
# Bodies of an article may have a megabyte each.
PAGE_MAX_WITH_DATA = 100


def create_blueprint(record: Record, public_url: str, clock: Callable[[], datetime]) -> Blueprint:
    blueprint = Blueprint("api_partner", __name__)

    @blueprint.get(PATH)
    def get_partner_events() -> Response:
        """What a partner was sent after sequence number ?after=N, superseded ones marked. For that partner."""
        query = _query(auth.require_partner(record).id)
        look = catch_up.read_with_bodies if query.with_data else catch_up.read
        try:
            page = look(record, query.asked, clock())
        except NotFound as error:
            raise Problem(404, "not-found", f"you have no {error.what} {error.name}") from None
        bodies = _bodies(record, page) if query.with_data else {}
        events = [_event(each, query, bodies.get(each.event_row)) for each in page.events]
        after = page.events[-1].sequence if page.events else query.asked.after
        following = f"{public_url}{PATH}?{query.following(after)}" if page.more else None
        return _answer({"events": events, "next": after, "more": page.more}, following)

    return blueprint


@dataclass(frozen=True)
class _Query:
    asked: StreamQuery
    with_data: bool

    def following(self, after: int) -> str:
        given: dict[str, Any] = {"after": after, "limit": self.asked.limit}
        if self.asked.endpoint is not None:
            given["endpoint"] = self.asked.endpoint
        return urlencode(given | ({"include": "data"} if self.with_data else {}))


def _query(partner_id: int) -> _Query:
    include = request.args.get("include")
    if include not in (None, "data"):
        raise Problem(400, "query", "?include= can only be data")
    most = PAGE_MAX_WITH_DATA if include else PAGE_MAX
    endpoint = _number("endpoint", 0, 2**62) if "endpoint" in request.args else None
    limit = max(_number("limit", PAGE, most), 1)
    return _Query(StreamQuery(partner_id, _number("after", 0, 2**62), limit, endpoint), include is not None)


def _number(name: str, default: int, most: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > most:
        raise Problem(400, "query", f"?{name}= is a whole number from 0 to {most}")
    return int(text)


def _bodies(record: Record, page: StreamPage) -> dict[int, dict[str, Any]]:
    """What the pushes say, by event: the same as was signed and sent."""
    rows = {each.event_row for each in page.events if each.readable}
    return {row: json.loads(push_body.body(told)) for row, told in push_content.told(record, rows).items()}


def _event(each: PartnerEvent, query: _Query, body: dict[str, Any] | None) -> dict[str, Any]:
    facts = {
        "sequence": each.sequence,
        "endpoint": each.endpoint_id,
        "id": each.id,
        "type": each.type,
        "article": each.article,
        "revision": each.revision,
        "state": each.state,
        "superseded_by": each.superseded_by,
        "superseded_by_sequence": each.superseded_by_sequence,
        "occurred_at": each.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    if not query.with_data:
        return facts
    return facts | (body if body is not None and each.readable else {"data": None})


def _answer(facts: dict[str, Any], following: str | None) -> Response:
    text = json.dumps(facts, ensure_ascii=False).encode()
    response = Response(text, content_type="application/json")
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Authorization"
    if following:
        response.headers["Link"] = f'<{following}>; rel="next"'
    response.set_etag(hashlib.sha256(text).hexdigest()[:32])
    response.make_conditional(request)
    return response
