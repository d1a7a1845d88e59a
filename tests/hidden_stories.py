"""A desk with a story of each kind that is hidden, and one that is public as the control; and its clients."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import select
from werkzeug.datastructures import Headers

from feeds import FORMATS
from service.http import credentials
from service.serving.export import Exporter
from service.store import operations
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, health, routing, settlements
from service.store.deliveries.claims import ClaimedDelivery
from service.store.feeds import partner_feeds
from service.store.feeds.feeds import ARCHIVE_PAGE
from service.store.schema.articles import article
from tests import builders
from tests.seeded import WORKER, a_settlement
from tests.surfaces import Role, documents_of, names_of, the_story, word
from tests.web import OPERATOR, PUBLIC_URL, TOKEN, WebDesk, a_partner, a_web_desk, now
from workers.publish.builder import FeedBuilder

CONTROL = "lifted"  # its embargo was lifted: it is public
EMBARGOED = ("before", "later", "earlier", "again")
WITHDRAWN = frozenset({"killed", "pulled", "expired"})
STORIES = (CONTROL, *EMBARGOED, *WITHDRAWN)
HIDDEN = frozenset({*EMBARGOED, *WITHDRAWN})
REDIRECT = (
    "answered 302 Found, a redirect to https://herald.example/{}/{}: redirects are never followed; change it"
)


@dataclass
class HiddenStories:
    """Everything that happened is in `record`; `tags` are those of the documents from before the kill."""

    record: Record
    desk: WebDesk
    exported: Path
    tokens: tuple[str, str]
    roles: tuple[Role, ...]
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def app(self) -> Flask:
        return self.desk.app

    def known(self) -> list[str]:
        return names_of(self.record, STORIES, self.tokens)

    def queries(self) -> dict[str, list[str]]:
        """The queries of each route that reads any; the words sought are in capitals, to tell them from the echo."""
        sought = [f"q={word(each, 'headline').upper()}" for each in STORIES]
        by_id = [f"source={slug}&external_id={each}" for each in STORIES for slug in ("wire", "herald")]
        stream = [
            "after=0&limit=1000",
            *(f"after={n}&limit=100&include=data" for n in (0, 50)),
            "endpoint=1&include=data",
        ]
        return {
            "/status/articles": [*sought, *(f"q={each}" for each in STORIES)],
            "/status/dead": ["endpoint=1", "endpoint=2", "endpoint=3"],
            "/v1/articles": by_id,
            "/v1/partner/events": stream,
            "/v1/articles/<path:name>": ["revisions_before=2"],
            "/v1/events/<name>": ["after=dlv_00000000000000000000000001_1"],
            "/status.json": [
                "after=holder",
                "partner=holder",
                "partner=courier&endpoints_after=1",
                "partner=holder&feeds_after=1",
            ],
        }


class _Work:
    """The workers' part, done at the moments that the test chooses."""

    def __init__(self, record: Record, exported: Path) -> None:
        self.record = record
        self.exporter = Exporter(record, PUBLIC_URL, exported, now)
        self.builder = FeedBuilder(record, PUBLIC_URL, now)

    def publish(self) -> None:
        while routing.route(self.record, now()).more:
            pass
        while self.builder.drain():
            pass
        self.exporter.sync()

    def claim(self) -> list[ClaimedDelivery]:
        heartbeats.heartbeat(self.record, WORKER, broker="up", now=now())
        return claims.claim(self.record, lease=WORKER, limit=1000, cursor=claims.Cursor(), now=now())[0]

    def answer(self, claimed: list[ClaimedDelivery], story: str, state: str = "delivered") -> None:
        """The partner answers with the story in its body, its headers and the address that it redirects to."""
        echo = "; ".join(word(story, each) for each in ("headline", "body_html", "authors.name"))
        words = (
            REDIRECT.format(word(story, "url"), word(story, "headline"))
            if state != "delivered"
            else "answered 200"
        )
        rows = []
        for each in claimed:
            row = a_settlement(each, state, words, now(), status=302, body=echo.encode(), outcome="redirect")
            row.attempt["response_headers"] = json.dumps([["Location", echo], ["Retry-After", "5"]])
            rows.append(row)
        with self.record.writing() as connection:
            if state != "delivered":
                _fail(connection, claimed, words)
            settlements.settle_within(connection, rows, lease=WORKER, now=now())


def _fail(connection: Any, claimed: list[ClaimedDelivery], words: str) -> None:
    """The endpoints' health as the worker writes it when it switches them off."""
    moment = now()

    def decide(_: int, before: health.Health) -> health.Health:
        changes = {"last_failure": words, "last_failure_at": moment, "state": "off"}
        return health.Health(
            **{**vars(before), **changes, "state_reason": f"failing for five days; last: {words}"}
        )

    health.update_health(connection, {each.endpoint_id for each in claimed}, decide, moment)


