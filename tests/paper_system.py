"""Paper: a content system of the tests, with a signed webhook and an API of its own, and the adapter for it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from service import times
from service.http import credentials
from service.intake.adapters import registry
from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    ChangedPage,
    Event,
    Gone,
    Hint,
    HookRequest,
    IdsPage,
    Ignore,
    Reconciliation,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.store import operations
from service.store.articles import sources
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.store.database.record import Record
from tests.web import now

SIGNATURE = "x-paper-signature"
PAPER_SECRET = "paper-made-up-secret"
PAPER_TOKEN = "paper-made-up-token"


def signed(body: bytes, secret: str = PAPER_SECRET) -> dict[str, str]:
    """The header that Paper sends with this body."""
    return {SIGNATURE: hmac.digest(secret.encode(), body, "sha256").hex()}


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get(SIGNATURE)
    if sent is None:
        return f"there is no {SIGNATURE}"
    fits = any(hmac.compare_digest(signed(request.body, each)[SIGNATURE], sent) for each in secrets)
    return None if fits else "the signature does not match the secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    try:
        hook = json.loads(request.body)
    except ValueError:
        raise Unreadable("the body is not JSON") from None
    events: list[Event] = []
    for each in hook.get("stories", ()):
        events.append(_event(each))
    events += [Gone(each) for each in hook.get("gone", ())]
    if ids := hook.get("changed"):
        events.append(Hint(ids))
    if hook.get("bell"):
        events.append(Hint(sweep=True))
    if why := hook.get("ping"):
        events.append(Ignore(why))
    if hook.get("fault"):
        raise KeyError(hook["fault"])
    return events


def _event(story: dict[str, Any]) -> StoryRead | Gone:
    if story.get("public") is False:
        return Gone(story["id"])
    return StoryRead({name: value for name, value in story.items() if name != "public"})


def _request(path: str, settings: SourceSettings) -> ApiRequest:
    return ApiRequest(f"{settings.base_url}{path}", headers={"Authorization": "Bearer {token}"})


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    return _request(f"/stories/{story_id}", settings)


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    if answer.status == 404:
        return Gone(story_id)
    if answer.status != 200:
        raise Unreadable(f"Paper answered {answer.status}")
    return _event(json.loads(answer.body))


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    return _request(f"/stories?since={times.to_iso(since).replace('+', '%2B')}", settings)


def _page(answer: ApiAnswer) -> dict[str, Any]:
    if answer.status != 200:
        raise Unreadable(f"Paper answered {answer.status}")
    page: dict[str, Any] = json.loads(answer.body)
    return page


def _next(page: dict[str, Any], request: ApiRequest) -> ApiRequest | None:
    return ApiRequest(page["next"], headers=request.headers) if page.get("next") else None


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    page = _page(answer)
    return ChangedPage([_event(each) for each in page["stories"]], _next(page, request))


def _ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    page = _page(answer)
    return IdsPage(page["ids"], _next(page, request))


PAPER = Adapter(
    name="paper",
    title="Paper",
    verify=_verify,
    read=_read,
    needs=("secret", "base-url", "api-token"),
    setup="In Paper, under Webhooks, paste {url} and the secret {secret}.",
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(
        changed=_changed,
        changed_page=_changed_page,
        all_ids=lambda settings: _request("/ids", settings),
        ids_page=_ids_page,
    ),
)


def install(monkeypatch: pytest.MonkeyPatch, adapter: Adapter = PAPER) -> None:
    """Has this version know the adapter while the test runs."""
    monkeypatch.setitem(registry.ADAPTERS, adapter.name, adapter)


@dataclass(frozen=True)
class PaperSource:
    """A source of the adapter, with the key that it was given."""

    source: Source
    key: str


def a_paper_source(record: Record, slug: str = "paper", **options: Any) -> PaperSource:
    """Adds a source of Paper's; `options` are its settings."""
    key = credentials.new_api_key()
    new = sources.NewSource(
        slug, slug.title(), "paper", key_id=key.key_id, key_hash=key.hash, secret=PAPER_SECRET
    )
    added = operations.add_source(record, new, SourceOptions(**options), actor="operator", now=now())
    return PaperSource(added, key.text)


def a_story(**changes: Any) -> dict[str, Any]:
    """A story as Paper has it."""
    story = {
        "id": "7",
        "headline": "Harbour reopens after the storm",
        "sections": ["world"],
        "body_html": "<p>The first ferry left at dawn.</p>",
        "updated_at": "2026-01-02T08:00:00Z",
        **changes,
    }
    return {name: value for name, value in story.items() if value is not None}
