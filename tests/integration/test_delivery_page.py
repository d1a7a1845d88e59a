"""A delivery's page: all that is known of each attempt, and the request to copy; nothing secret."""

from __future__ import annotations

import html
import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.app import create_app
from service.console import words_request
from service.settings import load
from service.store.database.record import Record
from service.store.deliveries import routing, settlements
from service.webhooks import signatures
from tests.builders import NOW, a_desk, a_takedown, an_article, an_endpoint, post, pushes_for
from tests.seeded import WORKER, a_settlement, claim_all

TOKEN = "operator-token-of-the-test"


def page(record: Record, name: str, folder: Path) -> str:
    app = create_app(load(None, data_dir=folder, operator_token=TOKEN), record, lambda: None)
    client = app.test_client()
    client.post("/status/login", data={"token": TOKEN})
    answer = client.get(f"/status/deliveries/{name}")
    assert answer.status_code == 200
    return answer.text


def commands(text: str) -> list[str]:
    found = re.findall(r'aria-label="Command to copy">(.*?)</pre>', text, re.DOTALL)
    return [html.unescape(each) for each in found]


@pytest.mark.parametrize("record", ["sqlite"], indirect=True)  # the SQL has its tests on both
def test_page_shows_all_of_an_attempt_and_a_command_that_sends_the_same_body(
    record: Record, tmp_path: Path
) -> None:
    source = a_desk(record)
    endpoint = an_endpoint(record, "herald", ed25519=signatures.new_key_pair().secret)
    post(record, source, an_article(headline="It's 'quoted' $HOME `ls` بارش 雨\u202e\u0007"))
    routing.route(record, NOW)
    claimed = claim_all(record, NOW)
    [push] = pushes_for(record, claimed, NOW)
    failed = a_settlement(
        claimed[0],
        "waiting",
        "answered 503 Service Unavailable",
        NOW,
        status=503,
        due_at=NOW + timedelta(seconds=5),
    )
    settlements.settle(record, [failed], lease=WORKER, now=NOW)
    text = page(record, claimed[0].public_id, tmp_path)
    for kept in (
        "503",
        "Answered 503 Service Unavailable",
        "2.1",
        "18",
        "41",
        "120",
        "184",
        "203.0.113.7:443",
        "nginx",
    ):
        assert kept in text
    [command] = commands(text)
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["curl", "-i", endpoint.url]
    assert json.loads(words[-1]) == json.loads(push.body)
    assert command.replace("\n", "").isprintable()
    signature = dict(push.headers)["webhook-signature"]
    assert all(each.partition(",")[2] not in text for each in signature.split(" "))
    given_headers = dict(word.split(": ", 1) for word in words if ": " in word and not word.startswith("{"))
    started = str(int((NOW - timedelta(milliseconds=184)).timestamp()))
    expected = dict(push.headers) | {"webhook-signature": "v1,(masked)", "webhook-timestamp": started}
    assert given_headers == expected


@pytest.mark.parametrize("record", ["sqlite"], indirect=True)
def test_page_shows_no_text_of_a_story_that_was_taken_down_since(record: Record, tmp_path: Path) -> None:
    source = a_desk(record)
    an_endpoint(record, "herald")
    post(record, source, an_article(headline="Minister named", body_html="<p>His name is Smith.</p>"))
    routing.route(record, NOW)
    first = claim_all(record, NOW)
    settlements.settle(record, [a_settlement(first[0], "delivered", "took it", NOW)], lease=WORKER, now=NOW)
    post(record, source, a_takedown())
    routing.route(record, NOW)
    second = claim_all(record, NOW)
    settlements.settle(record, [a_settlement(second[0], "delivered", "took it", NOW)], lease=WORKER, now=NOW)
    text = page(record, first[0].public_id, tmp_path)
    assert "Smith" not in text
    assert commands(text)[0].endswith("--data-binary @push.json")
    assert '"status":"killed"' in commands(page(record, second[0].public_id, tmp_path))[0]


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_command_carries_the_same_json_whatever_a_story_contains(facts: dict[str, str]) -> None:
    body = json.dumps(facts, ensure_ascii=False).encode()
    command = words_request.curl("https://herald.example/in?a=b&c='d'", (("a", "b"),), body)
    words = shlex.split(command.replace(" \\\n", " "))
    assert words[2] == "https://herald.example/in?a=b&c='d'"
    assert json.loads(words[-1]) == facts


def test_body_that_is_too_long_for_a_command_line_is_read_from_a_file() -> None:
    command = words_request.curl("https://herald.example/in", (), b'"' + b"x" * 40_000 + b'"')
    assert command.endswith("--data-binary @push.json")
