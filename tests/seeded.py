"""A desk with deliveries in every state, made through the store as the service does it: for pages and signals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.store import operations
from service.store.articles.idempotency import Answer
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import claims, routing, settlements
from service.store.deliveries.health import Health, update_health
from service.store.deliveries.settlements import Settlement
from service.store.deliveries.states import State
from service.store.feeds import fetches, partner_feeds
from service.store.feeds.documents import Document
from service.store.feeds.fetches import Edition, Fetch
from service.store.partners import partners
from tests import builders
from tests.builders import an_article, post

HOSTILE = b"<script>alert('from the partner')</script>\n<h1>503</h1>\x1b[31m\x00 caf\xe9"
URDU = "بندرگاہ طوفان کے بعد دوبارہ کھل گئی"
CHINESE = "暴风雨过后港口重新开放"
SECRET_STORY = "Merger of the two largest ferry lines agreed"
WORKER = "desk-1:4711"


@dataclass(frozen=True)
class SeededDesk:
    """The answers to its posts by the source's own id, and its endpoints by their partner."""

    posted: dict[str, Answer]
    endpoints: dict[str, int]

    def ulid(self, external_id: str) -> str:
        return self.posted[external_id].article.rpartition("/")[2]


def a_settlement(
    claimed: claims.ClaimedDelivery, state: str, words: str, now: datetime, **changes: Any
) -> Settlement:
    """The settlement of a claimed delivery. `changes`: `status`, `due_at`, `outcome`, `body`."""
    status = changes.get("status")
    return Settlement(
        delivery=claimed,
        state=State(state),
        due_at=changes.get("due_at", now),
        reached=True,
        status=status,
        words=words,
        attempt={
            "started_at": now - timedelta(milliseconds=184),
            "outcome": changes.get("outcome", "delivered"),
            "status": status,
            "words": words,
            "lookup_ms": 2.1,
            "connect_ms": 18.4,
            "tls_ms": 41.0,
            "first_byte_ms": 120.3,
            "total_ms": 183.9,
            "address": "203.0.113.7:443",
            "response_headers": '[["Server", "nginx"], ["X-Note", "<b>bold</b>"]]',
            "response_body": changes.get("body", b"ok"),
        },
    )


def a_desk_at_work(record: Record, now: datetime) -> SeededDesk:
    """Makes four partners (healthy, retrying, paused, without endpoint) and stories of every kind."""
    for slug in ("world", "business", "china"):
        operations.add_section(
            record, slug, slug.title(), "en", actor="operator", now=now - timedelta(days=2)
        )
    source = builders.a_source(record)
    ids = {slug: _endpoint(record, slug, name) for slug, name in _PARTNERS}
    operations.add_partner(
        record,
        partners.NewPartner("quiet-post", "Quiet Post", key_id="pq", key_hash="0" * 64),
        actor="operator",
        now=now,
    )
    heartbeats.heartbeat(record, WORKER, broker="up", now=now - timedelta(seconds=1))
    posted: dict[str, Answer] = {}
    start = now - timedelta(minutes=20)
    for number, changes in enumerate(_STORIES):
        moment = start + timedelta(seconds=10 * number)
        posted[changes["external_id"]] = post(record, source, an_article(**changes), now=moment)
        deliver_all(record, moment)
    correction = {
        "external_id": "1",
        "headline": "Harbour reopens at noon",
        "correction_note": "It was noon.",
    }
    posted["1"] = post(record, source, an_article(**correction), now=start + timedelta(minutes=2))
    deliver_all(record, start + timedelta(minutes=2))
    operations.kill(
        record,
        posted["2"].article,
        reason="Wrong person named",
        actor="operator",
        now=start + timedelta(minutes=3),
    )
    deliver_all(record, start + timedelta(minutes=3))
    _trouble(record, source, ids, posted, start + timedelta(minutes=5))
    embargo = now + timedelta(hours=2)
    secret = an_article(external_id="secret", headline=SECRET_STORY, embargo_until=embargo)
    posted["secret"] = post(record, source, secret, now=now - timedelta(minutes=1))
    deliver_all(record, now - timedelta(minutes=1))
    posted["new"] = post(record, source, an_article(external_id="new", headline="Just in"), now=now)
    _feeds(record, now)
    return SeededDesk(posted, ids)


