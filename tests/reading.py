"""A partner that reads its own feed over HTTP, at the moment that the test chooses."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select

from service.app import create_app
from service.http import credentials
from service.settings import Settings
from service.store import operations
from service.store.database.record import Record
from service.store.feeds import partner_feeds
from service.store.partners import partners
from service.store.schema.articles import article
from service.store.schema.deliveries import receipt
from tests.builders import NOW
from tests.feed_desk import URL, FeedDesk

_numbers = itertools.count(1)


class Reader:
    """A partner with a feed of these sections, or of all if None. Its clock is the desk's."""

    def __init__(self, desk: FeedDesk, sections: Sequence[str] | None = None, **options: Any) -> None:
        self.desk = desk
        self.record: Record = desk.record
        self.slug = options.pop("slug", None) or f"reader{next(_numbers)}"
        if self.slug not in {each.slug for each in partners.all_partners(self.record)}:
            operations.add_partner(
                self.record,
                partners.NewPartner(self.slug, self.slug.title(), key_id=self.slug, key_hash="0" * 64),
                actor="operator",
                now=NOW,
            )
        made = credentials.new_feed_token()
        self.token = made.text
        added = operations.add_feed(
            self.record,
            partner_feeds.NewPartnerFeed(self.slug, token_hash=made.hash, sections=sections, **options),
            actor="operator",
            now=desk.now,
        )
        self.feed_id = added.id
        settings = Settings(public_url=URL, operator_token="t", secret_key="")
        app = create_app(settings, self.record, lambda: None, clock=lambda: desk.now)
        self.client: FlaskClient = app.test_client()

    def get(self, fmt: str = "json", *, token: str | None = None, method: str = "GET", **headers: str) -> Any:
        """Requests the feed. Header names have underscores for hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(self.path(fmt, token), method=method, headers=named)

    def path(self, fmt: str = "json", token: str | None = None) -> str:
        return f"/partner/feeds/{token or self.token}.{fmt}"

    def read(self, fmt: str = "json") -> list[dict[str, Any]]:
        """The items of the feed, fetched as by a partner that does not have it yet."""
        answer = self.get(fmt)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        items: list[dict[str, Any]] = json.loads(answer.data)["items"]
        return items

    def headlines(self) -> list[str]:
        return [item["title"] for item in self.read()]

    def rotate(self, **options: Any) -> str:
        """Makes a new token and returns it; the old one stays in `token`."""
        made = credentials.new_feed_token()
        operations.rotate_feed(
            self.record, self.feed_id, made.hash, **options, actor="operator", now=self.desk.now
        )
        return made.text

    def revoke(self) -> None:
        operations.revoke_feed(self.record, self.feed_id, actor="operator", now=self.desk.now)

    def held(self) -> dict[str, int]:
        """The source's own id → the revision that this partner is known to hold by its feed."""
        query = select(article.c.external_id, receipt.c.revision).join(
            article, article.c.id == receipt.c.article_id
        )
        own = partners_id(self.record, self.slug)
        query = query.where(
            receipt.c.partner_id == own, receipt.c.endpoint_id == 0, receipt.c.channel == "feed"
        )
        with self.record.reading() as connection:
            return dict(connection.execute(query).all())


def partners_id(record: Record, slug: str) -> int:
    return next(each.id for each in partners.all_partners(record) if each.slug == slug)
