"""POST /v1/articles at the door: nothing that a newsroom means is lost for the way it is said."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from service.api.models import IntakeAnswer
from service.api.sections import DeskSections
from service.intake.article_batch import LINES_MOST
from service.intake.routes import MAX_BYTES, NDJSON, REQUEST_BYTES
from service.store import operations
from service.store.articles import refusals
from service.store.articles.source_settings import SourceOptions
from service.store.database.record import Record
from service.store.operations.sources import SourceChange
from service.store.views import pipeline
from service.times import to_iso
from tests.web import (
    OPERATOR,
    WebDesk,
    a_partner,
    a_web_desk,
    an_app,
    encoded,
    nothing_changes,
    now,
    pointers,
    rows,
    the_article,
    the_problem,
)


def taken(answer: Any, status: int = 202) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    IntakeAnswer.model_validate_json(answer.get_data(), extra="forbid")
    facts: dict[str, Any] = answer.json
    return facts


def warned(facts: dict[str, Any]) -> list[str]:
    return [each["pointer"] for each in facts.get("warnings", [])]


def content_of(desk: WebDesk, external_id: str = "42") -> dict[str, Any]:
    answer = desk.get(f"/v1/articles?source=wire&external_id={external_id}", OPERATOR)
    facts: dict[str, Any] = answer.json
    return facts


TROUBLE: list[dict[str, Any]] = [
    {"sections": ["renamed-since"]},
    {"sections": ["world", "renamed-since"]},
    {"images": [{"url": ""}]},
    {"images": [{"url": "ftp://i.example/"}]},
    {"language": "en_US"},
    {"language": "english"},
    {"headline": "x" * 301},
    {"headline": ""},
    {"body_html": "x" * MAX_BYTES},
    {"authors": "Ayesha Khan"},
    {"embargo_until": "soon"},
    {"version": "three"},
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda each: json.dumps(each)[:40])
@pytest.mark.parametrize("status", ["killed", "withheld", "unpublished"])
def test_a_takedown_takes_down_whatever_comes_with_it(
    shared_sqlite_desk: WebDesk, trouble: dict[str, Any], status: str
) -> None:
    desk = shared_sqlite_desk
    name = f"{status}-{json.dumps(trouble)[:60]}"
    taken(desk.post(the_article(id=name)))
    facts = taken(desk.post(the_article(**{**trouble, "id": name, "status": status})))
    assert (facts["outcome"], facts["type"]) == ("accepted", f"article.{status}")
    assert facts["warnings"] != []


def test_a_takedown_with_the_key_of_the_story_takes_it_down(desk: WebDesk) -> None:
    """The key of glue code is often the story's own id, the same for all that it sends."""
    taken(desk.post(the_article(id="42"), idempotency_key="42"))
    facts = taken(desk.post({"id": "42", "status": "killed"}, idempotency_key="42"))
    assert (facts["outcome"], facts["type"]) == ("accepted", "article.killed")
    assert any("idempotency key" in each["detail"] for each in facts["warnings"])
    assert content_of(desk)["status"] == "killed"
    again = taken(desk.post({"id": "42", "status": "killed"}, idempotency_key="42"))
    assert again["outcome"] == "repeat"
    the_problem(desk.post(the_article(id="42", headline="Other"), idempotency_key="42"), 409)
    assert content_of(desk)["status"] == "killed"


@pytest.mark.parametrize("key", ["k" * 300, " 42", "42\u00e9"])
def test_a_takedown_with_a_key_that_is_none_takes_its_story_down(desk: WebDesk, key: str) -> None:
    taken(desk.post(the_article(id="42")))
    the_problem(desk.post(the_article(id="42", headline="Other"), idempotency_key=key), 400)
    facts = taken(desk.post({"id": "42", "status": "killed"}, idempotency_key=key))
    assert (facts["outcome"], facts["type"]) == ("accepted", "article.killed")
    assert any("without its idempotency key" in each["detail"] for each in facts["warnings"])


def test_a_takedown_that_brings_no_usable_content_leaves_the_one_held(desk: WebDesk) -> None:
    taken(desk.post())
    taken(desk.post(the_article(status="withheld", headline="Other words", sections=["renamed-since"])))
    article = content_of(desk)
    assert (article["status"], article["content"]["headline"]) == (
        "withheld",
        "Harbour reopens after the storm",
    )


def test_a_takedown_of_what_was_never_sent_has_nothing_to_do(desk: WebDesk) -> None:
    facts = taken(desk.post({"id": "never", "status": "unpublished"}))
    assert facts["outcome"] == "ignored"
    assert (facts["article"], facts["event"], warned(facts)) == (None, None, ["/id"])
    assert rows(desk.record)["article"] == 0
    assert desk.woken == []


def test_a_takedown_of_a_story_whose_time_lay_ahead_is_not_stale(desk: WebDesk) -> None:
    """A system schedules a story, whose time of change lies ahead then, and trashes it before."""
    ahead = to_iso(now() + timedelta(hours=3))
    facts = taken(desk.post(the_article(updated_at=ahead, embargo_until=ahead)))
    assert warned(facts) == ["/updated_at"]
    gone = taken(desk.post({"id": "42", "status": "unpublished", "updated_at": to_iso(now())}))
    assert (gone["outcome"], gone["type"]) == ("accepted", "article.unpublished")
    newer = taken(desk.post(the_article(headline="Newer", updated_at=to_iso(now()))))
    assert newer["outcome"] == "accepted"


