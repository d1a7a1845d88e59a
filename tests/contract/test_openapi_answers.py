"""Every JSON answer has exactly the fields that /openapi.json describes, on a desk at work."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from service.api.models import (
    ArticleHistory,
    BatchAnswer,
    BatchLine,
    EventHistory,
    IntakeAnswer,
    PartnerEvents,
    RefusedBatchLine,
)
from service.api.status_models import DeskStatus, Readiness
from service.http.problems import ProblemDetails
from service.store.database.record import Record
from service.store.deliveries import routing
from tests import seeded
from tests.builders import an_endpoint
from tests.web import OPERATOR, WebDesk, a_newsroom, a_partner, an_app, now, the_article

IMPOSSIBLE = "Thu, 01 Jan 2026 00:00:00 +99999999999999"


@pytest.fixture(scope="module")
def desk(standing_record: Record) -> WebDesk:
    """A desk with partners of every kind, and two more newsrooms."""
    seeded.a_desk_at_work(standing_record, now())
    rooms = [a_newsroom(standing_record, slug) for slug in ("tribune", "gazette")]
    return WebDesk(standing_record, an_app(standing_record), *rooms, [])


def described(answer: Any, model: type[BaseModel], status: int = 200) -> Any:
    """The answer as a model. Raises if a field is missing, of another type, or not described."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    return model.model_validate_json(answer.get_data(), extra="forbid")


def test_answer_to_an_article_is_described(desk: WebDesk) -> None:
    plain = described(desk.post(the_article(id="plain")), IntakeAnswer, 202)
    assert (plain.outcome, plain.warnings) == ("accepted", [])
    warned = desk.post(the_article(id="warned", body_html="<p>Dawn.</p><script>alert(1)</script>"))
    assert described(warned, IntakeAnswer, 202).warnings != []


def test_refusals_are_described_with_and_without_fields(desk: WebDesk) -> None:
    assert described(desk.post(b"{}"), ProblemDetails, 422).errors != []
    refused = desk.get("/v1/events/evt_none", OPERATOR)
    assert described(refused, ProblemDetails, 404).errors == []
    assert "errors" not in refused.json


def test_history_of_an_article_and_of_its_event_is_described(desk: WebDesk) -> None:
    posted = desk.post(the_article(id="history")).json
    seeded.deliver_all(desk.record, now())
    article = described(desk.get(f"/v1/articles/{posted['article']}", OPERATOR), ArticleHistory)
    assert (len(article.revisions), len(article.events)) == (1, 1)
    assert {each.channel for each in article.partners} == {"push"}
    event = described(desk.get(f"/v1/events/{posted['event']}", OPERATOR), EventHistory)
    assert event.deliveries[0].attempts != []


@pytest.mark.parametrize("include", ["", "include=data&"])
def test_events_of_a_partner_are_described(sqlite_desk: WebDesk, include: str) -> None:
    key = a_partner(sqlite_desk.record, "herald")
    an_endpoint(sqlite_desk.record, "herald")
    for headline in ("First", "Second"):
        sqlite_desk.post(the_article(headline=headline))
        routing.route(sqlite_desk.record, now())
    answer = sqlite_desk.get(f"/v1/partner/events?{include}limit=100", key)
    page = described(answer, PartnerEvents)
    assert [each.state for each in page.events] == ["superseded", "pending"]
    assert [("data" in each, "timestamp" in each) for each in answer.json["events"]] == (
        [(True, False), (True, True)] if include else [(False, False)] * 2
    )


def test_status_and_readiness_are_described(desk: WebDesk) -> None:
    status = described(desk.get("/status.json", OPERATOR), DeskStatus)
    assert status.partners != []
    assert status.events != []
    readiness = desk.get("/readyz")
    assert described(readiness, Readiness, readiness.status_code).checks != []


@pytest.mark.parametrize("path", ["/static/docs.css", "/openapi.json", "/feeds", "/v1/partner/events"])
def test_date_that_no_calendar_has_is_ignored(desk: WebDesk, path: str) -> None:
    headers = {"If-Modified-Since": IMPOSSIBLE, "If-Range": IMPOSSIBLE, "Range": "bytes=0-1"}
    with desk.get(path, headers) as answer:
        assert answer.status_code in {200, 401}


def test_description_is_not_sent_again_to_a_client_that_has_it(desk: WebDesk) -> None:
    etag = desk.get("/openapi.json").headers["ETag"]
    assert desk.get("/openapi.json", {"If-None-Match": etag}).status_code == 304


def test_a_batch_is_described_as_a_content_type_of_its_own(desk: WebDesk) -> None:
    described_post = desk.get("/openapi.json").json["paths"]["/v1/articles"]["post"]
    body = described_post["requestBody"]["content"]["application/x-ndjson"]["schema"]
    answer = described_post["responses"]["200"]["content"]["application/x-ndjson"]["schema"]
    for each, model in ((body, "ArticleBatch"), (answer, "BatchAnswer")):
        assert (each["type"], each["contentMediaType"]) == ("string", "application/x-ndjson")
        assert each["contentSchema"] == {"$ref": f"#/components/schemas/{model}"}
    lines = [
        the_article(id="b1"),
        the_article(id="b2", headline=""),
        the_article(id="b3", sections=["world", "x"]),
    ]
    sent = b"\n".join(json.dumps(each).encode() for each in lines)
    taken = desk.client.post(
        "/v1/articles", data=sent, content_type="application/x-ndjson", headers=desk.wire.bearer
    )
    assert (taken.status_code, taken.content_type) == (200, "application/x-ndjson")
    answers = [json.loads(line) for line in taken.text.splitlines()]
    found = BatchAnswer.model_validate(answers, extra="forbid").root
    assert [type(each) for each in found] == [BatchLine, RefusedBatchLine, BatchLine]
    assert (
        "application/x-ndjson"
        not in desk.get("/openapi.json").json["paths"]["/v1/hooks/{source}"]["post"]["requestBody"]["content"]
    )
