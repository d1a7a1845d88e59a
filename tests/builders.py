"""Builders: what a test says matters, all else has a sensible default."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.store.articles import accept, sources
from service.store.articles.idempotency import Answer
from service.store.articles.posts import Post, PostedArticle
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.deliveries import push_content
from service.store.deliveries.claims import Claimed
from service.store.feeds import sections
from service.store.partners import endpoints, partners
from service.store.partners.endpoints import Endpoint
from workers.deliver.push_requests import Letters
from workers.net.transport import Push

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
SECRET = "whsec_" + "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
AUTHORITY = "news.example.org"
_numbers = itertools.count(1)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def an_article(**changes: Any) -> PostedArticle:
    """A valid post. Content fields (headline, body_html …) and PostedArticle's own may be given alike."""
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
    }
    for name, value in changes.items():
        if name == "content":
            continue
        (own if name in own else content)[name] = value
    return PostedArticle(content=changes.get("content", content), **own)  # type: ignore[arg-type]


def a_takedown(status: str = "killed", **changes: Any) -> PostedArticle:
    return an_article(content=None, sections=(), status=status, **changes)


def a_source(record: Record, slug: str = "wire") -> Source:
    return sources.add(
        record, slug, slug.title(), "native", key_id=f"k{slug}", key_hash="0" * 64, secret=SECRET, now=NOW
    )


def a_desk(record: Record, *slugs: str) -> Source:
    """Sections (world, china unless named) and one source."""
    for slug in slugs or ("world", "china"):
        sections.add(record, slug, slug.title(), "en", NOW)
    return a_source(record)


def an_endpoint(record: Record, partner: str | None = None, **options: Any) -> Endpoint:
    """An endpoint of a partner of its own, subscribed to everything unless `sections` is given."""
    name = partner or f"partner{next(_numbers)}"
    if name not in {each.slug for each in partners.all_partners(record)}:
        partners.add_partner(record, name, name.title(), key_id=f"p{name}", key_hash="0" * 64, now=NOW)
    url = options.pop("url", f"https://{name}.example.org/{next(_numbers)}")
    options.setdefault("sections", None)
    return endpoints.add_endpoint(record, name, url, secret=SECRET, now=NOW, **options)


def post(
    record: Record, source: Source, posted: PostedArticle, *, key: str | None = None, now: datetime = NOW
) -> Answer:
    body_hash = hashlib.sha256(repr(posted).encode()).hexdigest()
    return accept.accept(record, Post(source, posted, key, body_hash, AUTHORITY, now))


def letters(record: Record, claimed: Sequence[Claimed], now: datetime) -> list[Push]:
    """The pushes that a worker would send."""
    writer = Letters(record)
    bodies = writer.bodies(claimed, push_content.told(record, writer.unread(claimed)))
    return [writer.letter(each, body, now) for each, body in bodies]
