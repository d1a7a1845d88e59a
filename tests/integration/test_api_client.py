"""The client of content systems' APIs against servers that compress, redirect, drip, lie, or are not who they say."""

from __future__ import annotations

import gzip
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.intake.adapters.adapter import ApiAnswer, ApiRequest
from tests.integration.test_transport import a_certificate, a_server
from tests.worker import LOOPBACK
from workers.net import api_client
from workers.net.api_client import ApiClient, ApiUnreachable

_TOKEN = "api-made-up-token"
Behaviour = Callable[[Any, bytes], bool | None]


def answering_with(head: str, body: bytes = b"") -> Behaviour:
    raw = f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def answer(connection: Any, _request: bytes) -> None:
        connection.sendall(raw)

    return answer


def asked_for(url: str, base_url: str = "", token: str = _TOKEN, seconds: float = 2.0) -> ApiAnswer:
    request = ApiRequest(url, headers={"Authorization": "Bearer {token}"})
    client = ApiClient(LOOPBACK, user_agent="Dateline/test", seconds=seconds)
    try:
        return client.ask(request, base_url or url, token)
    finally:
        client.close()


def test_an_answer_that_is_compressed_is_read() -> None:
    packed = answering_with("200 OK\r\nContent-Encoding: gzip", gzip.compress('{"标题": "中国"}'.encode()))
    with a_server(packed) as server:
        assert asked_for(server.url).body.decode() == '{"标题": "中国"}'


@pytest.mark.parametrize("is_compressed", [True, False])
def test_an_answer_without_end_is_cut_off_at_eight_mebibytes(is_compressed: bool) -> None:
    much = b" " * (api_client.API_BYTES_MOST + 1)
    coding = "\r\nContent-Encoding: gzip" if is_compressed else ""
    with (
        a_server(answering_with(f"200 OK{coding}", gzip.compress(much) if is_compressed else much)) as server,
        pytest.raises(ApiUnreachable, match="more than 8,388,608 bytes"),
    ):
        asked_for(server.url, seconds=20)


def test_a_redirect_is_the_answer_and_the_token_goes_nowhere_else() -> None:
    with a_server(answering_with("200 OK")) as other:
        moved = answering_with(f"302 Found\r\nLocation: {other.url}")
        with a_server(moved) as server:
            answer = asked_for(server.url)
        assert (answer.status, answer.headers["location"]) == (302, other.url)
        assert other.connections == 0


def test_a_request_to_another_host_than_the_sources_is_not_sent() -> None:
    with a_server(answering_with("200 OK")) as other:
        for base_url in ("https://cms.example", other.url.replace("http://", "https://"), "", "nonsense"):
            with pytest.raises(ApiUnreachable, match="not the source's own address"):
                asked_for(other.url, base_url or "x")
        assert other.connections == 0


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    def drip(connection: Any, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.05)

    began = time.monotonic()
    with a_server(drip) as server, pytest.raises(ApiUnreachable, match="did not answer"):
        asked_for(server.url, seconds=0.5)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "raw", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
)
def test_an_answer_that_is_none_or_half_of_one_is_no_answer(raw: bytes) -> None:
    def answer(connection: Any, _request: bytes) -> None:
        connection.sendall(raw)

    with a_server(answer) as server, pytest.raises(ApiUnreachable, match="did not answer"):
        asked_for(server.url)


def test_a_token_that_was_pasted_with_its_line_end_works_and_one_with_a_line_inside_is_not_sent() -> None:
    with a_server(answering_with("200 OK")) as server:
        asked_for(server.url, token=f" {_TOKEN}\r\n")
        assert f"Authorization: Bearer {_TOKEN}\r\n".encode() in server.requests[0]
        with pytest.raises(ApiUnreachable, match="--api-token") as told:
            asked_for(server.url, token=f"{_TOKEN}\r\nX-Other: 1")
        assert _TOKEN not in str(told.value)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("options", "is_trusted", "words"),
    [
        ({}, True, None),
        ({}, False, "certificate"),
        ({"days": (-9, -2)}, True, "expired"),
        ({"name": "other.example"}, True, "(?i)name|address"),
    ],
)
def test_a_site_whose_certificate_is_not_its_own_gets_no_token(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    is_trusted: bool,
    words: str | None,
) -> None:
    certificate = a_certificate(tmp_path, **options)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with a_server(answering_with("200 OK"), context) as server:
        if words is None:
            assert asked_for(server.url).status == 200
        else:
            with pytest.raises(ApiUnreachable, match=words):
                asked_for(server.url)
            assert server.requests == []
