"""The outcome of a push, classed and in words."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.deliveries.attempts import OUTCOMES
from workers.net.exchange import Exchange
from workers.net.outcome import _cached, classify, parse_retry_after, unsent

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)

OK = Exchange(
    code=0, error="", status=200, header_lines=[b"HTTP/1.1 200 OK\r\n", b"Server: x\r\n", b"\r\n"], body=b"ok",
    cut=False, blocked=None, verify=0, request_bytes=300, new_connections=1, address="192.0.2.1", https=True,
    lookup=1000, connected=3000, secured=7000, sent=7100, first_byte=9100, total=9500,
)  # fmt: skip
NOTHING = OK._replace(status=0, header_lines=[], body=b"", request_bytes=0, new_connections=0, address="",
    lookup=0, connected=0, secured=0, sent=0, first_byte=0, total=5_000_000,
)  # fmt: skip


def an_answer(status: int, *headers: bytes, **facts: object) -> Exchange:
    lines = [b"HTTP/1.1 %d X\r\n" % status, *[header + b"\r\n" for header in headers], b"\r\n"]
    return OK._replace(status=status, header_lines=lines, **facts)  # type: ignore[arg-type]


def test_2xx_is_delivered_with_its_facts() -> None:
    outcome = classify(OK, NOW)
    assert (outcome.kind, outcome.status, outcome.words) == ("delivered", 200, "answered 200 OK")
    assert outcome.delivered
    assert outcome.reached
    assert outcome.response_headers == (("Server", "x"),)
    assert (outcome.body, outcome.address) == (b"ok", "192.0.2.1")
    timings = outcome.timings
    assert (timings.lookup, timings.connect, timings.tls) == (1.0, 2.0, 4.0)
    assert (timings.first_byte, timings.total) == (2.0, 9.5)


def test_a_connection_used_again_has_no_times_of_its_own_making() -> None:
    timings = classify(OK._replace(new_connections=0), NOW).timings
    assert (timings.lookup, timings.connect, timings.tls) == (None, None, None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "delivered"), (204, "delivered"), (299, "delivered"), (301, "redirect"), (304, "redirect"),
     (400, "refused"), (404, "refused"), (408, "refused"), (410, "gone"), (429, "throttled"),
     (500, "server_error"), (503, "throttled"), (504, "server_error"), (599, "server_error"), (799, "server_error")],
)  # fmt: skip
def test_a_status_decides_the_kind(status: int, kind: str) -> None:
    assert classify(an_answer(status), NOW).kind == kind
    assert kind in OUTCOMES


def test_an_answer_that_asks_to_wait_says_so() -> None:
    outcome = classify(an_answer(503, b"retry-after: 120"), NOW)
    assert outcome.retry_after == 120
    assert outcome.words == "answered 503 Service Unavailable and asked to wait 120 s"


def test_a_redirect_says_where_to_and_what_to_do() -> None:
    words = classify(an_answer(302, b"Location: http://169.254.169.254/"), NOW).words
    assert words.startswith(
        "answered 302 Found, a redirect to http://169.254.169.254/: redirects are never followed"
    )


def test_a_redirect_to_an_endless_address_says_its_first_200_characters() -> None:
    target = "https://outlet.example/" + "x" * 5000
    words = classify(an_answer(307, b"LOCATION: " + target.encode()), NOW).words
    assert words.startswith(f"answered 307 Temporary Redirect, a redirect to {target[:200]}: redirects are")


def test_a_redirect_that_names_no_address_is_called_one_all_the_same() -> None:
    words = classify(an_answer(308), NOW).words
    assert words == (
        "answered 308 Permanent Redirect, a redirect: redirects are never followed;"
        " change the endpoint to its final address"
    )


def test_only_the_first_location_of_a_redirect_is_shown() -> None:
    words = classify(an_answer(302, b"Location: /one", b"Location: /two"), NOW).words
    assert "/one" in words
    assert "/two" not in words


def test_a_redirect_to_an_address_that_moves_the_cursor_is_told_in_plain_text() -> None:
    words = classify(an_answer(302, b"Location: https://x/\x1b[2J\x9b1m"), NOW).words
    mark = "\N{REPLACEMENT CHARACTER}"
    assert f"a redirect to https://x/{mark}[2J{mark}1m: redirects" in words


def test_gone_says_that_no_more_is_wanted() -> None:
    assert classify(an_answer(410), NOW).words == "answered 410 Gone: it wants no more pushes"


@pytest.mark.parametrize("count", [63, 64, 65, 1000])
def test_no_more_than_64_headers_of_an_answer_are_recorded(count: int) -> None:
    sent = [b"X-Number: %d" % number for number in range(count)]
    headers = classify(an_answer(200, *sent), NOW).response_headers
    assert headers == tuple(("X-Number", str(number)) for number in range(min(count, 64)))


def test_headers_of_informational_answers_do_not_use_up_the_64() -> None:
    hints = [b"HTTP/1.1 103 Early Hints\r\n", *[b"Link: %d\r\n" % n for n in range(100)], b"\r\n"]
    final = [b"HTTP/1.1 200 OK\r\n", *[b"X-Number: %d\r\n" % n for n in range(64)], b"\r\n"]
    headers = classify(OK._replace(header_lines=hints + final), NOW).response_headers
    assert headers == tuple(("X-Number", str(number)) for number in range(64))


@pytest.mark.parametrize(("size", "cached"), [(2048, 1), (2049, 0)])
def test_headers_are_cached_up_to_2048_bytes(size: int, cached: int) -> None:
    _cached.cache_clear()
    lines = [b"HTTP/1.1 200 OK\r\n", b"X: \r\n", b"\r\n"]
    lines[1] = b"X: " + b"x" * (size - sum(map(len, lines))) + b"\r\n"
    assert sum(map(len, lines)) == size
    assert len(classify(OK._replace(header_lines=lines), NOW).response_headers[0][1]) == size - 24
    assert _cached.cache_info().currsize == cached


def test_a_header_line_without_a_colon_is_left_out() -> None:
    assert classify(an_answer(200, b"nonsense", b"A:b:c"), NOW).response_headers == (("A", "b:c"),)


@pytest.mark.parametrize("length", [199, 200, 201])
def test_a_long_error_of_the_library_is_cut_at_200_characters(length: int) -> None:
    outcome = classify(NOTHING._replace(code=pycurl.E_URL_MALFORMAT, error="x" * length), NOW)
    assert outcome.words == f"could not be called: {'x' * min(length, 200)}"


@pytest.mark.parametrize(("text", "seconds"), [("9" * 10, 9_999_999_999.0), ("9" * 11, None)])
def test_retry_after_in_seconds_has_up_to_ten_digits(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


def test_the_first_of_several_retry_afters_counts() -> None:
    assert classify(an_answer(503, b"Retry-After: 5", b"retry-after: 9"), NOW).retry_after == 5


def test_retry_after_on_a_success_is_no_wish_to_wait() -> None:
    assert classify(an_answer(200, b"Retry-After: 120"), NOW).retry_after is None


def test_2xx_whose_body_is_too_long_or_never_ends_is_still_delivered() -> None:
    outcome = classify(OK._replace(code=pycurl.E_WRITE_ERROR, cut=True), NOW)
    assert outcome.kind == "delivered"
    assert outcome.words == "answered 200 OK (its body is over 64 KiB; the rest was not read)"
    outcome = classify(OK._replace(code=pycurl.E_OPERATION_TIMEDOUT, total=15_000_000), NOW)
    assert outcome.kind == "delivered"
    assert (
        outcome.words
        == "answered 200 OK (its body did not come whole: did not finish its answer within 15 s (it had begun))"
    )


def test_an_answer_cut_off_among_its_headers_is_no_answer() -> None:
    outcome = classify(OK._replace(code=pycurl.E_RECV_ERROR, header_lines=[b"HTTP/1.1 200 OK\r\n"]), NOW)
    assert (outcome.kind, outcome.status) == ("closed", None)
    assert outcome.words == "closed the connection in the middle of its answer"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "the partner's name was not found within 5 s (no answer from DNS)"),
        ({"lookup": 1}, "did not accept a connection within 5 s"),
        ({"lookup": 1, "connected": 2}, "did not finish the TLS handshake within 5 s (connected)"),
        ({"request_bytes": 9}, "did not answer within 5 s (connected, no first byte)"),
        ({"header_lines": [b"HTTP/1.1 200 OK"]}, "did not finish its answer within 5 s (it had begun)"),
    ],
)
def test_a_timeout_says_at_which_stage(facts: dict[str, object], words: str) -> None:
    outcome = classify(NOTHING._replace(code=pycurl.E_OPERATION_TIMEDOUT, **facts), NOW)  # type: ignore[arg-type]
    assert (outcome.kind, outcome.words) == ("timeout", words)


@pytest.mark.parametrize("verify", [7, 9, 10, 18, 19, 20, 21, 23, 24, 26, 62, 64, 66, 68])
def test_a_certificates_fault_is_named_and_is_the_partners(verify: int) -> None:
    exchange = NOTHING._replace(
        code=pycurl.E_PEER_FAILED_VERIFICATION, verify=verify, error="SSL certificate problem"
    )
    outcome = classify(exchange, NOW)
    assert outcome.kind == "tls"
    assert outcome.words.startswith("the partner's certificate ")
    assert "SSL certificate problem" not in outcome.words


@pytest.mark.parametrize(
    ("code", "facts", "kind", "words"),
    [
        (pycurl.E_COULDNT_RESOLVE_HOST, {}, "dns", "no server with that name (DNS)"),
        (pycurl.E_COULDNT_CONNECT, {"error": "refused."}, "connect", "nobody answers at that address (refused)"),
        (pycurl.E_COULDNT_CONNECT, {"errno": errno.ECONNREFUSED}, "connect",
         "refused the connection: nothing listens at that port"),
        (pycurl.E_COULDNT_CONNECT, {"errno": errno.ENETUNREACH}, "connect",
         "no network leads to that address from here"),
        (pycurl.E_COULDNT_CONNECT, {"blocked": "10.0.0.1 is private"}, "blocked",
         "was not called: 10.0.0.1 is private"),
        (pycurl.E_PEER_FAILED_VERIFICATION, {"verify": 10}, "tls", "the partner's certificate has expired"),
        (pycurl.E_PEER_FAILED_VERIFICATION, {"error": "no alternative certificate subject name matches"}, "tls",
         "the partner's certificate is for another name"),
        (pycurl.E_SSL_CONNECT_ERROR, {}, "tls", "no secure connection could be agreed on (no reason was given)"),
        (pycurl.E_GOT_NOTHING, {"request_bytes": 9}, "closed", "closed the connection without an answer"),
        (pycurl.E_SEND_ERROR, {}, "closed", "closed the connection before the push was sent"),
        (pycurl.E_UNSUPPORTED_PROTOCOL, {"request_bytes": 9, "error": "HTTP/0.9"}, "garbled",
         "sent an answer that cannot be read: HTTP/0.9"),
        (pycurl.E_URL_MALFORMAT, {"error": "bad"}, "unsent", "could not be called: bad"),
    ],
)  # fmt: skip
def test_a_failure_is_classed_and_said_in_words(
    code: int, facts: dict[str, object], kind: str, words: str
) -> None:
    outcome = classify(NOTHING._replace(code=code, **facts), NOW)  # type: ignore[arg-type]
    assert (outcome.kind, outcome.words) == (kind, words)
    assert outcome.reached == bool(facts.get("request_bytes"))


def test_only_the_first_4_kib_of_the_body_are_kept() -> None:
    assert len(classify(OK._replace(body=b"x" * 9000), NOW).body) == 4096


def test_the_headers_are_those_of_the_final_answer() -> None:
    lines = [b"HTTP/1.1 103 Early Hints\r\n", b"Link: a\r\n", b"\r\n", *OK.header_lines]
    assert classify(OK._replace(header_lines=lines), NOW).response_headers == (("Server", "x"),)


def test_retry_after_may_be_seconds_or_a_date() -> None:
    assert parse_retry_after(" 120 ", NOW) == 120
    assert parse_retry_after(format_datetime(NOW + timedelta(minutes=2), usegmt=True), NOW) == 120
    assert parse_retry_after("Sun, 03 May 2026 12:02:00 -0000", NOW) == 120
    assert parse_retry_after(format_datetime(NOW - timedelta(days=1), usegmt=True), NOW) == 0


@pytest.mark.parametrize(
    "value", ["", "-5", "1.5", "soon", "١٢", "9" * 5000, "Mon, 99 Xyz 2026 99:99:99 GMT"]
)
def test_a_retry_after_that_is_neither_is_none(value: str) -> None:
    assert parse_retry_after(value, NOW) is None


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{8} [-+0-9A-Z]+"))
def test_no_retry_after_raises_or_asks_to_travel_back(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0


@given(
    code=st.integers(0, 100), status=st.integers(0, 999), lines=st.lists(st.binary()),
    blocked=st.none() | st.just("no"), verify=st.integers(0, 90),
    sent=st.integers(0, 9), error=st.text(), cut=st.booleans(),
)  # fmt: skip
def test_every_exchange_has_a_kind_and_words(
    code: int,
    status: int,
    lines: list[bytes],
    blocked: str | None,
    verify: int,
    sent: int,
    error: str,
    cut: bool,
) -> None:
    exchange = NOTHING._replace(code=code, status=status, header_lines=lines, blocked=blocked, verify=verify, sent=sent,
        error=error, cut=cut,
    )  # fmt: skip
    outcome = classify(exchange, NOW)
    assert outcome.kind in OUTCOMES
    assert outcome.words


def test_a_push_that_could_not_be_tried_reached_nobody() -> None:
    outcome = unsent("could not be called")
    assert (outcome.kind, outcome.reached, outcome.delivered) == ("unsent", False, False)


def test_headers_of_hundreds_of_kilobytes_are_not_cached() -> None:
    before = _cached.cache_info().currsize
    lines = [b"HTTP/1.1 200 OK\r\n", b"X: " + b"\xe9" * 100_000 + b"\r\n", b"\r\n"]
    found = classify(OK._replace(header_lines=lines), NOW)
    assert found.response_headers == (("X", "\xe9" * 100_000),)
    assert _cached.cache_info().currsize == before
