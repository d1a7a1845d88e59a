"""docs/partners.md: its receivers are the files beside it, and those hold what the page promises."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import IO, Any

import pytest

from service.webhooks import signatures
from workers.deliver import retry
from workers.net.outcome import Outcome
from workers.net.transport import Push, Sender

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "partners.md").read_text(encoding="utf-8")
SECRET, OTHER = signatures.new_secret(), signatures.new_secret()


def interpreter(name: str) -> str:
    found = sys.executable if name.endswith(".py") else shutil.which("node")
    if not found and os.environ.get("CI") != "true":
        pytest.skip("node is not installed")
    assert found, "node is needed to run the JavaScript receiver"
    return found


@dataclass
class Running:
    url: str
    output: IO[str]


@contextmanager
def running(name: str, folder: Path, *secrets: str) -> Iterator[Running]:
    """The receiver as a partner would start it, accepting these secrets."""
    env = {
        **os.environ,
        "DATELINE_SECRETS": " ".join(secrets),
        "DATELINE_DATABASE": str(folder / "held.db"),
    }
    command = [interpreter(name), str(DOCS / "examples" / name), "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            port = process.stdout.readline().rpartition(" ")[2].strip()
            yield Running(f"http://127.0.0.1:{port}/hooks/dateline", process.stdout)
        finally:
            process.kill()


@pytest.fixture(params=["receiver.py", "receiver.mjs"])
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with running(request.param, tmp_path, OTHER, SECRET) as found:
        yield found


def sent(
    receiver: Running,
    body: bytes,
    message_id: str = "dlv_1",
    *,
    secrets: list[str] | None = None,
    age: int = 0,
    sequence: int = 1,
) -> Outcome:
    timestamp = int(time.time()) - age
    headers = [
        ("Content-Type", "application/json"),
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signatures.sign(secrets or [SECRET], message_id, timestamp, body)),
        ("dateline-sequence", str(sequence)),
    ]
    sender = Sender([ip_network("127.0.0.0/8")], user_agent="Dateline/test")
    try:
        sender.submit(Push(None, receiver.url, headers, body))
        ended: list[tuple[Push, Outcome]] = []
        while sender.in_flight:
            ended += sender.poll(1)
        return ended[0][1]
    finally:
        sender.close()


def a_push(revision: int = 1, status: str = "usable", **data: Any) -> bytes:
    facts = {"article": "tag:x:1", "revision": revision, "status": status} | data
    message = {"type": "article.updated", "timestamp": "2026-01-02T08:00:00Z", "data": facts}
    return json.dumps(message, ensure_ascii=False).encode()


def test_the_page_shows_the_code_that_the_tests_run() -> None:
    shown = re.findall(r"```(?:python|javascript)\n(.*?)```", PAGE, re.DOTALL)
    kept = {
        path: path.read_text(encoding="utf-8")
        for path in (DOCS / "examples").iterdir()
        if path.is_file() and not path.name.startswith("dateline_")  # those are for newsrooms
    }
    assert sorted(shown) == sorted(kept.values())


def test_the_page_tells_the_schedule_that_is_kept() -> None:
    told = re.search(r"\*\*Schedule:\*\* at once, then after (.*?), then every 12 h, until 72 h in all", PAGE)
    assert told
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [int(number) * units[unit] for number, unit in (each.split() for each in told[1].split(", "))]
    assert tuple(waits) == retry.DEFAULT_SCHEDULE[1:8]
    assert set(retry.DEFAULT_SCHEDULE[8:-1]) == {12 * 3600}
    assert sum(retry.DEFAULT_SCHEDULE) == 72 * 3600


def test_a_push_is_stored_a_repeat_dropped_and_what_is_older_ignored(receiver: Running) -> None:
    for message_id, revision, result in (
        ("dlv_2", 2, b"stored"),
        ("dlv_2", 2, b"repeat"),
        ("dlv_1", 1, b"stale"),
        ("dlv_2_1", 2, b"stale"),
        ("dlv_3", 3, b"stored"),
    ):
        outcome = sent(receiver, a_push(revision, headline="雨 بارش"), message_id)
        assert (outcome.status, outcome.body) == (200, result)
        assert receiver.output.readline() == f"tag:x:1 r{revision} usable: {result.decode()}\n"


def test_a_takedown_is_stored(receiver: Running) -> None:
    sent(receiver, a_push(1), "dlv_1")
    assert sent(receiver, a_push(2, "killed"), "dlv_2").body == b"stored"


def test_a_push_signed_with_either_secret_is_taken(receiver: Running) -> None:
    private = signatures.new_key_pair().secret
    for number, secrets in enumerate(
        ([SECRET], [OTHER], [signatures.new_secret(), SECRET], [private, SECRET])
    ):
        assert sent(receiver, a_push(number + 1), f"dlv_{number}", secrets=secrets).status == 200


def test_a_request_that_is_not_from_us_or_too_old_is_refused(receiver: Running) -> None:
    assert sent(receiver, a_push(), secrets=[signatures.new_secret()]).status == 401
    assert sent(receiver, a_push(), secrets=[signatures.new_key_pair().secret]).status == 401
    assert sent(receiver, a_push(), age=400).status == 401
    assert sent(receiver, a_push(), age=-400).status == 401


def test_the_javascript_receiver_takes_a_public_key_instead_of_a_secret(tmp_path: Path) -> None:
    old, new = signatures.new_key_pair(), signatures.new_key_pair()
    with running("receiver.mjs", tmp_path, old.public, new.public) as receiver:
        assert sent(receiver, a_push(1), "dlv_1", secrets=[SECRET, old.secret]).status == 200
        assert sent(receiver, a_push(2), "dlv_2", secrets=[new.secret, SECRET]).status == 200
        assert sent(receiver, a_push(3), "dlv_3", secrets=[SECRET]).status == 401
        assert sent(receiver, a_push(3), "dlv_3", secrets=[signatures.new_key_pair().secret]).status == 401


def test_the_python_code_for_public_keys_trusts_what_they_signed_and_nothing_else() -> None:
    is_trusted = runpy.run_path(str(DOCS / "examples" / "verify_v1a.py"))["is_trusted"]
    old, new, now = signatures.new_key_pair(), signatures.new_key_pair(), int(time.time())

    def headers(*secrets: str, timestamp: int = now) -> dict[str, str]:
        signature = signatures.sign(secrets, "dlv_1", timestamp, b"{}")
        return {"webhook-id": "dlv_1", "webhook-timestamp": str(timestamp), "webhook-signature": signature}

    assert is_trusted([old.public, new.public], headers(SECRET, new.secret), b"{}")
    assert is_trusted([old.public], headers(new.secret, old.secret), b"{}")
    assert not is_trusted([old.public], headers(new.secret, SECRET), b"{}")
    assert not is_trusted([old.public], headers(old.secret), b"{} ")
    assert not is_trusted([old.public], headers(old.secret, timestamp=now - 400), b"{}")
    assert not is_trusted([old.public], headers(old.secret) | {"webhook-signature": "v1a,x v1a, v1"}, b"{}")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"data": 1}', b'{"data": {}}'])
def test_a_signed_body_that_is_no_push_is_refused(receiver: Running, body: bytes) -> None:
    assert sent(receiver, body).status == 400