def test_a_clock_that_is_five_minutes_ahead_is_believed(sqlite_desk: WebDesk) -> None:
    ahead = to_iso(now() + timedelta(minutes=4))
    assert warned(taken(sqlite_desk.post(the_article(updated_at=ahead)))) == []
    assert taken(sqlite_desk.post(the_article(headline="O", updated_at=to_iso(now()))))["outcome"] == "stale"


def test_an_unknown_section_among_known_ones_is_left_out_with_a_warning(desk: WebDesk) -> None:
    facts = taken(desk.post(the_article(sections=["sports", "world", "weather"])))
    assert warned(facts) == ["/sections/0", "/sections/2"]
    assert content_of(desk)["content"]["sections"] == ["world"]
    refused = the_problem(desk.post(the_article(id="43", sections=["sports", "weather"])), 422)
    assert pointers(refused) == ["/sections/0", "/sections/1"]


def test_a_number_as_id_and_its_digits_are_one_story(desk: WebDesk) -> None:
    first = taken(desk.post(encoded(id=42)))
    assert warned(first) == ["/id"]
    assert taken(desk.post(encoded(id="42"))) | {"warnings": 0} == first | {
        "outcome": "repeat",
        "warnings": 0,
    }


def test_a_story_is_measured_by_its_letters_and_not_by_their_escapes(sqlite_desk: WebDesk) -> None:
    story = encoded(body_text="\u4e2d" * 300_000)
    assert len(story) > MAX_BYTES
    taken(sqlite_desk.post(story))
    the_problem(sqlite_desk.post(encoded(body_text="\u4e2d" * 350_000)), 413)
    the_problem(sqlite_desk.post(b" " * (REQUEST_BYTES + 1)), 413)


def test_an_id_used_again_after_a_delete_is_another_article(desk: WebDesk) -> None:
    first = taken(desk.post(the_article(created_at="2026-01-01T08:00:00Z")))
    taken(desk.post({"id": "42", "status": "unpublished"}))
    second = taken(desk.post(the_article(created_at="2026-03-01T08:00:00Z", headline="Another")))
    assert second["type"] == "article.published"
    assert second["article"] != first["article"]
    assert content_of(desk)["article"] == second["article"]


# --- tried only


@pytest.mark.parametrize(
    ("posted", "would_be"),
    [
        (the_article(id="43"), "accepted"),
        (the_article(headline="Newer"), "accepted"),
        (the_article(), "repeat"),
        ({"id": "42", "status": "killed"}, "accepted"),
        ({"id": "never", "status": "killed"}, "ignored"),
    ],
)
def test_a_post_that_is_only_tried_is_answered_and_changes_nothing(
    desk: WebDesk, posted: dict[str, Any], would_be: str
) -> None:
    kept = taken(desk.post())
    with nothing_changes(desk.record):
        facts = taken(desk.post(posted, path="/v1/articles?validate=1", idempotency_key="k"), 200)
    assert (facts["outcome"], facts["would_be"], facts["event"]) == ("valid", would_be, None)
    assert facts["article"] == (kept["article"] if posted["id"] == "42" else None)
    assert len(desk.woken) == 1


def test_a_wrong_post_that_is_only_tried_gets_the_same_refusal_and_is_not_counted(desk: WebDesk) -> None:
    wrong = the_article(headline=None)
    tried, posted = (desk.post(wrong, path=f"/v1/articles?validate={each}") for each in "10")
    assert the_problem(tried, 422) == the_problem(posted, 422)
    assert [each.count for each in refusals.totals(desk.record)] == [1]


def test_a_value_of_validate_that_is_neither_is_a_400_and_publishes_nothing(desk: WebDesk) -> None:
    with nothing_changes(desk.record):
        the_problem(desk.post(path="/v1/articles?validate=yes"), 400)


# --- batches


