"""Sends to names whose name server answers otherwise the second time. `python -m tests.rebinding`.

To be run in namespaces of its own (`unshare --map-root-user --mount --net`), since it makes itself the machine's name
server: it lies to the system's resolver, as an attacker would. Prints a line of JSON: how each push ended.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Thread

from tests.integration.test_transport import OK, a_push, a_sender, a_server, answering, drained
from workers.net.http_client import GuardedClient

ALLOWED = [ip_network("127.0.0.0/8")]
FIRST, THEN = "127.0.0.1", "10.0.0.1"
SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
A = 1


def main() -> None:
    _raise_loopback()
    with tempfile.TemporaryDirectory() as folder, a_server(answering(OK)) as server:
        _be_the_name_server(Path(folder))
        pushes = [_push(f"http://push.example:{server.port}/") for _ in range(2)]
        requests = [_request(f"http://request.example:{server.port}/") for _ in range(2)]
        print(json.dumps({"pushes": pushes, "requests": requests, "connections": server.connections}))


def _push(url: str) -> tuple[str, str, str | None]:
    # Each with a sender of its own, as two workers: one would remember the name for a minute.
    with a_sender(allowed=ALLOWED) as sender:
        sender.submit(a_push(url))
        [(_, outcome)] = drained(sender)
    return outcome.kind, outcome.words, outcome.address


def _request(url: str) -> tuple[int | None, str]:
    client = GuardedClient(ALLOWED, user_agent="test")
    try:
        return client.post(url, b"{}", {})
    finally:
        client.close()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", UP_AND_RUNNING))


def _be_the_name_server(folder: Path) -> None:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 53))
    Thread(target=_answer_all, args=(listening,), daemon=True).start()
    for name, words in (("resolv.conf", "nameserver 127.0.0.1\n"), ("nsswitch.conf", "hosts: dns\n")):
        (folder / name).write_text(words)
        subprocess.run(["mount", "--bind", str(folder / name), f"/etc/{name}"], check=True)


def _answer_all(listening: socket.socket) -> None:
    asked: set[bytes] = set()
    while True:
        query, sender = listening.recvfrom(512)
        question = query[12 : query.index(b"\0", 12) + 5]
        if question[-4:-2] != struct.pack("!H", A):  # it has no IPv6 address
            listening.sendto(_answer(query, question, None), sender)
            continue
        listening.sendto(_answer(query, question, THEN if question in asked else FIRST), sender)
        asked.add(question)


def _answer(query: bytes, question: bytes, address: str | None) -> bytes:
    head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, int(address is not None), 0, 0)
    if address is None:
        return head + question
    record = struct.pack("!HHHIH", 0xC00C, A, 1, 0, 4) + ip_address(address).packed
    return head + question + record


if __name__ == "__main__":
    main()
