"""Long lists: pages stay small and quick, and a partner's stream is read by its index, however much there is."""

from __future__ import annotations

import sqlite3
import time
from datetime import datetime
from typing import Any

import pytest
from lxml import html
from sqlalchemy import Connection, text

from service.store.articles.idempotency import Answer
from service.store.database.record import Record
from service.store.partners import catch_up
from service.store.partners.catch_up import StreamQuery
from service.store.schema.base import to_micros
from tests.builders import a_desk, an_article, an_endpoint, post
from tests.web import OPERATOR, TOKEN, a_partner, an_app, the_problem

MOMENT = datetime.fromisoformat("2026-07-28T12:00:00Z")
AT = to_micros(MOMENT)
BYTES = 400_000
SECONDS = 5.0  # generous: on this machine it is tenths
WORD = "x" * 2000


def counting(count: int) -> str:
    return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"


def many_endpoints(connection: Connection, partner: int, count: int) -> None:
    connection.execute(
        text(
            f"{counting(count)} INSERT INTO endpoint (partner_id, url, secret_sealed, all_sections, state_since,"
            f" created_at, last_failure, last_failure_at) SELECT {partner}, 'https://e.example/' || i, '', true, {AT},"
            f" {AT}, '{WORD}', {AT} FROM n"
        )
    )


def page(record: Record, path: str) -> Any:
    client = an_app(record, clock=lambda: MOMENT).test_client()
    client.post("/status/login", data={"token": TOKEN})
    begun = time.monotonic()
    answer = client.get(path)
    assert answer.status_code == 200
    assert time.monotonic() - begun < SECONDS
    assert len(answer.data) < BYTES
    return html.fromstring(answer.text)


def next_page(found: Any, words: str) -> str:
    [link] = [each.get("href") for each in found.iter("a") if each.text == words]
    return str(link)


def test_page_of_a_partner_with_ten_thousand_endpoints_is_bounded(sqlite_record: Record) -> None:
    a_partner(sqlite_record, "herald")
    with sqlite_record.writing() as connection:
        many_endpoints(connection, 1, 10_000)
    first = page(sqlite_record, "/status/partners/herald")
    assert "1 to 25 of 10,000 endpoints" in first.text_content()
    second = page(sqlite_record, "/status/partners/herald" + next_page(first, "The next endpoints"))
    assert "26 to 50 of 10,000 endpoints" in second.text_content()
    assert not {each.get("id") for each in first.iter("h2")} & {
        each.get("id") for each in second.iter("h2") if str(each.get("id")).startswith("endpoint-")
    }


def test_overview_of_ten_thousand_partners_is_bounded(sqlite_record: Record) -> None:
    with sqlite_record.writing() as connection:
        connection.execute(
            text(
                f"{counting(10_000)} INSERT INTO partner (slug, name, key_id, key_hash, created_at)"
                f" SELECT 'p' || i, 'Partner ' || i, 'k' || i, 'h', {AT} FROM n"
            )
        )
    first = page(sqlite_record, "/status")
    assert "1 to 50 of 10,000 partners" in first.text_content()
    page(sqlite_record, "/status" + next_page(first, "The next partners"))


def test_page_of_a_hundred_thousand_dead_is_bounded(sqlite_record: Record) -> None:
    source = a_desk(sqlite_record)
    an_endpoint(sqlite_record, "herald")
    post(sqlite_record, source, an_article())
    with sqlite_record.writing() as connection:
        many_deliveries(connection, 100_000, "dead")
    for path in ("/status", "/status/dead", "/status/dead?endpoint=1", "/status/partners/herald"):
        page(sqlite_record, path)


