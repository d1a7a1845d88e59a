"""The answers that sources, partners and operators are promised: the 202, repeats, warnings, and access."""

from __future__ import annotations

import json
import re
import sqlite3
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.store import operations
from service.store.articles import sources
from service.store.database.record import Record
from service.store.deliveries import numbering, routing
from service.store.errors import NotFound
from service.store.partners import endpoints
from tests import seeded
from tests.builders import an_endpoint
from tests.web import (
    OPERATOR,
    CutOff,
    Headers,
    Newsroom,
    WebDesk,
    a_newsroom,
    a_partner,
    a_web_desk,
    an_app,
    encoded,
    nothing_changes,
    now,
    rows,
    some_sections,
    the_article,
    the_problem,
)

JSON = {"Content-Type": "application/json"}
PUBLIC_ID = r"tag:news\.example\.org,\d{4}-\d\d-\d\d:item/[0-9A-HJKMNP-TV-Z]{26}"
SECRET_HEADLINE = "Merger of the two largest ferry lines agreed"


def told(answer: Any, outcome: str = "accepted") -> dict[str, Any]:
    assert answer.status_code == 202, answer.get_data(as_text=True)
    assert answer.content_type == "application/json"
    body: dict[str, Any] = json.loads(answer.data)
    assert body["outcome"] == outcome
    return body


def test_a_new_article_is_answered_with_its_public_id_revision_event_type_and_outcome(desk: WebDesk) -> None:
    answer = desk.post()
    body = told(answer)
    assert set(body) == {"article", "revision", "event", "type", "outcome"}
    assert re.fullmatch(PUBLIC_ID, body["article"])
    assert body["event"].startswith("evt_")
    assert (body["revision"], body["type"]) == (1, "article.published")
    assert answer.headers["Location"].endswith(f"/v1/articles/{body['article']}")
    assert answer.headers["Cache-Control"] == "no-store"
    assert desk.get(answer.headers["Location"], OPERATOR).json["article"] == body["article"]
    assert desk.woken == [True]


def test_each_change_gets_the_type_of_its_event(sqlite_desk: WebDesk) -> None:
    steps: list[tuple[dict[str, Any], str]] = [
        ({"version": 1}, "published"),
        ({"version": 2, "headline": "Harbour reopens at noon"}, "updated"),
        ({"version": 3, "headline": "Harbour reopens at one", "correction_note": "It was one."}, "corrected"),
        ({"version": 4, "status": "withheld"}, "withheld"),
        ({"version": 5}, "restored"),
        ({"version": 6, "status": "unpublished"}, "unpublished"),
        ({"version": 7}, "restored"),
        ({"version": 8, "status": "killed", "kill_reason": "Wrong person named"}, "killed"),
    ]
    for revision, (changes, kind) in enumerate(steps, 1):
        body = told(sqlite_desk.post(the_article(**changes)))
        assert (body["revision"], body["type"]) == (revision, f"article.{kind}")


def test_a_takedown_needs_no_more_than_id_and_status(sqlite_desk: WebDesk) -> None:
    first = told(sqlite_desk.post())
    killed = told(sqlite_desk.post({"id": "42", "status": "killed"}))
    assert (killed["article"], killed["revision"], killed["type"]) == (first["article"], 2, "article.killed")


def test_the_same_content_again_is_a_repeat_that_stores_nothing_and_wakes_nobody(desk: WebDesk) -> None:
    first = told(desk.post())
    with nothing_changes(desk.record):
        again = told(desk.post(), "repeat")
    assert again == first | {"outcome": "repeat"}
    assert desk.woken == [True]


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ({"version": 5}, {"version": 4, "headline": "Older"}),
        (
            {"updated_at": "2026-01-02T08:00:00Z"},
            {"updated_at": "2026-01-02T07:59:59Z", "headline": "Older"},
        ),
    ],
)
def test_a_post_older_than_the_revision_here_is_stale_and_changes_nothing(
    desk: WebDesk, newer: dict[str, Any], older: dict[str, Any]
) -> None:
    first = told(desk.post(the_article(**newer)))
    with nothing_changes(desk.record):
        stale = told(desk.post(the_article(**older)), "stale")
    assert stale == first | {"outcome": "stale"}
    held = desk.get(f"/v1/articles/{first['article']}", OPERATOR).json
    assert held["content"]["headline"] == the_article()["headline"]


