"""A push's body: the story as it is kept, put in without being read, gives the bytes that reading it would."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.content import canonical
from service.store.database.record import Record
from service.store.deliveries.claims import ClaimedDelivery
from service.store.deliveries.push_content import PushContent
from service.webhooks import push_body
from workers.deliver import push_requests
from workers.deliver.push_requests import PushBuilder

FIRST = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
THEN = datetime(2026, 3, 2, 10, 0, 0, 120000, tzinfo=UTC)


def told(content: dict[str, Any], **changes: Any) -> PushContent:
    facts = {
        "event": "evt_1",
        "type": "article.updated",
        "occurred_at": THEN,
        "article": "tag:wire.example,2026:1",
        "revision": 3,
        "status": "usable",
        "content": canonical(content),
        "first_published_at": FIRST,
    }
    return PushContent(**(facts | changes))


def expected(content: dict[str, Any]) -> bytes:
    data: dict[str, Any] = {
        "article": "tag:wire.example,2026:1",
        "revision": 3,
        "status": "usable",
        "supersedes": [1, 2],
    }
    data |= json.loads(canonical(content))
    data.setdefault("published_at", "2026-03-01T09:30:00Z")
    data["updated_at"] = "2026-03-02T10:00:00.120000Z"
    message = {"type": "article.updated", "timestamp": "2026-03-02T10:00:00.120000Z", "data": data}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


OURS = ["article", "revision", "status", "supersedes", "published_at", "updated_at"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = st.sampled_from([*OURS, "headline", "body_html", "sections"]) | TEXT
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.sampled_from([f'{{"{name}":' for name in OURS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_content_gives_the_bytes_that_reading_it_would(content: dict[str, Any]) -> None:
    assert push_body.body(told(content)) == expected(content)


@pytest.mark.parametrize(
    "content",
    [
        {"headline": "Tide", "sections": ["world"]},
        {"headline": "Tide", "published_at": "2026-01-01T00:00:00Z"},
        {"headline": 'A "published_at": in a text', "images": [{"published_at": "x"}]},
        {"headline": "Tide", "status": "the source's own"},
        {},
    ],
)
def test_names_of_ours_in_a_story(content: dict[str, Any]) -> None:
    assert push_body.body(told(content)) == expected(content)


@pytest.mark.parametrize("status", ["withheld", "killed", "unpublished"])
def test_a_story_taken_down_is_named_and_nothing_of_it_is_told(status: str) -> None:
    taken = push_body.body(told({"headline": "Wrong person"}, status=status, type=f"article.{status}"))
    assert json.loads(taken) == {
        "type": f"article.{status}",
        "timestamp": "2026-03-02T10:00:00.120000Z",
        "data": {
            "article": "tag:wire.example,2026:1",
            "revision": 3,
            "status": status,
            "supersedes": [1, 2],
        },
    }


def test_a_worker_keeps_so_many_bytes_of_bodies_however_large_the_stories_are() -> None:
    builder = PushBuilder(cast(Record, None))
    for number in range(60):
        claimed = cast(ClaimedDelivery, SimpleNamespace(event=f"evt_{number}", event_id=number, priority=1))
        story = told({"body_html": "x" * 900_000}, event=f"evt_{number}")
        [(_, body)] = builder.bodies([claimed], {number: story})
        assert len(body) > 900_000
    assert sum(map(len, builder._bodies.values())) <= push_requests.CACHED_BODY_BYTES
    assert builder.missing([claimed]) == set()
