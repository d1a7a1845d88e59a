"""The balance at the end: the deliveries that the desk records against the pushes that the receivers got."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from tests.chaos.load import LoadStory
from tests.desk import RunningDesk
from tests.outlet import Outlet, OutletPush

SETTLED = {"delivered", "superseded", "cancelled"}


@dataclass(frozen=True)
class Ledger:
    """`events`: each event of the stories with its deliveries; `pushes`: the arrivals, by endpoint path and article."""

    events: list[dict[str, Any]]
    articles: dict[str, dict[str, Any]]
    pushes: dict[tuple[str, str], list[OutletPush]]


def unsettled(desk: RunningDesk) -> int:
    """The number of events to route and of deliveries to the desk's endpoints that wait or are on the wire."""
    answer = desk.get("/status.json")
    answer.raise_for_status()
    status = answer.json()
    endpoints = [each for partner in status["partners"] for each in partner["endpoints"]]
    ours = [each for each in endpoints if each["id"] in desk.endpoints.values()]
    waiting = sum(each["backlog"] + each["scheduled"] for each in ours)
    return int(status["pipeline"]["unrouted"]) + waiting


def read(desk: RunningDesk, outlet: Outlet, stories: Sequence[LoadStory]) -> Ledger:
    """Reads the desk's account of the stories and its own endpoints, and the pushes that came there."""
    with requests.Session() as session:
        articles = {
            story.public_id: desk.get(f"/v1/articles/{story.public_id}", session).json() for story in stories
        }
        names = [each["event"] for article in articles.values() for each in article["events"]]
        events = [desk.get(f"/v1/events/{name}", session).json() for name in names]
    ours = set(desk.endpoints.values())
    for event in events:
        event["deliveries"] = [each for each in event["deliveries"] if each["endpoint_id"] in ours]
    pushes: dict[tuple[str, str], list[OutletPush]] = defaultdict(list)
    for push in list(outlet.pushes):
        if push.data["article"] in articles:
            pushes[push.path, push.data["article"]].append(push)
    return Ledger(events, articles, pushes)


def assert_nothing_is_lost(ledger: Ledger, stories: Sequence[LoadStory], paths: Collection[str]) -> None:
    """Every version that got a 202 is a revision, and each endpoint was pushed every story's newest one."""
    for story in stories:
        row = ledger.articles[story.public_id]
        assert row["revision"] == len(story.versions), story
        for path in paths:
            came = ledger.pushes.get((path, story.public_id), [])
            if story.killed and not came:
                continue  # killed before any of it was sent: there is nothing to take back
            assert came, (path, story)
            assert came[-1].data["revision"] == len(story.versions), (path, story)


def assert_nothing_is_stale(ledger: Ledger) -> None:
    """No receiver got an older revision after a newer one, even as a repeat."""
    for where, came in ledger.pushes.items():
        revisions = [each.data["revision"] for each in came]
        assert revisions == sorted(revisions), where


def assert_repeats_are_the_same(ledger: Ledger) -> int:
    """Endpoint, article and revision have one id and one body; returns the number of repeated pushes."""
    bodies: dict[str, bytes] = {}
    ids: dict[tuple[str, str, int], str] = {}
    repeats = 0
    for (path, article), came in ledger.pushes.items():
        for push in came:
            repeats += push.id in bodies
            assert bodies.setdefault(push.id, push.body) == push.body, push
            assert ids.setdefault((path, article, push.data["revision"]), push.id) == push.id, push
    assert len(set(ids.values())) == len(ids)
    return repeats


def assert_every_delivery_is_settled(ledger: Ledger) -> None:
    """Every delivery has ended, every delivered one did come, and the desk knows of every push that came."""
    came = {push.id for pushes in ledger.pushes.values() for push in pushes}
    deliveries = [each for event in ledger.events for each in event["deliveries"]]
    assert [event for event in ledger.events if event["routed_at"] is None] == []
    assert [each for each in deliveries if each["state"] not in SETTLED] == []
    delivered = {each["id"] for each in deliveries if each["state"] == "delivered"}
    assert delivered - came == set()
    # A push that came from a dying worker and was then superseded is not called delivered.
    assert came - {each["id"] for each in deliveries if each["attempts"]} == set()


def interrupted(ledger: Ledger) -> int:
    """The number of attempts that the death of their worker cut off."""
    tries = [each for event in ledger.events for one in event["deliveries"] for each in one["attempts"]]
    return sum(each["outcome"] == "lost" for each in tries)