@pytest.mark.parametrize("name", ["Idempotency-Key", "webhook-id"])
def test_a_repeated_key_gets_the_first_answer_word_for_word(desk: WebDesk, name: str) -> None:
    body = encoded(body_html="<p onclick='x()'>A<script>x()</script></p>")
    headers = {**JSON, **desk.wire.bearer, name: "key-1"}
    first = desk.client.post("/v1/articles", data=body, headers=headers)
    told(first)
    assert b"warnings" in first.data
    told(desk.post(encoded(headline="Meanwhile changed")))
    with nothing_changes(desk.record):
        again = desk.client.post("/v1/articles", data=body, headers=headers)
    assert again.data == first.data
    assert again.headers["Location"] == first.headers["Location"]


def test_a_signed_id_is_its_key_and_another_header_cannot_make_it_a_new_one(desk: WebDesk) -> None:
    body = encoded()
    first = desk.client.post("/v1/hooks/wire", data=body, headers=JSON | desk.wire.signed(body))
    told(first)
    told(desk.post(encoded(headline="Meanwhile changed")))
    replayed = JSON | desk.wire.signed(body) | {"Idempotency-Key": "another"}
    with nothing_changes(desk.record):
        assert desk.client.post("/v1/hooks/wire", data=body, headers=replayed).data == first.data


def test_two_sources_may_use_the_same_key_and_the_same_id(desk: WebDesk) -> None:
    ours = told(desk.post(idempotency_key="1"))
    headers = {**JSON, **desk.herald.bearer, "Idempotency-Key": "1"}
    theirs = told(desk.client.post("/v1/articles", data=encoded(), headers=headers))
    assert theirs["article"] != ours["article"]


@pytest.mark.parametrize("path", ["/v1/articles", "/v1/articles?source=wire", "/v1/hooks/wire"])
def test_a_signature_opens_the_door_at_each_address(sqlite_desk: WebDesk, path: str) -> None:
    body = encoded()
    told(sqlite_desk.client.post(path, data=body, headers=JSON | sqlite_desk.wire.signed(body)))


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'Application/JSON; charset="UTF-8"',
     "application/vnd.contentful.management.v1+json"],
)  # fmt: skip
def test_json_is_taken_under_each_of_its_names(sqlite_desk: WebDesk, content_type: str) -> None:
    headers = {**sqlite_desk.wire.bearer, "Content-Type": content_type}
    told(sqlite_desk.client.post("/v1/articles", data=encoded(), headers=headers))


@pytest.mark.parametrize("at_hook", [True, False])
def test_a_source_just_added_may_post_at_once_by_key_and_by_signature(
    sqlite_desk: WebDesk, at_hook: bool
) -> None:
    told(sqlite_desk.post())  # the sources are known from here on
    new = a_newsroom(sqlite_desk.record, "new-paper")
    path = "/v1/hooks/new-paper" if at_hook else "/v1/articles"
    body = encoded()
    told(sqlite_desk.client.post(path, data=body, headers=JSON | new.signed(body)))
    told(sqlite_desk.client.post(path, data=body, headers=JSON | new.bearer), "repeat")