def test_pages_of_a_story_that_ten_thousand_endpoints_got_are_bounded(sqlite_record: Record) -> None:
    source = a_desk(sqlite_record)
    an_endpoint(sqlite_record, "herald")
    told = post(sqlite_record, source, an_article())
    with sqlite_record.writing() as connection:
        many_endpoints(connection, 1, 9_999)
        connection.execute(
            text(
                "INSERT INTO delivery (endpoint_id, event_id, article_id, revision, sequence, priority, owed, ordered,"
                f" state, due_at, created_at, settled_at) SELECT id, 1, 1, 1, 1, 2, false, false, 'delivered', {AT},"
                f" {AT}, {AT} FROM endpoint"
            )
        )
        connection.execute(
            text(
                "INSERT INTO receipt (article_id, partner_id, endpoint_id, revision, channel, held_since)"
                f" SELECT 1, 1, id, CASE WHEN id = 9000 THEN 0 ELSE 1 END, 'push', {AT} FROM endpoint"
            )
        )
    event = page(sqlite_record, f"/status/events/{told.event}")
    assert "1 to 50 of 10,000 deliveries" in event.text_content()
    story = page(sqlite_record, f"/status/articles/{told.article.rpartition('/')[2]}")
    assert "1 to 50 of 10,000 holders" in story.text_content()
    assert "1 to 50 of 10,000 endpoints" in story.text_content()
    [first, *_] = story.xpath("//table[caption='Who holds what']/tbody/tr")
    assert "endpoint 9000" in first.text_content(), "who has not the newest is on the first page"


def many_deliveries(connection: Connection, count: int, state: str = "delivered") -> None:
    connection.execute(
        text(
            f"{counting(count)} INSERT INTO delivery (endpoint_id, event_id, article_id, revision, replay, sequence,"
            " priority, owed, ordered, state, due_at, created_at, settled_at, last_words)"
            f" SELECT 1, 1, 1, 1, i, i, 2, false, false, '{state}', {AT}, {AT}, {AT}, '{WORD if count < 10 else 'x'}'"
            " FROM n"
        )
    )
    connection.execute(text(f"UPDATE endpoint SET sequence = {count}"))


def steps_of(record: Record, query: StreamQuery) -> int:
    """The steps of SQLite's machine that reading a page takes, in thousands."""
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with record.reading() as connection:
        raw: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
        raw.set_progress_handler(step, 1000)
        found = catch_up._page(connection, query, MOMENT)
        raw.set_progress_handler(None, 0)
    assert len(found.events) == query.limit
    assert found.more
    return steps


def test_a_partners_stream_is_read_by_its_index(sqlite_record: Record) -> None:
    """As much is read of fifty thousand pushes as of two thousand, at the beginning and at the end."""
    source = a_desk(sqlite_record)
    an_endpoint(sqlite_record, "herald")
    post(sqlite_record, source, an_article())
    with sqlite_record.writing() as connection:
        many_deliveries(connection, 2_000)
    few = steps_of(sqlite_record, StreamQuery(1, 0, 1000))
    with sqlite_record.writing() as connection:
        connection.execute(text("DELETE FROM delivery"))
        many_deliveries(connection, 50_000)
    for after in (0, 48_000):
        assert steps_of(sqlite_record, StreamQuery(1, after, 1000)) <= 1.5 * few + 5


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_every_event_of_several_endpoints_is_read_once_whatever_the_page(record: Record, limit: int) -> None:
    source = a_desk(record)
    for _ in range(3):
        an_endpoint(record, "herald")
    post(record, source, an_article())
    with record.writing() as connection:
        for endpoint, count in ((1, 40), (2, 3), (3, 11)):
            rows = [
                {"e": endpoint, "r": number, "s": number + (100 if endpoint == 3 else 0), "at": AT}
                for number in range(1, count + 1)
            ]
            connection.execute(
                text(
                    "INSERT INTO delivery (endpoint_id, event_id, article_id, revision, replay, sequence, priority,"
                    " owed, ordered, state, due_at, created_at)"
                    " VALUES (:e, 1, 1, 1, :r, :s, 2, false, false, 'delivered', :at, :at)"
                ),
                rows,
            )
            connection.execute(
                text("UPDATE endpoint SET sequence = :s WHERE id = :e"), {"s": rows[-1]["s"], "e": endpoint}
            )
    after, read = 0, []
    while True:
        found = catch_up.read(record, StreamQuery(1, after, limit), MOMENT)
        read += [(each.sequence, each.endpoint_id) for each in found.events]
        if not found.more:
            break
        after = found.events[-1].sequence
    assert len(read) == len(set(read)) == 54
    assert read == sorted(read)