def hidden_stories(record: Record, folder: Path) -> HiddenStories:
    """Posts, moves, kills and delivers everything; `folder` gets the exported files."""
    desk = a_web_desk(record)
    work = _Work(record, folder)
    holder, courier = a_partner(record, "holder"), a_partner(record, "courier")
    builders.an_endpoint(record, "holder")
    builders.an_endpoint(record, "holder", every_revision=True)
    builders.an_endpoint(record, "courier", sections=["business"])
    tokens = (_a_feed(record, "holder", None), _a_feed(record, "courier", ["business"]))
    hidden = HiddenStories(record, desk, folder, tokens, _roles(desk, holder, courier))
    _post_public(desk, work)
    fetched = desk.get(f"/partner/feeds/{tokens[0]}.json")
    assert word("killed", "headline") in fetched.text
    _remember_tags(hidden)
    flying = _post_hidden(desk, work)
    operations.kill(record, _named(hidden, "killed"), reason="Wrong person", actor="operator", now=now())
    operations.kill(record, _named(hidden, "pulled"), reason="Withdrawn", actor="operator", now=now())
    work.answer(flying, "killed", "waiting")  # it was on the wire when the kill came
    work.publish()
    work.answer(work.claim(), "killed", "waiting")
    work.exporter.sync()
    return hidden


def _named(hidden: HiddenStories, story: str) -> str:
    """The public id of a story."""
    answer = hidden.desk.get(f"/v1/articles?source=wire&external_id={story}", OPERATOR)
    return str(answer.json["article"])


def _remember_tags(hidden: HiddenStories) -> None:
    client = hidden.desk.client
    for path in documents_of(hidden.record):
        answer = client.get(path, headers=Headers({"Accept-Encoding": "gzip"}))
        if tag := answer.headers.get("ETag"):
            hidden.tags[path] = tag


def _a_feed(record: Record, partner: str, sections: list[str] | None) -> str:
    token = credentials.new_feed_token()
    new = partner_feeds.NewPartnerFeed(partner, token_hash=token.hash, sections=sections)
    operations.add_feed(record, new, actor="operator", now=now())
    return token.text


def _roles(desk: WebDesk, holder: dict[str, str], courier: dict[str, str]) -> tuple[Role, ...]:
    return (
        Role("nobody", formats=FORMATS),
        Role("operator", OPERATOR),
        Role("operator's browser", login=TOKEN),
        Role("own source", desk.wire.bearer),
        Role("other source", desk.herald.bearer),
        Role("holder", holder),
        Role("courier", courier),
    )


def _post(desk: WebDesk, story: str, **changes: Any) -> None:
    answer = desk.post(
        {**the_story(story), **changes}, idempotency_key=f"{story}-{len(changes)}-{changes}"[:200]
    )
    assert answer.status_code == 202, answer.text


def _post_public(desk: WebDesk, work: _Work) -> None:
    """The stories that are public before they are hidden, and enough others for a page of the archive."""
    _post(desk, "killed")
    _post(desk, "again")
    for number in range(ARCHIVE_PAGE):
        filler = {
            "id": f"filler-{number}",
            "headline": f"Filler {number}",
            "sections": ["world"],
            "body_text": "Rain.",
        }
        assert desk.post(filler).status_code == 202
    work.publish()
    claimed = work.claim()
    first = min(each.article_id for each in claimed)
    while claimed:
        for each in claimed:
            story = {first: "killed", first + 1: "again"}.get(each.article_id, CONTROL)
            refused = story == "killed" and each.endpoint_id == 2
            work.answer([each], story, "dead" if refused else "delivered")
        claimed = work.claim()


def _post_hidden(desk: WebDesk, work: _Work) -> list[ClaimedDelivery]:
    """Returns the deliveries of the story to be killed that are on the wire."""
    soon, late = (now() + timedelta(hours=hours) for hours in (1, 2))
    for story in (CONTROL, "before", "earlier", "pulled"):
        _post(desk, story, embargo_until=late.isoformat())
    _post(desk, "later", embargo_until=soon.isoformat())
    _post(desk, "expired", expires_at=(now() - timedelta(hours=1)).isoformat())
    work.publish()
    _post(desk, "later", embargo_until=late.isoformat(), urgency=1)
    _post(desk, "earlier", embargo_until=soon.isoformat(), urgency=1)
    _post(desk, "again", embargo_until=late.isoformat(), urgency=1)
    _post(desk, CONTROL, urgency=1)
    _post(desk, "killed", urgency=1)
    work.publish()
    with work.record.reading() as connection:
        killed = connection.execute(
            select(article.c.id).where(article.c.external_id == "killed")
        ).scalar_one()
    flying: list[ClaimedDelivery] = []
    while claimed := work.claim():
        for each in claimed:
            if each.article_id == killed:
                flying.append(each)
            else:
                work.answer([each], CONTROL)
    assert flying
    return flying