def send_lines(desk: WebDesk, *lines: bytes, path: str = "/v1/articles", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {**desk.wire.bearer, **named}
    return desk.client.post(path, data=b"\n".join(lines), content_type=NDJSON, headers=headers)


def answers_of(answer: Any) -> list[dict[str, Any]]:
    assert (answer.status_code, answer.content_type) == (200, NDJSON), answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_batch_has_an_answer_for_each_line_and_a_wrong_one_stops_none(desk: WebDesk) -> None:
    lines = encoded(id="1"), b"", encoded(id="2", headline=""), b"{", encoded(id="3", sections=["world", "x"])
    facts = answers_of(send_lines(desk, *lines))
    assert [(each["line"], each["status"]) for each in facts] == [(1, 202), (3, 422), (4, 400), (5, 202)]
    assert facts[0]["type"] == "article.published"
    assert facts[1]["errors"][0]["pointer"] == "/headline"
    assert facts[3]["warnings"][0]["pointer"] == "/sections/1"
    assert rows(desk.record)["article"] == 2
    desk.get("/status.json", OPERATOR)  # which has what is counted written
    counted = {each.reason: each.count for each in refusals.totals(desk.record)}
    assert counted == {"invalid": 1, "not-json": 1}


def test_a_source_of_whose_batch_some_lines_are_taken_is_not_one_that_is_refused(desk: WebDesk) -> None:
    answers_of(send_lines(desk, b"{}"))
    assert [each.source for each in pipeline.pipeline_now(desk.record).refused] == ["wire"]
    answers_of(send_lines(desk, b"{}", encoded()))
    assert pipeline.pipeline_now(desk.record).refused == ()


def test_a_repeat_of_a_key_gets_the_first_answer_with_its_warnings(record: Record) -> None:
    clock = [now() + timedelta(minutes=1)]
    desk = a_web_desk(record, clock=lambda: clock[0])
    ahead = (clock[0] + timedelta(days=2)).isoformat()
    body = encoded(
        id=42, language="en_US", sections=["world", "sport"], updated_at=ahead, published_at=ahead, url=""
    )
    first = desk.post(body, idempotency_key="k1").json
    assert {"/id", "/language", "/sections/1", "/updated_at", "/published_at"} <= set(warned(first))
    clock[0] += timedelta(days=3)
    operations.add_section(record, "sport", "Sport", None, actor="operator", now=clock[0])
    again = desk.post(body, idempotency_key="k1")
    assert (again.status_code, again.json) == (202, first)
    tried = desk.post(body, path="/v1/articles?validate=1", idempotency_key="k1").json
    assert tried["warnings"] == first["warnings"]
    assert "/sections/1" not in warned(desk.post(body, idempotency_key="k2").json)


def test_a_repeat_of_a_key_is_no_refusal_after_the_sources_settings_changed(desk: WebDesk) -> None:
    give = partial(operations.change_source, desk.record, desk.wire.slug, actor="operator", now=now())
    give(change=SourceChange(lambda _: SourceOptions(section_map={"Wirtschaft": "business"})))
    body = encoded(sections=["Wirtschaft"])
    first = desk.post(body, idempotency_key="k1").json
    assert first["outcome"] == "accepted"
    give(change=SourceChange(lambda _: SourceOptions(unknown_sections="hold")))
    fresh = an_app(desk.record).test_client()
    headers = {**desk.wire.bearer, "Content-Type": "application/json"}
    assert fresh.post("/v1/articles", data=body, headers={**headers, "Idempotency-Key": "k1"}).json == first
    the_problem(fresh.post("/v1/articles", data=body, headers={**headers, "Idempotency-Key": "k2"}), 422)
    other = fresh.post(
        "/v1/articles",
        data=encoded(id="9", sections=["Wirtschaft"]),
        headers={**headers, "Idempotency-Key": "k1"},
    )
    the_problem(other, 409)


def test_a_batch_sent_twice_with_its_key_gets_the_first_answers_again(desk: WebDesk) -> None:
    lines = [encoded(id=str(number)) for number in range(3)]
    first = answers_of(send_lines(desk, *lines, idempotency_key="import-1"))
    desk.post(the_article(id="0", headline="Newer"))
    assert answers_of(send_lines(desk, *lines, idempotency_key="import-1")) == first


def test_a_batch_that_is_only_tried_keeps_nothing(desk: WebDesk) -> None:
    with nothing_changes(desk.record):
        facts = answers_of(send_lines(desk, encoded(id="1"), path="/v1/articles?validate=1"))
    assert [each["outcome"] for each in facts] == ["valid"]


def test_a_batch_has_its_bounds(sqlite_desk: WebDesk) -> None:
    with nothing_changes(sqlite_desk.record):
        too_many = send_lines(sqlite_desk, *[b"{}"] * (LINES_MOST + 1))
        assert "1,000" in the_problem(too_many, 413)["detail"]
        [large] = answers_of(send_lines(sqlite_desk, encoded(body_text="x" * MAX_BYTES)))
        assert (large["status"], large["line"]) == (413, 1)
        the_problem(sqlite_desk.client.post("/v1/articles", data=b"{}", content_type=NDJSON), 401)
        hook = sqlite_desk.client.post(
            "/v1/hooks/wire", data=b"{}", content_type=NDJSON, headers=sqlite_desk.wire.bearer
        )
        the_problem(hook, 415)


# --- sections


def test_sections_are_listed_to_sources_partners_and_the_operator(record: Record) -> None:
    desk = a_web_desk(record)
    operations.close_section(record, "business", actor="operator", now=now())
    for headers in (OPERATOR, desk.wire.bearer, a_partner(record, "herald-partner")):
        answer = desk.get("/v1/sections", headers)
        found = DeskSections.model_validate_json(answer.get_data(), extra="forbid")
        assert [(each.slug, each.title, each.language) for each in found.sections] == [
            ("world", "World", "en")
        ]
    the_problem(desk.get("/v1/sections"), 401)
    the_problem(desk.get("/v1/sections", {"Authorization": "Bearer dateline_no_key"}), 401)
