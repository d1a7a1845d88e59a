"""The status page says of each source when it last posted, what is held and why; a held takedown is red."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service import times
from service.store.articles import source_sync
from service.store.articles.source_sync import DueComparison, SweepEnd
from service.store.coordination import heartbeats
from tests import paper_system
from tests.paper_system import a_paper_source, a_story, signed
from tests.web import OPERATOR, WebDesk


@pytest.fixture(autouse=True)
def _paper(monkeypatch: pytest.MonkeyPatch) -> None:
    paper_system.install(monkeypatch)


def send(desk: WebDesk, hook: Any) -> None:
    body = json.dumps(hook).encode()
    assert desk.client.post("/v1/hooks/paper", data=body, headers=signed(body)).status_code == 202


def source_of(desk: WebDesk, slug: str) -> dict[str, Any]:
    [found] = [each for each in desk.get("/status.json", OPERATOR).json["sources"] if each["slug"] == slug]
    return dict(found)


def test_a_source_shows_its_last_post_and_what_is_held_with_its_reason(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    assert source_of(desk, "paper")["state"] == "Nothing came yet"
    send(desk, {"stories": [a_story()]})
    assert source_of(desk, "paper")["level"] == "good"
    send(desk, {"stories": [a_story(id="8", sections=["<sport>"])]})
    shown = source_of(desk, "paper")
    assert (shown["level"], shown["held"], shown["held_takedowns"]) == ("warn", 1, 0)
    page = desk.inside().get("/status/sources").text
    assert "&lt;sport&gt;" in page
    assert "dateline source held paper --id" in page
    assert "dateline source held paper" in desk.inside().get("/status").text


def test_a_held_takedown_is_red_on_top_of_everything(desk: WebDesk) -> None:
    a_paper_source(desk.record)
    send(desk, {"gone": [" an id with blanks "]})
    heartbeats.heartbeat(desk.record, "w1", broker="up", now=times.now())
    facts = desk.get("/status.json", OPERATOR).json
    assert facts["summary"] == {"level": "bad", "sentence": "A takedown is held: Paper"}
    assert source_of(desk, "paper")["level"] == "bad"
    assert "a takedown" in desk.inside().get("/status/sources").text


def test_takedowns_that_wait_for_the_operator_are_red(desk: WebDesk) -> None:
    paper = a_paper_source(desk.record, base_url="https://paper.example")
    at = times.now()
    due = DueComparison(paper.source.id, "paper", sweep=True, until=at)
    source_sync.end_sweep(desk.record, due, SweepEnd(("1", "2"), (), 0), at)
    assert source_of(desk, "paper")["takedowns_wait"] is True
    assert desk.get("/status.json", OPERATOR).json["summary"]["level"] == "bad"
    assert "dateline source show paper" in desk.inside().get("/status/sources").text


def test_an_api_that_fails_is_said(desk: WebDesk) -> None:
    paper = a_paper_source(desk.record, base_url="https://paper.example")
    at = times.now()
    source_sync.note_failure(desk.record, paper.source.id, "answered 503", at, at)
    assert source_of(desk, "paper")["api_failure"] == "answered 503"
    assert "answered 503" in desk.inside().get("/status").text


def test_a_held_hook_does_not_hide_that_the_api_fails(desk: WebDesk) -> None:
    paper = a_paper_source(desk.record, base_url="https://paper.example")
    send(desk, {"stories": [a_story(sections=["sport"])]})
    source_sync.note_failure(desk.record, paper.source.id, "answered 503", times.now(), times.now())
    page = desk.inside().get("/status/sources").text
    assert "1 hook cannot be mapped; its API fails, too: it answered 503" in page
    assert "dateline source retry paper" in page


def test_every_page_leads_to_the_sources(desk: WebDesk) -> None:
    for page in ("/status", "/status/articles", "/status/dead"):
        assert '<a href="/status/sources">Sources</a>' in desk.inside().get(page).text
    assert '<a href="/status/sources" aria-current="page">' in desk.inside().get("/status/sources").text


def test_a_desk_whose_sources_all_work_is_as_it_was(desk: WebDesk) -> None:
    assert desk.inside().get("/status/sources").status_code == 200
    assert {each["slug"] for each in desk.get("/status.json", OPERATOR).json["sources"]} == {"wire", "herald"}
