"""The receiver of `dateline receive`: it takes pushes, refuses others, drops repeats and shows each."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.webhooks import inbox, signatures
from service.webhooks.inbox import ReceivedPush
from service.webhooks.receiver import Receiver

SECRET = signatures.new_secret()
ROOT = Path(__file__).parents[2]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver([SECRET]) as running:
        yield running


def a_push(revision: int = 1, **data: Any) -> bytes:
    facts = {"article": "tag:x:1", "revision": revision, "status": "usable", "headline": "Rain"} | data
    message = {"type": "article.published", "timestamp": "2026-05-03T12:00:00Z", "data": facts}
    return json.dumps(message).encode()


def signed(body: bytes, message_id: str = "dlv_1", secret: str = SECRET, sequence: int = 1) -> dict[str, str]:
    timestamp = int(datetime.now(UTC).timestamp())
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures.sign([secret], message_id, timestamp, body),
        "dateline-sequence": str(sequence),
    }


def send(receiver: Receiver, method: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(receiver.url).netloc, timeout=5)
    try:
        connection.request(method, "/", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def push(receiver: Receiver, body: bytes, message_id: str = "dlv_1", **signing: Any) -> tuple[int, Any]:
    return send(receiver, "POST", body, signed(body, message_id, **signing))


def test_a_signed_push_is_stored_and_shown(receiver: Receiver) -> None:
    assert push(receiver, a_push(), sequence=7) == (200, {"result": "stored"})
    status, shown = send(receiver, "GET", b"", {})
    assert (status, shown["sequence"]) == (200, 7)
    assert shown["articles"] == [json.loads(a_push())["data"]]


def test_a_repeat_is_acknowledged_and_dropped(receiver: Receiver) -> None:
    push(receiver, a_push())
    assert push(receiver, a_push()) == (200, {"result": "repeat"})


def test_an_older_revision_is_acknowledged_and_ignored(receiver: Receiver) -> None:
    push(receiver, a_push(revision=2, headline="New"), "dlv_2")
    assert push(receiver, a_push(revision=1, headline="Old"), "dlv_1") == (200, {"result": "stale"})
    assert receiver.inbox.articles["tag:x:1"]["headline"] == "New"


def test_a_takedown_replaces_the_story_by_its_status_alone(receiver: Receiver) -> None:
    push(receiver, a_push())
    kill = {"article": "tag:x:1", "revision": 2, "status": "killed"}
    push(receiver, json.dumps({"type": "article.killed", "timestamp": "", "data": kill}).encode(), "dlv_2")
    assert receiver.inbox.articles == {"tag:x:1": kill}


def test_a_bad_signature_is_refused_with_401_and_stores_nothing(receiver: Receiver) -> None:
    status, answer = push(receiver, a_push(), secret=signatures.new_secret())
    assert status == 401
    assert "No signature matches" in answer["error"]
    assert receiver.inbox.articles == {}
    assert receiver.pushes == []


def test_any_of_several_secrets_is_accepted() -> None:
    with Receiver([signatures.new_secret(), SECRET]) as receiver:
        assert push(receiver, a_push())[0] == 200


def test_a_push_is_verified_by_the_public_key_alone() -> None:
    pair = signatures.new_key_pair()
    with Receiver([pair.public]) as receiver:
        assert push(receiver, a_push(), secret=pair.secret)[0] == 200
        assert push(receiver, a_push(), "dlv_2", secret=signatures.new_key_pair().secret)[0] == 401
        assert push(receiver, a_push(), "dlv_3")[0] == 401


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b'{"type": 1}', b'{"type": "x", "data": {"article": "a"}}', b"[" * 100_000],
)
def test_a_body_that_is_no_push_is_refused_with_400(receiver: Receiver, body: bytes) -> None:
    assert push(receiver, body)[0] == 400


def test_a_body_of_unknown_length_is_refused_with_411(receiver: Receiver) -> None:
    connection = http.client.HTTPConnection(urlsplit(receiver.url).netloc, timeout=5)
    connection.putrequest("POST", "/")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 411
    answer.read()
    connection.close()


def test_every_third_push_is_answered_503_when_asked_to() -> None:
    with Receiver([SECRET], fail_every=3) as receiver:
        statuses = [push(receiver, a_push(n), f"dlv_{n}")[0] for n in range(1, 7)]
    assert statuses == [200, 200, 503, 200, 200, 503]


def test_one_connection_serves_many_pushes_and_ends_with_the_receiver() -> None:
    with Receiver([SECRET]) as receiver:
        connection = http.client.HTTPConnection(urlsplit(receiver.url).netloc, timeout=5)
        for n in range(1, 4):
            body = a_push(n)
            connection.request("POST", "/", body, signed(body, f"dlv_{n}"))
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
        assert [each.revision for each in receiver.pushes] == [1, 2, 3]
    connection.close()


def test_the_line_of_a_push_describes_it_and_cannot_move_the_cursor() -> None:
    at = datetime(2026, 5, 3, 12, 0, 1, tzinfo=UTC)
    received = ReceivedPush(
        at, "dlv_1", "article.corrected", "tag:x:1", 4, "usable", "R\x1b[2Jain", 17, "stored", {}
    )
    assert inbox.text_line(received) == "12:00:01  article.corrected  r4  tag:x:1  R [2Jain  #17"
    assert json.loads(inbox.json_line(received))["sequence"] == 17


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_as_a_process_it_prints_a_line_per_push_and_ends_cleanly(number: int) -> None:
    code = f"from service.webhooks import receiver; receiver.serve('127.0.0.1:0', [{SECRET!r}], as_json=True)"
    command = [sys.executable, "-W", "error", "-c", code]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["listening"]
        body = a_push()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
        connection.request("POST", "/", body, signed(body))
        assert connection.getresponse().status == 200
        assert json.loads(process.stdout.readline())["article"] == "tag:x:1"
        process.send_signal(number)
        assert process.wait(10) == 0
        connection.close()