_PARTNERS = (
    ("harbour-herald", "Harbour Herald"),
    ("flaky-times", "Flaky Times"),
    ("night-mail", "The Night Mail"),
)
_STORIES: tuple[dict[str, Any], ...] = (
    {"external_id": "1", "summary": "The first ferry left at dawn."},
    {"external_id": "2", "headline": "Minister named in inquiry"},
    {"external_id": "ur", "headline": URDU, "language": "ur", "original_author": "Ayesha Khan",
     "origin": {"name": "The Daily Mail, Pakistan"}, "responsible_editor": "Liu Ying"},
    {"external_id": "zh", "headline": CHINESE, "language": "zh-Hans", "sections": ("china",)},
)  # fmt: skip


def _endpoint(record: Record, slug: str, name: str) -> int:
    now = builders.NOW
    operations.add_partner(
        record,
        partners.NewPartner(slug, name, key_id=f"p{slug}", key_hash="0" * 64),
        actor="operator",
        now=now,
    )
    return builders.an_endpoint(record, slug, url=f"https://{slug}.example.org/dateline").id


def _feeds(record: Record, now: datetime) -> None:
    """Makes two feeds of the healthy partner's own: one still read by its old address, and one revoked."""
    day = timedelta(days=1)
    first, _ = [
        operations.add_feed(
            record,
            partner_feeds.NewPartnerFeed("harbour-herald", token_hash=f"hash{n}", sections=wanted),
            actor="operator",
            now=now - 3 * day,
        )
        for n, wanted in enumerate((["world", "china"], None))
    ]
    operations.rotate_feed(record, first.id, "new", actor="operator", now=now - day)
    operations.revoke_feed(record, first.id + 1, actor="operator", now=now - day)
    found = fetches.find(record, "hash0", "rss")
    assert found is not None
    edition = Edition(Document(b"", "d41d8cd98f00b204e9800998ecf8427e", now), ())
    for minutes, method, status in ((50, "HEAD", 200), (40, "GET", 200), (5, "GET", 304)):
        fetch = Fetch(method, "rss", status, "<b>Herald</b> reader/1.0")
        assert fetches.note(record, found, edition, fetch, now - timedelta(minutes=minutes))


def claim_all(record: Record, now: datetime) -> list[claims.ClaimedDelivery]:
    return claims.claim(record, lease=WORKER, limit=100, cursor=claims.Cursor(), now=now)[0]


def deliver_all(record: Record, now: datetime) -> None:
    routing.route(record, now)
    settled = now + timedelta(seconds=1)
    claimed = claim_all(record, now)
    delivered = [a_settlement(each, "delivered", "answered 200 OK", settled, status=200) for each in claimed]
    settlements.settle(record, delivered, lease=WORKER, now=settled)
    _note(record, {each.endpoint_id for each in claimed}, settled, last_success_at=settled)


def _trouble(
    record: Record, source: Any, ids: dict[str, int], posted: dict[str, Answer], at: datetime
) -> None:
    """Makes a delivery given up, one that is retried, one on the wire, and a paused endpoint for which one waits."""
    operations.pause_endpoint(
        record, ids["night-mail"], reason="moving to a new system", actor="operator", now=at
    )
    for external_id in ("given-up", "retried", "flying"):
        story = an_article(external_id=external_id, headline=f"Council votes on the bridge ({external_id})")
        posted[external_id] = post(record, source, story, now=at)
        routing.route(record, at)
        for each in claim_all(record, at):
            if each.endpoint_id != ids["flaky-times"]:
                good = a_settlement(each, "delivered", "answered 200 OK", at, status=200)
                settlements.settle(record, [good], lease=WORKER, now=at)
            elif external_id != "flying":
                settlements.settle(record, [_failure(each, external_id, at)], lease=WORKER, now=at)
    failing = {
        "failures": 3,
        "last_failure_at": at,
        "last_failure": "answered 503 Service Unavailable",
        "failing_since": at,
    }
    _note(record, {ids["flaky-times"]}, at, **failing)


def _failure(claimed: claims.ClaimedDelivery, external_id: str, at: datetime) -> Settlement:
    words = "answered 503 Service Unavailable"
    if external_id == "given-up":
        return a_settlement(claimed, "dead", words, at, status=503, outcome="throttled", body=HOSTILE)
    due = at + timedelta(hours=1)
    return a_settlement(
        claimed, "waiting", words, at, status=503, outcome="throttled", body=HOSTILE, due_at=due
    )


def _note(record: Record, ids: set[int], now: datetime, **changes: Any) -> None:
    def decide(_: int, health: Health) -> Health:
        return Health(**{**health.__dict__, **changes})

    with record.writing() as connection:
        update_health(connection, ids, decide, now)
