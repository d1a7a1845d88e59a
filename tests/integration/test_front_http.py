"""The web's connections: what is no request is refused, a refusal can be read, and a slow body takes no thread."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from service.intake.routes import MAX_BYTES, REQUEST_BYTES
from service.store.database.record import Record
from tests.desk import eventually
from tests.front import WebInThread, a_front, accepted_articles, ask, problem_of
from tests.web import encoded
from tests.wire import Reply, Wire

HOST = b"Host: news.example.org\r\n"
POST = b"POST /v1/articles HTTP/1.1\r\n" + HOST


@pytest.fixture(params=["uvloop", "asyncio"])
def front(sqlite_record: Record, request: pytest.FixtureRequest) -> Iterator[WebInThread]:
    with a_front(sqlite_record, loop=request.param) as running:
        yield running


def lower(front: WebInThread, **limits: float) -> None:
    """Gives the connections from now on other limits."""
    context = front.running.server.context
    context.limits = context.table.limits = replace(context.limits, **limits)  # type: ignore[arg-type]


def a_post(front: WebInThread, body: bytes, *more: str) -> bytes:
    headers = {"Content-Type": "application/json", **front.newsroom.signed(body, id=f"msg_{hash(body)}")}
    lines = [*(f"{name}: {value}" for name, value in headers.items()), *more]
    return POST + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def is_refused(front: WebInThread, request: bytes, status: int = 400) -> Reply:
    """It is answered with a problem, and the connection ends."""
    with Wire(front.port) as wire:
        reply = wire.send(request).reply()
        assert reply.status == status, reply
        assert reply.headers["content-type"] == "application/problem+json"
        assert problem_of(reply.body)["status"] == status
        assert reply.headers["connection"] == "close"
        assert wire.ends()
    return reply


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: other\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/0.9\r\n" + HOST + b"\r\n",
        b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /healthz HTTP/1.2\r\n" + HOST + b"\r\n",
        b"CONNECT example.org:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /healthz#x HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET ftp://a/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=[
        "no-host", "two-hosts", "one-host-twice", "blank-in-host", "path-in-host", "no-version", "http-0.9", "http-2.0",
        "preface-of-http-2", "http-1.2", "connect", "fragment", "another-scheme",
    ],
)  # fmt: skip
def test_request_without_one_host_or_of_another_version_is_a_400_and_the_connection_ends(
    front: WebInThread, request_: bytes
) -> None:
    is_refused(front, request_)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"Content-Length: 3, 3\r\n\r\nabc",
        b"Content-Length: +3\r\n\r\nabc",
        b"Content-Length: 0x3\r\n\r\nabc",
        b"Content-Length: 99999999999999999999999\r\n\r\nabc",
        b"Content-Length : 3\r\n\r\nabc",
        b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        b"X: a\r\n folded: b\r\nContent-Length: 3\r\n\r\nabc",
        b"X: a\rContent-Length: 3\r\n\r\nabc",
    ],
)
def test_request_whose_end_two_servers_could_see_differently_is_a_400_and_the_connection_ends(
    front: WebInThread, framing: bytes
) -> None:
    is_refused(front, POST + framing)
    assert accepted_articles(front.record) == 0


def test_http_1_0_without_host_is_answered_as_probes_of_balancers_send_it(front: WebInThread) -> None:
    with Wire(front.port) as wire:
        reply = wire.send(b"GET /healthz HTTP/1.0\r\n\r\n").reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert wire.ends()


def test_whole_web_address_in_a_request_is_its_path(front: WebInThread) -> None:
    with Wire(front.port) as wire:
        request = b"GET http://news.example.org/healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        assert wire.send(request).reply().body == b"alive\n"


def test_bodies_are_accepted_whole_in_parts_and_in_chunks_one_after_the_other(front: WebInThread) -> None:
    with Wire(front.port) as wire:
        for number, cut in enumerate((1000, 1, 50)):
            body = encoded(id=str(number))
            head = a_post(front, body, f"Content-Length: {len(body)}")
            assert wire.send(head + body[:cut], body[cut:]).reply().status == 202
            chunks = b"".join(b"%x;q=1\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
            head = a_post(front, body, "Transfer-Encoding: chunked")
            assert wire.send(head, chunks + b"0\r\nX-Sum: 1\r\nHost: b\r\n\r\n").reply().status == 202
        assert wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n").reply().status == 200
    assert accepted_articles(front.record) == 3


def test_requests_that_come_together_with_their_bodies_are_answered_in_order(front: WebInThread) -> None:
    posts = b""
    for number in range(5):
        body = encoded(id=str(number))
        posts += a_post(front, body, f"Content-Length: {len(body)}") + body
        posts += b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    with Wire(front.port) as wire:
        wire.send(posts)
        assert [wire.reply().status for _ in range(10)] == [202, 200] * 5


def test_java_client_that_offers_http_2_with_its_body_is_answered(front: WebInThread) -> None:
    body = encoded()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
    for framing in (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"):
        sent = body if "Length" in framing else b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        with Wire(front.port) as wire:
            assert wire.send(a_post(front, body, *upgrade, framing) + sent).reply().status == 202
            assert wire.send(a_post(front, body, *upgrade, framing), sent).reply().status == 202
            assert wire.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n").reply().status == 200


def test_offer_of_a_websocket_is_answered_as_if_there_were_none(front: WebInThread) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with Wire(front.port) as wire:
        for path, status in (
            (b"/healthz", 200),
            (b"/status/login", 200),
            (b"/feeds", 200),
            (b"/nothing", 404),
        ):
            reply = wire.send(b"GET " + path + b" HTTP/1.1\r\n" + HOST + offer).reply()
            assert (path, reply.status) == (path, status)


def test_client_that_sends_no_more_still_gets_its_answer(front: WebInThread) -> None:
    body = encoded()
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as client:
        client.sendall(a_post(front, body, f"Content-Length: {len(body)}") + body)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while more := client.recv(65536):
            received += more
    assert received.startswith(b"HTTP/1.1 202")


@pytest.mark.parametrize("size", [REQUEST_BYTES + 1, 9_000_000, 15_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_the_limit_is_a_413_that_a_client_reads_after_it_has_sent_all(
    front: WebInThread, size: int, chunked: bool
) -> None:
    parts = (b"x" * 65536 for _ in range(size // 65536 + 1))
    with closing(http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)) as client:
        headers = {"Content-Type": "application/json"}
        if chunked:
            client.request("POST", "/v1/articles", parts, headers, encode_chunked=True)
        else:
            client.request("POST", "/v1/articles", b"x" * size, headers)
        answer = client.getresponse()
        assert answer.status == 413
        assert "1 MiB" in str(problem_of(answer.read())["detail"])
    assert ask(front.port, "/healthz") == 200


def test_body_over_the_limit_is_a_413_before_it_is_sent_if_its_client_asks(front: WebInThread) -> None:
    body = b"x" * (REQUEST_BYTES + 1)
    request = a_post(front, body, f"Content-Length: {len(body)}", "Expect: 100-continue")
    with Wire(front.port) as wire:
        assert wire.send(request).reply().status == 413
        assert wire.ends()


def test_client_that_waits_to_be_told_to_send_its_body_is_told(front: WebInThread) -> None:
    body = encoded()
    with Wire(front.port) as wire:
        wire.send(a_post(front, body, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        wire.expect(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert wire.send(body).reply().status == 202


def test_body_that_never_ends_is_read_for_a_bounded_amount_after_its_refusal(front: WebInThread) -> None:
    lower(front, drain_bytes=3 * MAX_BYTES)
    with socket.create_connection(("127.0.0.1", front.port), timeout=20) as client:
        client.sendall(a_post(front, b"", "Content-Length: 100000000"))
        sent = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
            while sent < 90_000_000:
                client.sendall(b"x" * 65536)
                sent += 65536
    eventually(lambda: not front.running.connections, within=10, what="the connection is closed")


NODE = """
const [url, size] = process.argv.slice(1);
fetch(url, {method: 'POST', headers: {'Content-Type': 'application/json'}, body: 'x'.repeat(+size)})
  .then(async (r) => console.log(r.status, (await r.json()).detail), (e) => console.log('failed', e.cause || e));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")
