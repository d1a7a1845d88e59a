"""The web application on a real record, with its clients: a newsroom, a partner, the operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, literal, select, union_all

from service.app import create_app
from service.http import credentials
from service.settings import Settings
from service.store import operations
from service.store.articles import sources
from service.store.database.record import Record
from service.store.partners import partners
from service.store.schema.base import metadata
from service.webhooks import signatures

TOKEN = "the-operators-token-of-the-tests"
SECRET_KEY = Fernet.generate_key().decode()
PUBLIC_URL = "http://news.example.org"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
Headers = dict[str, str]


def now() -> datetime:
    return datetime.now(UTC)


def the_settings(**changes: Any) -> Settings:
    values = {"operator_token": TOKEN, "secret_key": SECRET_KEY, "public_url": PUBLIC_URL, **changes}
    return Settings(**values)


def an_app(
    record: Record,
    *,
    wake: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = now,
    **changes: Any,
) -> Flask:
    """The application. `changes` are settings."""
    return create_app(the_settings(**changes), record, wake, clock=clock)


@dataclass(frozen=True)
class Newsroom:
    """A source with the key and the secret that `dateline source add` prints once."""

    slug: str
    key: str = field(repr=False)
    secret: str = field(repr=False)

    @property
    def bearer(self) -> Headers:
        return {"Authorization": f"Bearer {self.key}"}

    def signed(
        self, body: bytes, *, id: str = "msg_1", at: datetime | None = None, **changes: str
    ) -> Headers:
        """The Standard Webhooks headers of these bytes; `changes` (timestamp, signature) spoil them."""
        seconds = int((at or now()).timestamp())
        signature = signatures.sign([self.secret], id, seconds, body)
        headers = {"webhook-id": id, "webhook-timestamp": str(seconds), "webhook-signature": signature}
        return headers | {f"webhook-{name}": value for name, value in changes.items()}


def a_newsroom(record: Record, slug: str = "wire", adapter: str = "native") -> Newsroom:
    key, secret = credentials.new_api_key(), signatures.new_secret()
    operations.add_source(
        record,
        sources.NewSource(slug, slug.title(), adapter, key_id=key.key_id, key_hash=key.hash, secret=secret),
        actor="operator",
        now=now(),
    )
    return Newsroom(slug, key.text, secret)


def a_partner(record: Record, slug: str) -> Headers:
    """Adds a partner without endpoints; returns the header that authenticates it."""
    key = credentials.new_api_key()
    operations.add_partner(
        record,
        partners.NewPartner(slug, slug.title(), key_id=key.key_id, key_hash=key.hash),
        actor="operator",
        now=now(),
    )
    return {"Authorization": f"Bearer {key.text}"}


def some_sections(record: Record, *slugs: str) -> None:
    for slug in slugs or ("world", "business"):
        operations.add_section(record, slug, slug.title(), "en", actor="operator", now=now())


def the_article(**changes: Any) -> dict[str, Any]:
    """The least article that is accepted, as posted; None leaves a field out."""
    fields = {
        "id": "42",
        "headline": "Harbour reopens after the storm",
        "sections": ["world"],
        "body_html": "<p>The first ferry left at dawn.</p>",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def encoded(**changes: Any) -> bytes:
    return json.dumps(the_article(**changes)).encode()


@dataclass(frozen=True)
class WebDesk:
    """The application with two newsrooms and the sections world and business. `woken` has an item for each wake-up."""

    record: Record
    app: Flask
    wire: Newsroom
    herald: Newsroom
    woken: list[bool]

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()

    def post(
        self, body: bytes | dict[str, Any] | None = None, path: str = "/v1/articles", **headers: str
    ) -> Any:
        """Posts as the newsroom `wire`, by its API key unless `headers` override it (underscores for hyphens)."""
        raw = (
            body if isinstance(body, bytes) else json.dumps(the_article() if body is None else body).encode()
        )
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            path, data=raw, content_type="application/json", headers={**self.wire.bearer, **named}
        )

    def get(self, path: str, headers: Headers | None = None) -> Any:
        return self.client.get(path, headers=headers)

    def inside(self) -> FlaskClient:
        """A browser in which the operator has logged in."""
        browser = self.client
        assert browser.post("/status/login", data={"token": TOKEN}).status_code == 303
        return browser


def a_web_desk(record: Record, **changes: Any) -> WebDesk:
    some_sections(record)
    woken: list[bool] = []
    app = an_app(record, wake=lambda: woken.append(True), **changes)
    return WebDesk(record, app, a_newsroom(record), a_newsroom(record, "herald"), woken)


@dataclass(frozen=True)
class CutOff:
    """A desk, and the function `cut` that takes its database away."""

    desk: WebDesk
    cut: Callable[[], None]


def rows(record: Record) -> dict[str, int]:
    """The number of rows in each table but those that may note a refusal."""
    tables = [
        each for each in metadata.sorted_tables if each.name not in {"audit", "auth_limit", "intake_refusal"}
    ]
    counts = [select(literal(each.name), func.count()).select_from(each) for each in tables]
    with record.reading() as connection:
        return {row[0]: row[1] for row in connection.execute(union_all(*counts))}


@contextmanager
def nothing_changes(record: Record) -> Iterator[None]:
    before = rows(record)
    yield
    assert rows(record) == before


def the_problem(answer: Any, status: int) -> dict[str, Any]:
    """The answer's body, which must be a complete RFC 9457 problem of this status."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem: dict[str, Any] = json.loads(answer.get_data())
    assert problem["status"] == status
    assert problem["title"]
    assert len(problem["detail"]) > 10
    assert problem["type"].startswith("/docs#problem-")
    return problem


def pointers(problem: dict[str, Any]) -> list[str]:
    assert all(each["detail"] for each in problem.get("errors", ()))
    return [each["pointer"] for each in problem.get("errors", ())]
