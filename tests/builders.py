"""Builders: a test names the values that matter to it, all others have sensible defaults."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.store import operations
from service.store.articles import accept, sources
from service.store.articles.idempotency import Answer
from service.store.articles.posts import Post, PostedArticle
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import push_content
from service.store.deliveries.claims import ClaimedDelivery
from service.store.partners import endpoints, partners
from service.store.partners.endpoints import Endpoint
from workers.deliver.push_requests import PushBuilder
from workers.net.transport import Push

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
SECRET = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
AUTHORITY = "news.example.org"
_numbers = itertools.count(1)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def an_article(**changes: Any) -> PostedArticle:
    """A valid post. `changes` are fields of the content (headline, body_html …) or of the post itself."""
    content = {
        "headline": "Harbour reopens after the storm",
        "body_html": "<p>The first ferry left at dawn.</p>",
        "language": "en",
    }
    own = {
        "external_id": "42",
        "sections": ("world",),
        "status": "usable",
        "version": None,
        "updated_at": None,
        "embargo_until": None,
        "expires_at": None,
        "correction_note": None,
        "reason": None,
        "created_at": None,
    }
    for name, value in changes.items():
        if name == "content":
            continue
        (own if name in own else content)[name] = value
    return PostedArticle(content=changes.get("content", content), **own)  # type: ignore[arg-type]


def a_takedown(status: str = "killed", **changes: Any) -> PostedArticle:
    return an_article(content=None, sections=(), status=status, **changes)


def a_source(record: Record, slug: str = "wire") -> Source:
    return operations.add_source(
        record,
        sources.NewSource(slug, slug.title(), "native", key_id=f"k{slug}", key_hash="0" * 64, secret=SECRET),
        actor="operator",
        now=NOW,
    )


def a_desk(record: Record, *slugs: str) -> Source:
    """Sections (world and china, unless others are named) and one source."""
    for slug in slugs or ("world", "china"):
        operations.add_section(record, slug, slug.title(), "en", actor="operator", now=NOW)
    return a_source(record)


def an_endpoint(record: Record, partner: str | None = None, **options: Any) -> Endpoint:
    """An endpoint of a new partner, subscribed to everything unless `sections` is given."""
    name = partner or f"partner{next(_numbers)}"
    if name not in {each.slug for each in partners.all_partners(record)}:
        operations.add_partner(
            record,
            partners.NewPartner(name, name.title(), key_id=f"p{name}", key_hash="0" * 64),
            actor="operator",
            now=NOW,
        )
    url = options.pop("url", f"https://{name}.example.org/{next(_numbers)}")
    options.setdefault("sections", None)
    return operations.add_endpoint(
        record, endpoints.NewEndpoint(name, url, secret=SECRET, **options), actor="operator", now=NOW
    )


def post(
    record: Record, source: Source, posted: PostedArticle, *, key: str | None = None, now: datetime = NOW,
    received_at: datetime | None = None,
) -> Answer:  # fmt: skip
    body_hash = hashlib.sha256(repr(posted).encode()).hexdigest()
    return accept.accept(record, Post(source, posted, key, body_hash, AUTHORITY, now, received_at))


def pushes_for(record: Record, claimed: Sequence[ClaimedDelivery], now: datetime) -> list[Push]:
    """The pushes that a worker would send."""
    builder = PushBuilder(record)
    bodies = builder.bodies(claimed, push_content.push_contents(record, builder.missing(claimed)))
    return [builder.build(each, body, now) for each, body in bodies]
