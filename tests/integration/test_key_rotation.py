"""Keys of sources and partners: a rotated one works through its overlap, a withdrawn one is refused within a second."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from service.http import credentials
from service.store import operations
from service.store.access import replaced_keys
from service.store.access.replaced_keys import KeyOwner
from service.store.articles.sources import NewSourceKeys
from service.store.database.record import Record
from service.store.errors import NotFound, NotPossible
from service.store.feeds import partner_feeds
from service.store.operations import keys as key_operations
from service.store.partners import endpoints
from service.store.partners.endpoints import NewEndpoint
from service.store.partners.partners import NewKey
from service.store.schema.operations import audit
from service.webhooks import signatures
from tests.builders import SECRET, an_endpoint
from tests.web import Newsroom, a_newsroom, a_partner, an_app, encoded, some_sections

MOMENT = datetime.fromisoformat("2026-07-28T12:00:00Z")
DAY = timedelta(hours=24)


@dataclass
class Clock:
    now: datetime = MOMENT

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rotate_source(record: Record, slug: str, clock: Clock, overlap: timedelta = DAY) -> Newsroom:
    key, secret = credentials.new_api_key(), signatures.new_secret()
    new = NewSourceKeys(key.key_id, key.hash, secret, clock.now + overlap)
    key_operations.rotate_source(record, slug, new, actor="operator", now=clock.now)
    return Newsroom(slug, key.text, secret)


def rotate_partner(record: Record, slug: str, clock: Clock, overlap: timedelta = DAY) -> dict[str, str]:
    key = credentials.new_api_key()
    new = NewKey(key.key_id, key.hash, clock.now + overlap)
    key_operations.rotate_partner(record, slug, new, actor="operator", now=clock.now)
    return {"Authorization": f"Bearer {key.text}"}


def by_key(app: Flask, newsroom: Newsroom, number: int) -> int:
    answer = app.test_client().post(
        "/v1/articles",
        data=encoded(id=str(number)),
        content_type="application/json",
        headers=newsroom.bearer,
    )
    return answer.status_code


def by_signature(app: Flask, newsroom: Newsroom, clock: Clock, path: str = "/v1/articles") -> int:
    body = encoded(id="9")
    headers = newsroom.signed(body, at=clock.now, id=f"msg_{clock.now.timestamp()}")
    answer = app.test_client().post(path, data=body, content_type="application/json", headers=headers)
    return answer.status_code


def test_old_and_new_key_and_secret_of_a_source_work_through_the_overlap(
    record: Record, clock: Clock
) -> None:
    some_sections(record)
    old, app = a_newsroom(record), an_app(record, clock=clock)
    new = rotate_source(record, "wire", clock)
    for each in (old, new):
        assert by_key(app, each, 1) == 202
        assert by_signature(app, each, clock) == 202
        assert by_signature(app, each, clock, "/v1/hooks/wire") == 202
        assert (
            app.test_client().get("/v1/articles?source=wire&external_id=1", headers=each.bearer).status_code
            == 200
        )
        clock.now += timedelta(seconds=1)
    clock.now = MOMENT + DAY + timedelta(seconds=1)
    assert [by_key(app, each, 2) for each in (old, new)] == [401, 202]
    assert [by_signature(app, each, clock) for each in (old, new)] == [401, 202]


def test_a_withdrawn_key_of_a_source_is_refused_by_all_processes_within_a_second(
    record: Record, clock: Clock
) -> None:
    some_sections(record)
    old, apps = a_newsroom(record), [an_app(record, clock=clock) for _ in range(2)]
    new = rotate_source(record, "wire", clock)
    for app in apps:
        assert [by_key(app, each, 1) for each in (old, new)] == [202, 202]
    assert key_operations.remove_source(record, "wire", actor="operator", now=clock.now)
    clock.now += timedelta(seconds=1)
    for app in apps:
        assert [by_key(app, each, 2) for each in (old, new)] == [401, 401]
        assert [by_signature(app, each, clock) for each in (old, new)] == [401, 401]
    assert not key_operations.remove_source(record, "wire", actor="operator", now=clock.now)
    with pytest.raises(NotPossible, match="removed"):
        rotate_source(record, "wire", clock)


def test_a_leaked_key_ends_at_once_with_those_before_it(record: Record, clock: Clock) -> None:
    some_sections(record)
    first = a_newsroom(record)
    second = rotate_source(record, "wire", clock)
    third = rotate_source(record, "wire", clock, timedelta(0))
    app = an_app(record, clock=clock)
    assert [by_key(app, each, 1) for each in (first, second, third)] == [401, 401, 202]


def test_a_clock_put_back_keeps_no_withdrawn_key_alive(sqlite_record: Record, clock: Clock) -> None:
    some_sections(sqlite_record)
    newsroom, app = a_newsroom(sqlite_record), an_app(sqlite_record, clock=clock)
    assert by_key(app, newsroom, 1) == 202
    key_operations.remove_source(sqlite_record, "wire", actor="operator", now=clock.now)
    clock.now -= timedelta(days=1)
    assert by_key(app, newsroom, 2) == 401


def ask(app: Flask, headers: dict[str, str]) -> int:
    return app.test_client().get("/v1/partner/events", headers=headers).status_code


def test_old_and_new_key_of_a_partner_work_through_the_overlap(record: Record, clock: Clock) -> None:
    old, app = a_partner(record, "herald"), an_app(record, clock=clock)
    new = rotate_partner(record, "herald", clock)
    assert [ask(app, each) for each in (old, new)] == [200, 200]
    clock.now += DAY
    assert [ask(app, each) for each in (old, new)] == [401, 200]


def test_removed_partner_is_refused_pushed_nothing_and_its_feeds_end(record: Record, clock: Clock) -> None:
    some_sections(record)
    old = a_partner(record, "herald")
    endpoint = an_endpoint(record, "herald", url="https://herald.example.org/1")
    token = credentials.new_feed_token()
    feed = partner_feeds.NewPartnerFeed("herald", token_hash=token.hash, sections=None, title=None)
    operations.add_feed(record, feed, actor="operator", now=MOMENT)
    new = rotate_partner(record, "herald", clock)
    app = an_app(record, clock=clock)
    assert key_operations.remove_partner(record, "herald", actor="operator", now=clock.now)
    assert [ask(app, each) for each in (old, new)] == [401, 401]
    assert app.test_client().get(f"/partner/feeds/{token.text}.atom").status_code == 410
    [shown] = [each for each in endpoints.all_endpoints(record) if each.id == endpoint.id]
    assert (shown.state, shown.state_reason) == ("off", "the partner was removed")
    assert not key_operations.remove_partner(record, "herald", actor="operator", now=clock.now)
    with pytest.raises(NotPossible, match="removed"):
        rotate_partner(record, "herald", clock)
    with pytest.raises(NotPossible, match="removed"):
        operations.add_endpoint(
            record, NewEndpoint("herald", "https://h.example/2", secret=SECRET), actor="operator", now=MOMENT
        )
    with pytest.raises(NotPossible, match="removed"):
        operations.resume_endpoint(record, endpoint.id, actor="operator", now=clock.now)


def test_each_act_has_its_line_in_the_audit_and_no_secret(record: Record, clock: Clock) -> None:
    a_newsroom(record)
    a_partner(record, "herald")
    secrets = [
        rotate_source(record, "wire", clock).key,
        rotate_partner(record, "herald", clock)["Authorization"],
    ]
    key_operations.remove_source(record, "wire", actor="operator", now=clock.now)
    key_operations.remove_partner(record, "herald", actor="operator", now=clock.now)
    with record.reading() as connection:
        rows = connection.execute(
            select(audit.c.action, audit.c.target, audit.c.detail).order_by(audit.c.id)
        ).all()
    acts = [(row.action, row.target) for row in rows][-4:]
    assert acts == [
        ("source.rotated", "wire"),
        ("partner.rotated", "herald"),
        ("source.removed", "wire"),
        ("partner.removed", "herald"),
    ]
    assert json.loads(rows[-4].detail)["old_until"] == (MOMENT + DAY).isoformat()
    text = " ".join(row.detail for row in rows)
    assert not [each for each in secrets if each.rpartition("_")[2] in text]


def test_rotation_again_and_again_keeps_a_bounded_number_of_keys(record: Record, clock: Clock) -> None:
    a_newsroom(record)
    for _ in range(replaced_keys.KEYS_KEPT + 5):
        rotate_source(record, "wire", clock)
    with record.reading() as connection:
        assert (
            len(replaced_keys.ends(connection, KeyOwner(source_id=1), clock.now)) == replaced_keys.KEYS_KEPT
        )


def test_a_rotated_secret_is_resealed_with_the_others(record: Record, clock: Clock) -> None:
    a_newsroom(record)
    rotate_source(record, "wire", clock)
    counts: dict[str, Any] = operations.reseal(record, actor="operator", now=clock.now)
    assert (counts["source"], counts["replaced_key"]) == (1, 1)


def test_rotation_names_an_owner_that_does_not_exist(record: Record, clock: Clock) -> None:
    for act in (rotate_source, rotate_partner):
        with pytest.raises(NotFound):
            act(record, "nobody", clock)