def test_a_warning_names_each_cut_of_the_sanitiser_with_its_place(sqlite_desk: WebDesk) -> None:
    article = the_article(
        body_html='<p onclick="x()">A<script>x()</script> <a href="javascript:x()">b</a></p>',
        headline="Harbour\x00 reopens",
        colour="blue",
        sections=["world", "business", "world"],
        authors=[{"name": "A", "shoe/size": 43}],
    )
    body = told(sqlite_desk.post(article))
    warned = {each["pointer"]: each["detail"] for each in body["warnings"]}
    assert set(warned) == {"/body_html", "/headline", "/colour", "/sections/2", "/authors/0/shoe~1size"}
    assert "<script>" in warned["/body_html"]
    assert "onclick" in warned["/body_html"]
    content = sqlite_desk.get(f"/v1/articles/{body['article']}", OPERATOR).json["content"]
    assert content["body_html"] == "<p>A <a>b</a></p>"
    assert content["headline"] == "Harbour reopens"
    assert content["sections"] == ["world", "business"]


def impatient(desk: WebDesk) -> None:
    """Lets this desk's connections wait for a lock for no more than an instant."""
    with desk.record.reading() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 20")


def test_a_busy_record_is_a_503_that_says_when_to_come_again_and_nothing_was_accepted(
    sqlite_desk: WebDesk,
) -> None:
    path = sqlite_desk.record.engine.url.database
    impatient(sqlite_desk)
    other = sqlite3.connect(str(path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with nothing_changes(sqlite_desk.record):
        answer = sqlite_desk.post(idempotency_key="once")
        assert the_problem(answer, 503)["type"] == "/docs#problem-record-unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    other.execute("ROLLBACK")
    other.close()
    assert sqlite_desk.woken == []
    told(sqlite_desk.post(idempotency_key="once"))


GETS = ("/v1/articles/x", "/v1/articles?source=wire&external_id=42", "/v1/events/x", "/feeds/world.rss",
        "/feeds.opml", "/status.json")  # fmt: skip


def test_a_record_that_is_away_is_a_503_with_retry_after_for_everything_that_needs_it(
    cut_off: CutOff,
) -> None:
    desk, cut = cut_off.desk, cut_off.cut
    told(desk.post())
    cut()
    for answer in [desk.post(), *(desk.get(path, OPERATOR) for path in GETS)]:
        assert the_problem(answer, 503)["type"] == "/docs#problem-record-unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    assert desk.get("/healthz").status_code == 200


def test_a_connection_that_the_database_ended_costs_no_article(record: Record) -> None:
    if record.is_sqlite:
        pytest.skip("a file has no connections to end")
    desk = a_web_desk(record)
    told(desk.post())
    with record.reading() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    told(desk.post(), "repeat")


def test_an_articles_trace_shows_its_revisions_its_events_and_each_partners_revision(desk: WebDesk) -> None:
    at = now()
    endpoint = an_endpoint(desk.record, "evening-post", url="https://evening-post.example.org/in")
    first = told(
        desk.post(the_article(version=1, origin={"name": "The Daily Mail", "url": "https://a.example/"}))
    )
    seeded.deliver_all(desk.record, now())
    told(desk.post(the_article(version=2, correction_note="It was noon.")))
    trace = desk.get(f"/v1/articles/{first['article']}", OPERATOR)
    assert trace.headers["Cache-Control"] == "no-store"
    body = trace.json
    assert (body["source"], body["external_id"], body["revision"], body["status"]) == (
        "wire",
        "42",
        2,
        "usable",
    )
    assert [each["revision"] for each in body["revisions"]] == [1, 2]
    assert [each["type"] for each in body["events"]] == ["article.published", "article.corrected"]
    assert body["events"][0]["event"] == first["event"]
    [held] = body["partners"]
    assert (held["partner"], held["revision"], held["channel"]) == ("evening-post", 1, "push")
    assert held["endpoint"] == endpoint.id
    assert at <= datetime.fromisoformat(held["since"]) <= now() + timedelta(seconds=2)
    last = first["article"].rpartition("/")[2]
    assert desk.get(f"/v1/articles/{last}", OPERATOR).json == body
    assert desk.get("/v1/articles?source=wire&external_id=42", OPERATOR).json == body


def test_an_article_is_shown_to_the_operator_and_its_own_source_only(desk: WebDesk) -> None:
    name = told(desk.post())["article"]
    partner = a_partner(desk.record, "evening-post")
    for path in (f"/v1/articles/{name}", "/v1/articles?source=wire&external_id=42"):
        assert desk.get(path, OPERATOR).status_code == 200
        assert desk.get(path, desk.wire.bearer).status_code == 200
        assert the_problem(desk.get(path, desk.herald.bearer), 403)["type"] == "/docs#problem-not-yours"
        for stranger in ({}, partner, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
            refused = desk.get(path, stranger)
            the_problem(refused, 401)
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_source_cannot_find_out_which_ids_another_has(sqlite_desk: WebDesk) -> None:
    told(sqlite_desk.post())
    theirs, nobodys = (
        sqlite_desk.get(f"/v1/articles?source=wire&external_id={each}", sqlite_desk.herald.bearer)
        for each in ("42", "43")
    )
    assert theirs.status_code == nobodys.status_code == 403
    assert theirs.data == nobodys.data


NAMELESS = ("", "?source=wire", "?external_id=42", "?source=&external_id=", "?source=wire&external_id=%00")


@pytest.mark.parametrize("query", NAMELESS)
def test_a_search_that_names_no_article_is_refused_with_the_way_to_ask(
    shared_desk: WebDesk, query: str
) -> None:
    assert "external_id" in the_problem(shared_desk.get(f"/v1/articles{query}", OPERATOR), 400)["detail"]


ODD_NAMES = ("x", "%25", "_", "%5c", "..%2f..%2fetc%2fpasswd", "%2e%2e", "%00", "a%00b", "%ff", "tag:", "tag:x",
             "item/", "'%20OR%201=1--", "%F0%9F%9A%A2", "x" * 5000)  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_names_of_nothing_are_a_404_wherever_they_stand(shared_desk: WebDesk, name: str) -> None:
    for number in range(2):  # "%" would match both
        told(shared_desk.post(the_article(id=f"{name[:20]}{number}")))
    for path in (f"/v1/articles/{name}", f"/v1/events/{name}", f"/feeds/{name}.rss", f"/feeds/world.{name}"):
        the_problem(shared_desk.get(path, OPERATOR), 404)
    browser = shared_desk.inside()
    for page in ("articles", "events", "deliveries", "partners"):
        assert browser.get(f"/status/{page}/{name}").status_code == 404


def test_a_wildcard_is_no_name_of_an_article_to_kill(desk: WebDesk) -> None:
    told(desk.post())
    for name in ("%", "_" * 26, "%" * 3):
        with pytest.raises(NotFound):
            operations.kill(desk.record, name, reason="typo", actor="operator", now=now())


def test_an_events_trace_tells_its_deliveries_and_attempts_to_the_operator_only(desk: WebDesk) -> None:
    endpoint = an_endpoint(desk.record, "evening-post", url="https://evening-post.example.org/in")
    event = told(desk.post())["event"]
    seeded.deliver_all(desk.record, now())
    body = desk.get(f"/v1/events/{event}", OPERATOR).json
    assert (body["event"], body["type"], body["revision"]) == (event, "article.published", 1)
    assert body["actor"] == "source:wire"
    [delivery] = body["deliveries"]
    assert (delivery["partner"], delivery["endpoint_id"], delivery["state"]) == (
        "evening-post",
        endpoint.id,
        "delivered",
    )
    [attempt] = delivery["attempts"]
    assert (attempt["number"], attempt["outcome"], attempt["status"]) == (1, "delivered", 200)
    assert attempt["started_at"].endswith("Z")
    for stranger in ({}, desk.wire.bearer, a_partner(desk.record, "morning-post")):
        the_problem(desk.get(f"/v1/events/{event}", stranger), 401)


def a_partner_with_endpoint(desk: WebDesk, slug: str) -> Headers:
    key = a_partner(desk.record, slug)
    operations.add_endpoint(
        desk.record,
        endpoints.NewEndpoint(slug, f"https://{slug}.example.org/in", secret="whsec_" + "A" * 43 + "="),
        actor="operator",
        now=now(),
    )
    return key


def test_a_partner_reads_its_events_page_by_page_and_sees_the_superseded_ones(desk: WebDesk) -> None:
    key = a_partner_with_endpoint(desk, "evening-post")
    for number in range(3):
        told(desk.post(the_article(id=str(number))))
    routing.route(desk.record, now())
    told(desk.post(the_article(id="0", headline="Harbour reopens at noon")))
    routing.route(desk.record, now())
    everything = desk.get("/v1/partner/events", key).json
    sequences = [each["sequence"] for each in everything["events"]]
    assert sequences == sorted(set(sequences))
    assert len(sequences) == 4
    assert everything["next"] == sequences[-1]
    [gone] = [each for each in everything["events"] if each["state"] == "superseded"]
    assert (gone["revision"], gone["superseded_by"]) == (1, 2)
    paged, after = [], 0
    while page := desk.get(f"/v1/partner/events?after={after}&limit=3", key).json["events"]:
        paged += page
        after = page[-1]["sequence"]
    assert paged == everything["events"]
    empty = desk.get(f"/v1/partner/events?after={after}", key).json
    assert empty == {"events": [], "next": after, "more": False}


def test_a_partner_sees_nobody_elses_events_and_nobody_sees_a_partners(desk: WebDesk) -> None:
    ours = a_partner_with_endpoint(desk, "evening-post")
    told(desk.post())
    routing.route(desk.record, now())
    theirs = a_partner_with_endpoint(desk, "morning-post")
    assert len(desk.get("/v1/partner/events", ours).json["events"]) == 1
    assert desk.get("/v1/partner/events", theirs).json["events"] == []
    for stranger in ({}, OPERATOR, desk.wire.bearer, {"Authorization": "Bearer x"}):
        the_problem(desk.get("/v1/partner/events", stranger), 401)


def test_a_partner_does_not_hear_of_a_story_before_its_embargo_ends(desk: WebDesk) -> None:
    key = a_partner_with_endpoint(desk, "evening-post")
    ends = (now() + timedelta(hours=1)).isoformat()
    told(desk.post(the_article(headline=SECRET_HEADLINE, embargo_until=ends)))
    routing.route(desk.record, now())
    assert numbering.number_due(desk.record, now()) == 0
    assert desk.get("/v1/partner/events", key).json["events"] == []
    tomorrow = now() + timedelta(days=1)
    assert numbering.number_due(desk.record, tomorrow) == 1
    client = an_app(desk.record, clock=lambda: tomorrow).test_client()
    assert [each["sequence"] for each in client.get("/v1/partner/events", headers=key).json["events"]] == [1]


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=1.5", "after=", "after=٣", "limit=1001",
                                   "after=" + "9" * 30, "limit=" + "9" * 5000])  # fmt: skip
def test_a_sequence_number_that_is_none_is_a_400(sqlite_desk: WebDesk, query: str) -> None:
    key = a_partner(sqlite_desk.record, "evening-post")
    assert "whole number" in the_problem(sqlite_desk.get(f"/v1/partner/events?{query}", key), 400)["detail"]


def test_a_source_switched_off_may_neither_post_nor_ask(record: Record) -> None:
    some_sections(record)
    wire: Newsroom = a_newsroom(record)
    with record.writing() as connection:
        connection.exec_driver_sql("UPDATE source SET active = false")
    assert sources.active(record) == []
    client = an_app(record).test_client()
    body = encoded()
    before = rows(record)
    for headers in (wire.bearer, wire.signed(body)):
        the_problem(client.post("/v1/articles", data=body, headers=JSON | headers), 401)
    the_problem(client.get("/v1/articles?source=wire&external_id=42", headers=wire.bearer), 401)
    assert rows(record) == before
