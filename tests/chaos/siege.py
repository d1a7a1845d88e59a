"""Clients that want nothing, in a process of its own: idle, half-sent and dripping connections, and bodies of no story.

Run with one line of JSON on its input (`Orders`). It ends when its input does, or by itself after `seconds`; then it
prints its account: how often it was answered what, and how long the probe and the feed took.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import requests
from standardwebhooks import Webhook

from tests.desk import RunningDesk
from tests.open_files import raise_open_files

HEAD = b"POST /v1/articles HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY_EVERY, ASK_EVERY, DRIP_EVERY, OPEN_AGAIN_EVERY = 1.5, 0.5, 1.0, 0.25
ANSWER_SECONDS = 30.0
# In which the probe and a feed are answered, on a machine that starts workers all the while.
PROBE_SECONDS = 5.0
END_SECONDS = 60.0


@dataclass(frozen=True)
class Orders:
    """How many connections of each kind, to which web, and for how long at the most."""

    url: str
    intake_url: str
    secret: str
    idle: int
    half_sent: int
    dripping: int
    seconds: float = 900.0

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@dataclass
class Account:
    """The outcome: `bodies` and `probes` count answers by status; `open_at_most` are connections at once."""

    open_at_most: int = 0
    reopened: int = 0
    bodies: Counter[str] = field(default_factory=Counter)
    probes: Counter[str] = field(default_factory=Counter)
    slowest_probe: float = 0.0


def hostile_bodies() -> list[bytes]:
    names = ",".join(f'"n{number}":1' for number in range(10_000))
    story = {"id": "siege", "headline": "Siege", "sections": ["world"], "body_html": "<b><p>" * 2_700}
    return [f'{{{names},"n1":1}}'.encode(), json.dumps(story).encode(), b"x" * 2_000_000]


class Siege:
    """Keeps the connections open, again where the web closes them; one thread for them, one for each kind of asking."""

    def __init__(self, orders: Orders) -> None:
        self.account = Account()
        self._orders = orders
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._clients: dict[int, socket.socket] = {}

    def run(self, until: threading.Event) -> Account:
        threads = [
            threading.Thread(target=work) for work in (self._hold, self._post_bodies, self._ask, self._drip)
        ]
        for each in threads:
            each.start()
        until.wait(self._orders.seconds)
        self._over.set()
        for each in threads:
            each.join()
        for client in self._clients.values():
            client.close()
        return self.account

    @property
    def _drips_from(self) -> int:
        return self._orders.idle + self._orders.half_sent

    def _hold(self) -> None:
        total = self._drips_from + self._orders.dripping
        missing = list(range(total))
        while not self._over.wait(OPEN_AGAIN_EVERY):
            for number in missing:
                with suppress(OSError):
                    self._open(number)
            self.account.open_at_most = max(self.account.open_at_most, len(self._clients))
            for key, _ in self._selector.select(0):
                self._close(key.data)
                self.account.reopened += 1
            missing = [number for number in range(total) if number not in self._clients]

    def _open(self, number: int) -> None:
        client = socket.socket()
        client.settimeout(2)
        try:
            client.bind((f"127.0.{2 + number % 400 // 200}.{1 + number % 200}", 0))
            client.connect(("127.0.0.1", self._orders.port))
            client.sendall(self._beginning(number))
        except OSError:
            client.close()
            raise
        self._selector.register(client, selectors.EVENT_READ, number)
        self._clients[number] = client

    def _beginning(self, number: int) -> bytes:
        if number < self._orders.idle:
            return b""
        if number < self._drips_from:
            return HEAD + b"Content-Length: 9999\r\n" + (b"\r\n{" if number % 2 else b"")
        return HEAD + (
            b"Content-Length: 9999\r\n\r\n" if number % 2 else b"Transfer-Encoding: chunked\r\n\r\n"
        )

    def _close(self, number: int) -> None:
        client = self._clients.pop(number)
        self._selector.unregister(client)
        client.close()

    def _drip(self) -> None:
        while not self._over.wait(DRIP_EVERY):
            for number in range(self._drips_from, self._drips_from + self._orders.dripping):
                client = self._clients.get(number)
                if client is not None:
                    with suppress(OSError):  # it was given up, and is opened again
                        client.sendall(b"x" if number % 2 else b"1\r\nx\r\n")

    def _post_bodies(self) -> None:
        bodies = hostile_bodies()
        turn = 0
        while not self._over.wait(BODY_EVERY):
            body, turn = bodies[turn % len(bodies)], turn + 1
            name, at = f"siege_{os.getpid()}_{turn}", datetime.now(UTC)
            headers = {
                "Content-Type": "application/json",
                "webhook-id": name,
                "webhook-timestamp": str(int(at.timestamp())),
                "webhook-signature": Webhook(self._orders.secret).sign(name, at, body.decode()),
            }
            try:
                answer = requests.post(self._orders.intake_url, body, headers=headers, timeout=ANSWER_SECONDS)
                self.account.bodies[str(answer.status_code)] += 1
            except requests.RequestException as error:
                self.account.bodies[type(error).__name__] += 1

    def _ask(self) -> None:
        while not self._over.wait(ASK_EVERY):
            for path in ("/healthz", "/feeds/world.rss"):
                began = time.monotonic()
                try:
                    status = str(requests.get(self._orders.url + path, timeout=ANSWER_SECONDS).status_code)
                except requests.RequestException as error:
                    status = type(error).__name__
                self.account.probes[f"{path} {status}"] += 1
                self.account.slowest_probe = max(self.account.slowest_probe, time.monotonic() - began)


@contextmanager
def besieged(desk: RunningDesk, **clients: int) -> Iterator[None]:
    """Such clients for as long as the block takes; the probe and a feed of the desk were answered all the while."""
    secret, intake_url = desk.source["secret"], desk.source["intake_url"]
    orders = Orders(desk.url, intake_url, secret, **clients)  # type: ignore[arg-type]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.siege"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin
    try:
        process.stdin.write(json.dumps(vars(orders)) + "\n")
        process.stdin.flush()
        yield
        out, _ = process.communicate(timeout=END_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    account = json.loads(out)
    print(f"siege: {account}")
    assert account["open_at_most"] > sum(clients.values()) // 2, account
    assert set(account["bodies"]) <= {"400", "413", "422", "429", "503"}, account
    assert {"400", "413", "422"} & set(account["bodies"]), account
    assert set(account["probes"]) == {"/healthz 200", "/feeds/world.rss 200"}, account
    assert account["slowest_probe"] < PROBE_SECONDS, account


def main() -> None:
    orders = Orders(**json.loads(sys.stdin.readline()))
    raise_open_files(8192)
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    print(json.dumps(vars(Siege(orders).run(ended))), flush=True)


if __name__ == "__main__":
    main()
