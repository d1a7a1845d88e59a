"""The sentence at the top is true from the first failure on, and the remedy beside it does what it says."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta

import pytest

from service.cli.articles import replay as replay_command
from service.store import operations
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import routing, settlements
from service.store.deliveries.replays import ReplayRequest
from service.store.operations import keys as key_operations
from tests.builders import NOW, a_desk, an_article, an_endpoint, later, post
from tests.seeded import WORKER, a_settlement, claim_all
from tests.web import OPERATOR, TOKEN, an_app

FAILURE = "answered 503 Service Unavailable"


def sentence(record: Record, seconds: float) -> tuple[str, str]:
    now = later(seconds)
    heartbeats.heartbeat(record, WORKER, broker="up", now=now)
    answer = an_app(record, clock=lambda: now).test_client().get("/status.json", headers=OPERATOR)
    summary = answer.json["summary"]
    return summary["level"], summary["sentence"]


def test_not_all_are_current_from_the_first_failure_on(record: Record) -> None:
    source = a_desk(record)
    for each in ("herald", "courier", "echo"):
        an_endpoint(record, each)
    assert sentence(record, 0) == ("good", "All 3 partners are current")
    post(record, source, an_article())
    routing.route(record, NOW)
    assert sentence(record, 0.1) == ("busy", "Sending to Herald, Courier and Echo; 0 of 3 partners current")
    first, *others = claim_all(record, later(0.2))
    failed = a_settlement(
        first, "waiting", FAILURE, later(1), status=503, due_at=later(5), outcome="throttled"
    )
    delivered = [a_settlement(each, "delivered", "answered 200 OK", later(1), status=200) for each in others]
    settlements.settle(record, [failed, *delivered], lease=WORKER, now=later(1))
    assert sentence(record, 1.1) == ("warn", "Pushes to Herald fail; 2 of 3 partners current")


def test_a_day_on_which_nothing_comes_is_told(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article())
    routing.route(record, NOW)
    claimed = claim_all(record, NOW)
    settlements.settle(
        record,
        [a_settlement(each, "delivered", "ok", NOW, status=200) for each in claimed],
        lease=WORKER,
        now=NOW,
    )
    assert sentence(record, timedelta(hours=11).total_seconds())[0] == "good"
    level, words = sentence(record, timedelta(hours=14).total_seconds())
    assert (level, words) == ("warn", "Nothing has come in for 14 h; all that came is delivered")


def test_removed_partner_is_in_no_count_and_no_list_of_the_desk(record: Record) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    an_endpoint(record, "courier")
    post(record, source, an_article())
    routing.route(record, NOW)
    ends = {"herald": ("dead", 401), "courier": ("delivered", 200)}
    claimed = claim_all(record, NOW)
    names = {each.id: slug for each, slug in zip(claimed, ("herald", "courier"), strict=True)}
    settled = [a_settlement(each, ends[names[each.id]][0], "answered", NOW, status=200) for each in claimed]
    settlements.settle(record, settled, lease=WORKER, now=NOW)
    assert sentence(record, 1) == ("bad", "1 partner is behind: 1 delivery was given up (Herald)")
    key_operations.remove_partner(record, "herald", actor="operator", now=later(2))
    assert sentence(record, 3) == ("good", "The one partner is current")
    client = an_app(record, clock=lambda: later(3)).test_client()
    client.post("/status/login", data={"token": TOKEN})
    assert "Herald" not in client.get("/status").text + client.get("/status/dead").text
    assert client.get("/status/partners/herald").status_code == 200


@pytest.mark.parametrize("record", ["sqlite"], indirect=True)  # the replay has its tests on both
def test_the_command_shown_for_what_was_given_up_sends_that_and_nothing_else(record: Record) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald")
    for number in range(4):
        post(record, source, an_article(external_id=str(number)))
    routing.route(record, NOW)
    dead, refused, *delivered = claim_all(record, NOW)
    settled = [a_settlement(each, "delivered", "answered 200 OK", later(1), status=200) for each in delivered]
    settled.append(a_settlement(dead, "dead", FAILURE, later(1), status=503, outcome="throttled"))
    words = "answered 403 Forbidden"
    settled.append(a_settlement(refused, "dead", words, later(1), status=403, outcome="refused"))
    settlements.settle(record, settled, lease=WORKER, now=later(1))
    client = an_app(record, clock=lambda: later(2)).test_client()
    client.post("/status/login", data={"token": TOKEN})
    page = client.get("/status/dead").text
    commands = re.findall(r'<code class="command">(dateline replay.*?)</code>', page)
    assert sorted(commands) == [
        f"dateline replay --endpoint {endpoint.id} --dead --cause {cause}"
        for cause in ("refused", "throttled")
    ]
    assert "cause: refused" in page
    for command, meant in zip(sorted(commands), (refused, dead), strict=True):
        given = replay_command.make_context("replay", shlex.split(command)[2:]).params
        wanted = ReplayRequest(**{name: given[name] for name in ("endpoint", "since", "dead", "cause")})
        replayed = operations.replay(record, wanted, actor="operator", now=later(3))
        assert replayed.deliveries == (meant.public_id,)
