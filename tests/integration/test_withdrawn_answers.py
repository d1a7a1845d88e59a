"""A kill wipes what partners repeated of the story: nowhere in the record, and on no page, is an answer left."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from sqlalchemy import LargeBinary, Text, select

from service.store import operations
from service.store.articles.idempotency import Answer
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, health, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery
from service.store.schema.base import metadata
from tests.builders import a_desk, an_article, an_endpoint, later, post
from tests.integration.test_delivery_page import page
from tests.seeded import WORKER, a_settlement

ECHO = "Wrong person named in the harbour case"
SLUG = "wrong-person-named"
BODY = f'{{"stored": "{ECHO}"}}'.encode()


def claimed_now(record: Record, seconds: float = 0) -> list[ClaimedDelivery]:
    heartbeats.heartbeat(record, WORKER, broker="up", now=later(seconds))
    routing.route(record, later(seconds))
    return claims.claim(record, lease=WORKER, limit=100, cursor=claims.Cursor(), now=later(seconds))[0]


def answered(record: Record, claimed: list[ClaimedDelivery], seconds: float, **changes: object) -> None:
    """The partner answers with the story in its body and a header, whatever is pushed to it."""
    state, words = str(changes.pop("state", "delivered")), str(changes.pop("words", "answered 200 OK"))
    settled = [
        a_settlement(each, state, words, later(seconds), **{"status": 200, "body": BODY, **changes})
        for each in claimed
    ]
    for each in settled:
        each.attempt["response_headers"] = f'[["X-Stored", "{ECHO}"], ["Retry-After", "5"]]'
    settlements.settle(record, settled, lease=WORKER, now=later(seconds))


def kill(record: Record, told: Answer, seconds: float) -> None:
    operations.kill(record, told.article, reason="error", actor="operator", now=later(seconds))


def places_of(record: Record, *needles: str) -> set[str]:
    """The columns of the record, but for the revisions' own, in which one of these texts is."""
    found = set()
    with record.reading() as connection:
        for table in metadata.sorted_tables:
            for column in table.c:
                if not isinstance(column.type, Text | LargeBinary):
                    continue
                for value in connection.execute(select(column).where(column.is_not(None))).scalars():
                    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    if any(needle in text for needle in needles):
                        found.add(f"{table.name}.{column.name}")
    return found - {"revision.content"}


def test_kill_wipes_the_text_that_a_partner_echoed_and_keeps_its_hash(record: Record, tmp_path: Path) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    told = post(record, source, an_article(headline=ECHO))
    claimed = claimed_now(record)
    answered(record, claimed, 1)
    assert "attempt.response_body" in places_of(record, ECHO)
    kill(record, told, 2)
    assert places_of(record, ECHO) == set()
    text = page(record, claimed[0].public_id, tmp_path)
    assert "X-Stored" not in text
    assert "stored&#34;" not in text
    assert hashlib.sha256(BODY).hexdigest() in text
    assert "wiped when the story was killed" in text


def test_answer_that_echoes_the_story_after_the_kill_is_wiped_too(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    an_endpoint(record, "courier")
    told = post(record, source, an_article(headline=ECHO))
    first, second = claimed_now(record)
    answered(record, [first], 1)
    kill(record, told, 2)
    answered(record, [second], 3)  # it was on the wire when the kill came
    assert places_of(record, ECHO) == set()
    kills = claimed_now(record, 4)
    assert kills
    answered(record, kills, 5)  # the answer to the kill itself
    assert places_of(record, ECHO) == set()


def test_address_of_a_redirect_made_of_the_headline_is_wiped_everywhere(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald")
    told = post(record, source, an_article(headline=ECHO))
    words = (
        f"answered 302 Found, a redirect to https://herald.example/{SLUG}:"
        " redirects are never followed; change the endpoint to its final address"
    )
    claimed = claimed_now(record)
    answered(record, claimed, 1, state="dead", words=words, status=302, outcome="redirect")
    with record.writing() as connection:
        health.update_health(
            connection,
            [endpoint.id],
            lambda _, now: replace(now, last_failure=words, last_failure_at=later(1)),
            later(1),
        )
    assert places_of(record, SLUG) == {"attempt.words", "delivery.last_words"}
    kill(record, told, 2)
    assert places_of(record, SLUG) == set()
    with record.reading() as connection:
        [left] = connection.execute(select(metadata.tables["attempt"].c.words)).scalars()
    assert (
        left
        == "answered 302 Found, a redirect: redirects are never followed; change the endpoint to its final address"
    )


def test_address_of_a_redirect_that_comes_after_the_kill_is_in_no_words_that_stay(record: Record) -> None:
    """The endpoint is switched off by it: so it has its notice, its line in the audit, and its reason."""
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald")
    told = post(record, source, an_article(headline=ECHO))
    claimed = claimed_now(record)
    kill(record, told, 1)
    hostile = f"https://herald.example/: redirects are never followed; {SLUG}"
    words = f"answered 302 Found, a redirect to {hostile}: redirects are never followed; change the endpoint"

    def failed(_: int, before: health.Health) -> health.Health:
        reason = f"failing for five days; last: {words}"
        changed = replace(before, breaker="open", last_failure=words, last_failure_at=later(2))
        return replace(changed, state="off", state_reason=reason)

    with record.writing() as connection:
        health.update_health(connection, [endpoint.id], failed, later(2))
    answered(record, claimed, 2, state="dead", words=words, status=302, outcome="redirect")
    assert places_of(record, SLUG) == set()
    with record.reading() as connection:
        [left] = connection.execute(select(metadata.tables["endpoint"].c.last_failure)).scalars()
    assert left == (
        "answered 302 Found, a redirect to https://herald.example/…: redirects are never followed; change the endpoint"
    )


def test_a_withheld_story_hides_what_partners_echoed_until_it_is_back(record: Record, tmp_path: Path) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article(headline="Ferry late", version=1))
    claimed = claimed_now(record)
    answered(record, claimed, 1)
    assert ECHO in page(record, claimed[0].public_id, tmp_path)
    post(record, source, an_article(content=None, sections=(), status="withheld", version=2), now=later(2))
    assert ECHO not in page(record, claimed[0].public_id, tmp_path)
    post(record, source, an_article(headline="Ferry late", version=3), now=later(3))
    assert ECHO in page(record, claimed[0].public_id, tmp_path)


def test_another_storys_answers_stay(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    told = post(record, source, an_article(external_id="1"))
    post(record, source, an_article(external_id="2"))
    answered(record, claimed_now(record), 1)
    kill(record, told, 2)
    with record.reading() as connection:
        attempt = metadata.tables["attempt"]
        rows = connection.execute(select(attempt.c.response_body, attempt.c.answer_hash)).all()
    assert sorted((row[0] is None, row[1] is None) for row in rows) == [(False, True), (True, False)]


def test_kill_wipes_hundreds_of_answers_in_one_act(record: Record) -> None:
    """More than are in memory at once."""
    source = a_desk(record)
    for _ in range(26):
        an_endpoint(record, "syndicate")
    told = post(record, source, an_article(headline=ECHO))
    for seconds in range(20):
        claimed = claimed_now(record, seconds)
        assert len(claimed) == 26
        answered(record, claimed, seconds, state="waiting", words="answered 500", status=500)
    kill(record, told, 100)
    assert places_of(record, ECHO) == set()