def test_node_reads_the_413_of_a_large_body(front: WebInThread) -> None:
    url = f"http://127.0.0.1:{front.port}/v1/articles"
    for size in (9_000_000, 12_000_000):
        command = ["node", "-e", NODE, url, str(size)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.stdout.startswith("413 "), ran.stdout + ran.stderr


PHP = """
$curl = curl_init($argv[1]);
curl_setopt_array($curl, [CURLOPT_POST => true, CURLOPT_POSTFIELDS => str_repeat('x', (int)$argv[2]),
    CURLOPT_HTTPHEADER => ['Content-Type: application/json'], CURLOPT_RETURNTRANSFER => true]);
$body = curl_exec($curl);
if ($body === false) { echo 'failed ' . curl_error($curl); exit; }
echo curl_getinfo($curl, CURLINFO_RESPONSE_CODE) . ' ' . json_decode($body)->detail;
"""
GO = """
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	size, _ := strconv.Atoi(os.Args[2])
	answer, err := http.Post(os.Args[1], "application/json", strings.NewReader(strings.Repeat("x", size)))
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	body, err := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, string(body), err)
}
"""
LARGE = (REQUEST_BYTES + 1, 9_000_000, 12_000_000)


def read_413_by(front: WebInThread, command: list[str]) -> None:
    """Each size comes back as the problem, by a client that reads the answer when it has sent its body."""
    for size in LARGE:
        words = [*command, f"http://127.0.0.1:{front.port}/v1/articles", str(size)]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert ran.stdout.startswith("413 "), (size, ran.stdout + ran.stderr)
        assert "1 MiB" in ran.stdout


def php_has_curl() -> bool:
    """Whether PHP is here with its curl extension."""
    if (php := shutil.which("php")) is None:
        return False
    ran = subprocess.run([php, "-m"], capture_output=True, text=True, timeout=60, check=False)
    return "curl" in ran.stdout.split()


def test_php_reads_the_413_of_a_large_body(front: WebInThread, tmp_path: Path) -> None:
    if not php_has_curl():
        pytest.skip("PHP with its curl extension is not here: apt-get install php-cli php-curl")
    script = tmp_path / "post.php"
    script.write_text(f"<?php{PHP}")
    read_413_by(front, ["php", str(script)])


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("go") is None:
        pytest.skip("Go is not here")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO)
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    command = ["go", "build", "-o", str(folder / "post"), str(folder / "main.go")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    return str(folder / "post")


@pytest.mark.slow
def test_go_reads_the_413_of_a_large_body(front: WebInThread, go_client: str) -> None:
    read_413_by(front, [go_client])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("drips", [False, True])
def test_body_that_does_not_come_or_drips_is_a_408_and_takes_no_thread(
    front: WebInThread, chunked: bool, drips: bool
) -> None:
    lower(front, rate_seconds=0.4, rate_bytes=100)
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"
    with Wire(front.port) as wire:
        began = time.monotonic()
        wire.send(a_post(front, b"", framing))
        while drips and time.monotonic() - began < 0.3:
            wire.send(b"1\r\nx\r\n" if chunked else b"x", b"")
        assert all(lane.running == 0 for lane in front.running.server.context.lanes.values())
        assert wire.reply().status == 408
        assert wire.ends()
        assert time.monotonic() - began < 5
    assert front.running.server.context.table.body_bytes == 0


def test_body_that_comes_fast_enough_but_takes_too_long_in_all_is_a_408(front: WebInThread) -> None:
    lower(front, rate_seconds=0.2, rate_bytes=1, body_seconds=1.0)
    with Wire(front.port) as wire:
        wire.send(a_post(front, b"", "Content-Length: 1000"))
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            wire.send(b"x", b"")
        assert wire.reply().status == 408


def test_bodies_that_are_read_are_bounded_in_all_and_the_longest_unfinished_goes(front: WebInThread) -> None:
    lower(front, body_bytes=300_000)
    begun = a_post(front, b"", "Content-Length: 1000000")
    with Wire(front.port) as one, Wire(front.port) as two, Wire(front.port) as three:
        for wire in (one, two, three):
            wire.send(begun, b"x" * 120_000)
        assert one.reply().status == 503
        assert front.running.server.context.table.body_bytes <= 300_000
        assert front.post() == 202
    eventually(
        lambda: front.running.server.context.table.body_bytes == 0,
        within=10,
        what="their bytes are free again",
    )


def test_refusals_of_the_loop_are_counted_in_the_log_once_a_second(
    front: WebInThread, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        is_refused(front, b"GET /healthz HTTP/1.1\r\n\r\n")
    text = ""

    def seen() -> bool:
        nonlocal text
        text += "".join(capfd.readouterr())
        return "bad-request" in text

    eventually(seen, within=10, what="a line in the log")
    assert len([line for line in text.splitlines() if "bad-request" in line]) <= 5


def test_form_elsewhere_may_be_small_only(front: WebInThread) -> None:
    assert ask(front.port, "/status/login", "POST", b"x" * 70_000) == 413
    assert ask(front.port, "/v1/hooks/wire", "POST", b"x" * 9_000_000) == 413