def of_the_api(record: Record, path: str) -> Any:
    begun = time.monotonic()
    answer = an_app(record).test_client().get(path, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - begun < SECONDS
    assert len(answer.data) < BYTES
    return answer.json


def parts_of(record: Record, path: str) -> list[Any]:
    """All the parts of a document, each by the `next` of the one before."""
    parts = []
    following: str | None = path
    while following:
        parts.append(of_the_api(record, following))
        following = parts[-1]["next"]
        assert len(parts) < 100
    return parts


def a_story_of_a_thousand_revisions(record: Record, endpoints: int) -> Answer:
    source = a_desk(record)
    an_endpoint(record, "herald")
    told = post(record, source, an_article())
    with record.writing() as connection:
        many_endpoints(connection, 1, endpoints - 1)
        for statement in (
            (
                f"{counting(999)} INSERT INTO revision (article_id, number, content, content_hash, status, accepted_at)"
                f" SELECT 1, i + 1, '{{}}', '', 'usable', {AT} FROM n"
            ),
            (
                f"{counting(999)} INSERT INTO event (public_id, article_id, revision, type, occurred_at, actor)"
                f" SELECT 'evt_' || i, 1, i + 1, 'article.updated', {AT}, 'source:wire' FROM n"
            ),
            "UPDATE article SET revision = 1000",
            (
                "INSERT INTO delivery (endpoint_id, event_id, article_id, revision, sequence, priority, owed, ordered,"
                " state, due_at, created_at)"
                f" SELECT id, 1, 1, 1, 1, 2, false, false, 'waiting', {AT}, {AT} FROM endpoint"
            ),
            (
                "INSERT INTO receipt (article_id, partner_id, endpoint_id, revision, channel, held_since)"
                f" SELECT 1, 1, id, CASE WHEN id = 400 THEN 999 ELSE 1000 END, 'push', {AT} FROM endpoint"
            ),
        ):
            connection.execute(text(statement))
    return told


def test_history_of_a_story_with_a_thousand_revisions_comes_in_parts(sqlite_record: Record) -> None:
    told = a_story_of_a_thousand_revisions(sqlite_record, 450)
    parts = parts_of(sqlite_record, f"/v1/articles/{told.article}")
    first = parts[0]
    assert [first["revisions"][place]["revision"] for place in (0, -1)] == [901, 1000]
    assert first["partners"][0]["endpoint"] == 400, "who has not the newest comes first"
    assert (first["revision"], first["partner_count"]) == (1000, 450)
    assert {max(len(each["revisions"]), len(each["events"]), len(each["partners"])) for each in parts} == {
        100
    }
    numbers = [each["revision"] for part in reversed(parts) for each in part["revisions"]]
    assert numbers == list(range(1, 1001))
    assert [each["revision"] for part in reversed(parts) for each in part["events"]] == numbers
    endpoints = [each["endpoint"] for part in parts for each in part["partners"]]
    assert len(endpoints) == len(set(endpoints)) == 450
    assert parts[-1]["revisions"] != []
    by_source = of_the_api(sqlite_record, "/v1/articles?source=wire&external_id=42")
    assert by_source["next"] == first["next"]


def test_history_of_an_event_with_many_deliveries_and_attempts_comes_in_parts(sqlite_record: Record) -> None:
    told = a_story_of_a_thousand_revisions(sqlite_record, 250)
    with sqlite_record.writing() as connection:
        connection.execute(
            text(
                f"{counting(2000)} INSERT INTO attempt (delivery_id, number, started_at, outcome, words, worker)"
                f" SELECT 1, i, {AT}, 'timeout', 'x', 'w' FROM n"
            )
        )
    parts = parts_of(sqlite_record, f"/v1/events/{told.event}")
    assert [len(each["deliveries"]) for each in parts] == [100, 100, 50]
    assert {each["delivery_count"] for each in parts} == {250}
    ids = [each["id"] for part in parts for each in part["deliveries"]]
    assert len(set(ids)) == 250
    [tried] = [each for part in parts for each in part["deliveries"] if each["attempts"]]
    assert tried["attempt_count"] == 2000
    assert [each["number"] for each in tried["attempts"]] == list(range(1981, 2001))


@pytest.mark.parametrize(
    "query",
    ["revisions_before=0", "revisions_before=x", "revisions_before=99999999999", "partners_after=x",
     "partners_after=1.2", "partners_after=9.1.1", "after=1"],
)  # fmt: skip
def test_a_place_that_no_list_has_is_refused_by_name(sqlite_record: Record, query: str) -> None:
    told = post(sqlite_record, a_desk(sqlite_record), an_article())
    path = f"/v1/events/{told.event}" if query == "after=1" else f"/v1/articles/{told.article}"
    answer = an_app(sqlite_record).test_client().get(f"{path}?{query}", headers=OPERATOR)
    assert query.partition("=")[0] in the_problem(answer, 400)["detail"]


def test_page_of_a_story_with_a_thousand_revisions_leads_to_all_of_them(sqlite_record: Record) -> None:
    told = a_story_of_a_thousand_revisions(sqlite_record, 60)
    path = f"/status/articles/{told.article.rpartition('/')[2]}"
    first = page(sqlite_record, path)
    assert "1 to 50 of 1,000 revisions" in first.text_content()
    second = page(sqlite_record, path + next_page(first, "The next revisions"))
    assert "51 to 100 of 1,000 revisions" in second.text_content()
    rest = page(sqlite_record, path + next_page(first, "The next holders"))
    assert "51 to 60 of 60 holders" in rest.text_content()
    oldest = page(sqlite_record, path + "?revisions=3&after=50")
    assert "51 to 60 of 60 endpoints" in oldest.text_content()
    beyond = page(sqlite_record, path + "?after=60")
    assert "Revision" in beyond.text_content()


def test_status_as_json_of_many_partners_and_endpoints_comes_in_parts(sqlite_record: Record) -> None:
    with sqlite_record.writing() as connection:
        connection.execute(
            text(
                f"{counting(250)} INSERT INTO partner (slug, name, key_id, key_hash, created_at)"
                f" SELECT 'p' || i, 'Partner ' || i, 'k' || i, 'h', {AT} FROM n"
            )
        )
        many_endpoints(connection, 7, 60)
    parts = parts_of(sqlite_record, "/status.json")
    assert [len(each["partners"]) for each in parts] == [100, 100, 50]
    assert {each["partner_count"] for each in parts} == {250}
    assert len({one["slug"] for each in parts for one in each["partners"]}) == 250
    [busy] = [one for each in parts for one in each["partners"] if one["slug"] == "p7"]
    endpoints, following = list(busy["endpoints"]), busy["next"]
    while following:
        [rest] = of_the_api(sqlite_record, following)["partners"]
        endpoints += rest["endpoints"]
        following = rest["next"]
    assert [each["id"] for each in endpoints] == list(range(1, 61))
    assert busy["endpoint_count"] == 60


@pytest.mark.parametrize("query", ["after=nobody", "partner=nobody", "after=%00"])
def test_status_as_json_after_a_partner_that_is_none_is_a_404(sqlite_record: Record, query: str) -> None:
    answer = an_app(sqlite_record).test_client().get(f"/status.json?{query}", headers=OPERATOR)
    the_problem(answer, 404)
