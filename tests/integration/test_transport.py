"""The sender meets real servers, honest and misbehaving."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.webhooks import signatures
from service.webhooks.receiver import Receiver
from workers.net.outcome import Outcome
from workers.net.transport import Full, Push, Sender, Timeouts

LOOPBACK = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Misbehaving:
    """A server that reads each request whole and lets `behave(connection, request)` do what it likes.

    `behave` returns True to keep the connection. `over` is set when the test is done.
    """

    def __init__(
        self, behave: Callable[[Any, bytes], bool | None], tls: ssl.SSLContext | None = None
    ) -> None:
        self._behave, self._tls = behave, tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads: list[Thread] = []
        self._open: list[Any] = []
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []
        self.over = Event()
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hook"

    def stop(self) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = Thread(target=target, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, connection)

    def _serve(self, plain: socket.socket) -> None:
        connection: socket.socket = plain
        try:
            if self._tls:
                connection = self._tls.wrap_socket(plain, server_side=True)
            self._open.append(connection)
            while request := self._read(connection):
                self.requests.append(request)
                if not self._behave(connection, request):
                    break
        except OSError:  # the client hung up, which is what most tests wait for
            pass
        finally:
            connection.close()
            plain.close()

    def _read(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (chunk := connection.recv(65536)):
                return b""
            data += chunk
        head = data.partition(b"\r\n\r\n")[0].lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while len(data) < len(head) + 4 + length:
            data += connection.recv(65536)
        return data


@contextmanager
def a_server(
    behave: Callable[[Any, bytes], bool | None], tls: ssl.SSLContext | None = None
) -> Iterator[Misbehaving]:
    server = Misbehaving(behave, tls)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def a_sender(**options: Any) -> Iterator[Sender]:
    defaults: dict[str, Any] = {"user_agent": "Dateline/test", "timeouts": Timeouts(0.5, 1.0)}
    sender = Sender(options.pop("allowed", LOOPBACK), **(defaults | options))
    try:
        yield sender
    finally:
        sender.close()


def a_push(url: str, token: Any = None, body: bytes = b"{}") -> Push:
    return Push(token, url, [("Content-Type", "application/json"), ("webhook-id", "dlv_1")], body)


def drained(sender: Sender, seconds: float = 10) -> list[tuple[Push, Outcome]]:
    deadline, ended = time.monotonic() + seconds, []
    while sender.in_flight:
        assert time.monotonic() < deadline, "a push never ends"
        ended += sender.poll(0.2)
    return ended


def sent(url: str, **options: Any) -> Outcome:
    with a_sender(**options) as sender:
        sender.submit(a_push(url))
        return drained(sender)[0][1]


def answering(*parts: bytes, keep: bool = False) -> Callable[[Any, bytes], bool]:
    def behave(connection: Any, _: bytes) -> bool:
        for part in parts:
            connection.sendall(part)
        return keep

    return behave


# -- the honest case --


def test_a_push_arrives_as_it_was_given_and_nothing_is_added_but_what_must_be() -> None:
    body = b"x" * 6000
    with a_server(answering(OK)) as server, a_sender() as sender:
        sender.submit(a_push(server.url, "mine", body))
        [(push, outcome)] = drained(sender)
    assert push.token == "mine"
    assert (outcome.kind, outcome.status, outcome.address) == ("delivered", 200, "127.0.0.1")
    assert outcome.reached
    assert outcome.body == b"ok"
    assert outcome.response_headers == (("Content-Length", "2"),)
    assert outcome.timings.total > 0
    head, _, received = server.requests[0].partition(b"\r\n\r\n")
    assert received == body
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /hook HTTP/1.1"
    assert {line.split(":")[0] for line in lines[1:]} == {
        "Host", "User-Agent", "Accept", "Accept-Encoding", "Content-Type", "webhook-id", "Content-Length",
    }  # fmt: skip


def test_a_receiver_verifies_what_was_sent() -> None:
    secret, body, now = signatures.new_secret(), b'{"type":"article.published","data":{}}', int(time.time())
    headers = [
        ("webhook-id", "dlv_1"),
        ("webhook-timestamp", str(now)),
        ("webhook-signature", signatures.sign([secret], "dlv_1", now, body)),
    ]
    with Receiver([secret]) as receiver, a_sender() as sender:
        sender.submit(Push(None, receiver.url, headers, body))
        [(_, outcome)] = drained(sender)
    assert (outcome.kind, outcome.status) == ("refused", 400)  # verified; but it names no article
    assert b"data.article" in outcome.body


def test_connections_are_kept_and_used_again() -> None:
    with a_server(answering(OK, keep=True)) as server, a_sender() as sender:
        for _ in range(5):
            sender.submit(a_push(server.url))
            [(_, outcome)] = drained(sender)
            assert outcome.kind == "delivered"
        assert server.connections == 1
        assert outcome.timings.connect is None
        assert outcome.timings.first_byte is not None


def test_a_kept_connection_that_the_partner_closed_meanwhile_is_replaced() -> None:
    with a_server(answering(OK)) as server, a_sender() as sender:
        for _ in range(3):
            sender.submit(a_push(server.url))
            assert drained(sender)[0][1].kind == "delivered"
        assert server.connections == 3


def test_many_pushes_go_at_once_and_one_that_hangs_delays_no_other() -> None:
    def behave(connection: Any, request: bytes) -> bool:
        if b"hang" in request:
            server.over.wait(5)
        connection.sendall(OK)
        return True

    with a_server(behave) as server, a_sender(timeouts=Timeouts(0.5, 2.0)) as sender:
        started = time.monotonic()
        sender.submit(a_push(server.url, "slow", b"hang"))
        for number in range(30):
            sender.submit(a_push(server.url, number))
        assert sender.in_flight == 31
        quick: list[Any] = []
        while len(quick) < 30:
            quick += [push.token for push, _ in sender.poll(1)]
        assert time.monotonic() - started < 1
        assert sorted(quick) == list(range(30))
        [(push, outcome)] = drained(sender)
        assert (push.token, outcome.kind) == ("slow", "timeout")


def test_poll_returns_at_once_when_nothing_is_in_flight_and_in_time_when_nothing_ends() -> None:
    with a_server(lambda *_: server.over.wait(5)) as server, a_sender() as sender:
        started = time.monotonic()
        assert sender.poll(5) == []
        assert time.monotonic() - started < 0.1
        sender.submit(a_push(server.url))
        assert sender.poll(0.2) == []
        assert 0.15 < time.monotonic() - started < 0.9


def test_more_than_the_capacity_is_refused_and_closing_drops_what_is_in_flight() -> None:
    with a_server(lambda *_: server.over.wait(5)) as server, a_sender(capacity=2) as sender:
        sender.submit(a_push(server.url))
        sender.submit(a_push(server.url))
        assert sender.room == 0
        with pytest.raises(Full):
            sender.submit(a_push(server.url))


# -- slow, broken and hostile answers --


def test_a_partner_that_never_answers_times_out_after_having_been_reached() -> None:
    with a_server(lambda *_: server.over.wait(5)) as server:
        outcome = sent(server.url)
    assert outcome.kind == "timeout"
    assert outcome.words == "did not answer within 1 s (connected, no first byte)"
    assert outcome.reached


def test_a_partner_that_drips_its_headers_cannot_hold_a_push_beyond_the_total_time() -> None:
    def drip(connection: Any, _: bytes) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 1000:
            connection.sendall(bytes([byte]))
            if server.over.wait(0.02):
                return

    with a_server(drip) as server:
        outcome = sent(server.url)
    assert (outcome.kind, outcome.status) == ("timeout", None)
    assert outcome.words == "did not finish its answer within 1 s (it had begun)"
    assert 900 < outcome.timings.total < 1500


def test_a_yes_whose_body_drips_for_ever_is_a_yes_cut_at_the_total_time() -> None:
    def drip(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not server.over.wait(0.1):
            connection.sendall(b"x")

    with a_server(drip) as server:
        outcome = sent(server.url)
    assert (outcome.kind, outcome.status) == ("delivered", 200)
    assert outcome.timings.total < 1500


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "closed the connection without an answer"),
        ((b"HTTP/1.1 200 OK\r\nServ",), "closed the connection in the middle of its answer"),
    ],
)
def test_a_connection_closed_before_or_within_the_headers_is_no_answer(
    parts: tuple[bytes, ...], words: str
) -> None:
    with a_server(answering(*parts)) as server:
        outcome = sent(server.url)
    assert (outcome.kind, outcome.words) == ("closed", words)
    assert outcome.reached


def test_a_connection_reset_without_an_answer_is_closed() -> None:
    def reset(connection: Any, _: bytes) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with a_server(reset) as server:
        assert sent(server.url).kind == "closed"


def test_a_failure_cut_in_the_middle_of_its_body_keeps_its_status_and_its_wish_to_wait() -> None:
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 100\r\n\r\nhalf"
    with a_server(answering(answer)) as server:
        outcome = sent(server.url)
    assert (outcome.kind, outcome.status, outcome.retry_after) == ("throttled", 503, 7)
    assert outcome.body == b"half"


def test_a_body_over_64_kib_is_cut_there_and_the_answer_counts() -> None:
    def flood(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with a_server(flood) as server:
        outcome = sent(server.url)
    assert outcome.kind == "delivered"
    assert "over 64 KiB" in outcome.words
    assert outcome.body == b"x" * 4096
    assert outcome.timings.total < 900


def test_a_gzip_bomb_is_cut_at_64_kib_of_what_comes_out() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with a_server(answering(head + bomb)) as server:
        outcome = sent(server.url)
    assert outcome.kind == "delivered"
    assert "over 64 KiB" in outcome.words
    assert len(outcome.body) == 4096
    assert outcome.timings.total < 900


def test_a_body_that_is_no_gzip_though_it_says_so_does_not_undo_the_answer() -> None:
    with a_server(
        answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok")
    ) as server:
        assert sent(server.url).kind == "delivered"


def test_endless_headers_are_not_read_for_ever() -> None:
    def flood(connection: Any, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Header: " + b"x" * 8000 + b"\r\n")

    with a_server(flood) as server:
        outcome = sent(server.url)
    assert outcome.kind in ("garbled", "closed")
    assert outcome.response_headers == ()


@pytest.mark.parametrize(
    "answer", [b"what?\r\n\r\n", b"\x00" * 100, b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n"]
)
def test_an_answer_that_is_not_http_is_garbled(answer: bytes) -> None:
    with a_server(answering(answer)) as server:
        assert sent(server.url).kind in ("garbled", "closed")


def test_a_redirect_to_the_metadata_service_is_a_failure_and_is_not_followed() -> None:
    answer = b"HTTP/1.1 307 X\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"
    with a_server(answering(answer)) as server:
        outcome = sent(server.url)
        assert len(server.requests) == 1
    assert (outcome.kind, outcome.status) == ("redirect", 307)
    assert "http://169.254.169.254/latest" in outcome.words
    assert outcome.address == "127.0.0.1"


def test_a_cookie_is_not_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with a_server(answering(answer, keep=True)) as server, a_sender() as sender:
        for _ in range(2):
            sender.submit(a_push(server.url))
            drained(sender)
        assert b"ookie" not in server.requests[1]


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with a_server(answering(OK)) as server:
        assert sent(server.url).kind == "delivered"


# -- addresses --


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_no_spelling_of_this_machine_is_reached_unless_allowed(host: str) -> None:
    with a_server(answering(OK)) as server:
        outcome = sent(f"http://{host}:{server.port}/", allowed=[])
        assert server.connections == 0
    assert outcome.kind == "blocked"
    assert "loopback" in outcome.words
    assert not outcome.reached


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "10.0.0.1", "[64:ff9b::a9fe:a9fe]", "[2002:a00:1::]", "0.0.0.0"]
)
def test_no_private_address_is_called(host: str) -> None:
    outcome = sent(f"http://{host}/")
    assert (outcome.kind, outcome.reached) == ("blocked", False)
    assert outcome.timings.total < 400


def test_a_port_of_another_service_is_not_called_even_at_an_allowed_address() -> None:
    outcome = sent("http://127.0.0.1:22/")
    assert outcome.words == "was not called: port 22 is not 80, 443 or from 1024 to 65535"


def test_a_port_where_nobody_listens_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = sent(f"http://127.0.0.1:{port}/")
    assert (outcome.kind, outcome.reached) == ("connect", False)
    assert outcome.words == "refused the connection: nothing listens at that port"


def test_a_name_that_leads_nowhere_is_reported_as_dns() -> None:
    outcome = sent("http://no-such-name.invalid/", timeouts=Timeouts(5.0, 5.0))
    assert outcome.kind in ("dns", "timeout")  # a machine without DNS may only time out
    assert "name" in outcome.words


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "file:///etc/passwd", "not a url", "", "http://", "http://ex\u0000ample/"]
)
def test_a_push_that_cannot_be_sent_comes_back_as_unsent_and_nothing_breaks(url: str) -> None:
    with a_server(answering(OK)) as server, a_sender() as sender:
        sender.submit(a_push(url, "bad"))
        sender.submit(a_push(server.url, "good"))
        found = {push.token: outcome.kind for push, outcome in drained(sender)}
    assert found["good"] == "delivered"
    assert found["bad"] in ("unsent", "dns")


def test_a_name_in_another_script_is_looked_up_in_punycode() -> None:
    outcome = sent("http://bücher.invalid/straße?q=ü", timeouts=Timeouts(5.0, 5.0))
    assert outcome.kind in ("dns", "timeout")


# -- certificates --


def a_certificate(folder: Path, *, days: tuple[int, int] = (-1, 1), name: str = "127.0.0.1") -> Path:
    """A self-signed certificate with its key in one file, valid from and to these days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partner")])
    named: x509.GeneralName = x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([named]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "partner.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def sent_over_tls(certificate: Path, *, trusted: bool) -> Outcome:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with a_server(answering(OK), context) as server:
        outcome = sent(server.url, ca_file=str(certificate) if trusted else None)
        assert bool(server.requests) == outcome.delivered
    return outcome


def test_a_push_over_tls_to_a_trusted_partner_is_delivered(tmp_path: Path) -> None:
    outcome = sent_over_tls(a_certificate(tmp_path), trusted=True)
    assert outcome.kind == "delivered"
    assert outcome.timings.tls is not None


@pytest.mark.parametrize(
    ("options", "trusted", "words"),
    [
        ({}, False, "the partner's certificate is self-signed"),
        ({"days": (-9, -2)}, True, "the partner's certificate has expired"),
        ({"days": (2, 9)}, True, "the partner's certificate is not valid yet"),
        ({"name": "other.example"}, True, "the partner's certificate is for another name"),
    ],
)
def test_a_bad_certificate_is_refused_and_its_fault_named(
    tmp_path: Path, options: dict[str, Any], trusted: bool, words: str
) -> None:
    outcome = sent_over_tls(a_certificate(tmp_path, **options), trusted=trusted)
    assert (outcome.kind, outcome.reached) == ("tls", False)
    assert outcome.words.startswith(words)


def test_a_partner_that_is_silent_in_the_handshake_is_reported_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outcome = sent(f"https://127.0.0.1:{silent.getsockname()[1]}/")
    assert outcome.words == "did not finish the TLS handshake within 0.5 s (connected)"


def test_a_partner_that_speaks_no_tls_where_it_should_is_reported_as_such() -> None:
    def answer_at_once(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=answer_at_once, args=(listener,))
        thread.start()
        outcome = sent(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        thread.join()
    assert (outcome.kind, outcome.reached) == ("tls", False)
    assert outcome.words.startswith("no secure connection could be agreed on")


def test_a_partner_that_accepts_no_connection_is_reported_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # they fill the listener's queue; further ones get no answer from the kernel
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        outcome = sent(f"http://127.0.0.1:{full.getsockname()[1]}/")
        for each in waiting:
            each.close()
    assert (outcome.kind, outcome.words) == ("timeout", "did not accept a connection within 0.5 s")
    assert not outcome.reached


def test_no_socket_stays_open_behind_a_closed_sender() -> None:
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("counts open files through /proc")
    before = len(list(fds.iterdir()))
    for _ in range(20):
        sent("http://10.0.0.1/")
        sent("http://127.0.0.1:1/")
        sent("http://localhost:65531/")
    assert len(list(fds.iterdir())) <= before
