"""The edges of a push's outcome: the limits of statuses, headers, Location, bodies, words and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pycurl
import pytest

from service.store.deliveries.attempts import OUTCOMES
from workers.net.exchange import Exchange
from workers.net.outcome import Outcome, Timings, _cached, classify, lost, parse_retry_after, unsent

NOW = datetime(2026, 5, 3, 12, 0, tzinfo=UTC)
OK = Exchange(
    code=0, error="", status=200, header_lines=[b"HTTP/1.1 200 OK\r\n", b"Server: x\r\n", b"\r\n"], body=b"ok",
    cut=False, blocked=None, verify=0, request_bytes=300, new_connections=1, address="192.0.2.1", https=True,
    lookup=1000, connected=3000, secured=7000, sent=7100, first_byte=9100, total=9500,
)  # fmt: skip
NOTHING = OK._replace(status=0, header_lines=[], body=b"", request_bytes=0, new_connections=0, address="",
    lookup=0, connected=0, secured=0, sent=0, first_byte=0, total=5_000_000,
)  # fmt: skip
LATER = format_datetime(NOW + timedelta(minutes=2))


def answered(status: int, *headers: bytes, **facts: object) -> Outcome:
    return classify(an_answer(status, *headers, **facts), NOW)


def an_answer(status: int, *headers: bytes, **facts: object) -> Exchange:
    lines = [b"HTTP/1.1 %d X\r\n" % status, *[header + b"\r\n" for header in headers], b"\r\n"]
    return OK._replace(status=status, header_lines=lines, **facts)  # type: ignore[arg-type]


def failed(code: int, **facts: object) -> Outcome:
    return classify(NOTHING._replace(code=code, **facts), NOW)  # type: ignore[arg-type]


# Statuses.


@pytest.mark.parametrize(
    ("status", "kind"),
    [(200, "delivered"), (299, "delivered"), (300, "redirect"), (399, "redirect"), (400, "refused"),
     (409, "refused"), (410, "gone"), (411, "refused"), (428, "refused"), (429, "throttled"), (430, "refused"),
     (499, "refused"), (500, "server_error"), (502, "server_error"), (503, "throttled"), (504, "server_error")],
)  # fmt: skip
def test_kind_changes_exactly_at_its_status(status: int, kind: str) -> None:
    assert answered(status).kind == kind


def test_status_below_200_is_no_answer() -> None:
    assert answered(199).kind == "closed"
    assert answered(200).kind == "delivered"
    assert answered(199, b"Retry-After: 9").retry_after is None


@pytest.mark.parametrize(("status", "seconds"), [(200, None), (299, None), (300, 9), (301, 9), (500, 9)])
def test_wish_to_wait_counts_with_every_answer_but_a_success(status: int, seconds: float | None) -> None:
    assert answered(status, b"Retry-After: 9").retry_after == seconds


def test_status_of_an_answer_that_is_none_is_not_noted() -> None:
    assert answered(0).status is None
    assert classify(OK._replace(header_lines=[]), NOW).status is None
    assert answered(404).status == 404
    assert answered(1).status == 1


def test_address_that_is_refused_is_blocked_whatever_else_came() -> None:
    outcome = answered(200, b"Retry-After: 9", blocked="10.0.0.1 is private")
    assert (outcome.kind, outcome.retry_after) == ("blocked", None)


def test_unknown_status_stands_for_itself() -> None:
    assert answered(299).words == "answered 299"
    assert answered(599).words == "answered 599"


def test_410_says_that_no_more_is_wanted_and_others_do_not() -> None:
    assert answered(410).words == "answered 410 Gone: it wants no more pushes"
    for status in (409, 411):
        assert "no more pushes" not in answered(status).words


def test_seconds_to_wait_are_said_whole() -> None:
    assert answered(429, b"Retry-After: 0").words == "answered 429 Too Many Requests and asked to wait 0 s"


@pytest.mark.parametrize("kind", OUTCOMES)
def test_only_one_kind_of_outcome_means_that_the_partner_has_it(kind: str) -> None:
    assert unsent("why")._replace(kind=kind).delivered is (kind == "delivered")


# Redirects.


@pytest.mark.parametrize(("status", "says"), [(299, False), (300, True), (399, True), (400, False)])
def test_only_3xx_is_told_as_a_redirect(status: int, says: bool) -> None:
    assert ("a redirect to /there: " in answered(status, b"location: /there").words) is says


def test_only_the_first_200_characters_of_a_location_are_told() -> None:
    words = answered(302, b"Location: " + b"a" * 200 + b"bc").words
    assert f" to {'a' * 200}: redirects are never followed" in words


def test_redirect_to_nowhere_names_no_place() -> None:
    expected = "answered 302 Found, a redirect: redirects are never followed; change the endpoint to its final address"
    assert answered(302, b"Server: x").words == expected


# Headers.


def test_64_headers_are_kept_and_no_more() -> None:
    found = answered(200, *[b"X-%d: y" % number for number in range(70)]).response_headers
    assert found == tuple((f"X-{number}", "y") for number in range(64))


def test_headers_of_up_to_2_kib_are_remembered_for_the_next_answer_that_says_the_same() -> None:
    def remembered(length: int) -> bool:
        exchange = an_answer(200, b"X: ")
        pad = length - sum(map(len, exchange.header_lines))
        before = _cached.cache_info()
        assert classify(an_answer(200, b"X: " + b"y" * pad), NOW).response_headers == (("X", "y" * pad),)
        after = _cached.cache_info()
        return after.hits + after.misses > before.hits + before.misses

    assert remembered(2047)
    assert remembered(2048)
    assert not remembered(2049)


def test_line_without_a_colon_is_no_header() -> None:
    assert answered(200, b"nonsense", b"A: 1").response_headers == (("A", "1"),)


def test_header_that_begins_like_a_status_line_hides_none_before_it() -> None:
    assert answered(200, b"A: 1", b"HTTP/9: x").response_headers == (("A", "1"), ("HTTP/9", "x"))


def test_headers_of_two_interim_answers_are_left_out() -> None:
    interim = [b"HTTP/1.1 103 Early Hints\r\n", b"Link: a\r\n", b"\r\n"]
    exchange = OK._replace(header_lines=[*interim, *interim, *OK.header_lines])
    assert classify(exchange, NOW).response_headers == (("Server", "x"),)


def test_answer_with_empty_lines_and_no_second_status_line_keeps_its_headers() -> None:
    exchange = OK._replace(header_lines=[b"X: first\r\n", b"A: 1\r\n", b"\r\n", b"\r\n"])
    assert classify(exchange, NOW).response_headers == (("A", "1"),)


def test_other_headers_before_and_after_are_not_taken_for_the_one_that_is_looked_for() -> None:
    around = (b"Age: 1", b"Vary: 2")
    assert answered(503, *around, b"Retry-After: 3", *around).retry_after == 3
    assert " to /there: " in answered(302, *around, b"Location: /there", *around).words


def test_first_of_two_retry_after_headers_counts() -> None:
    assert answered(503, b"RETRY-AFTER: 3", b"Retry-After: 7").retry_after == 3


# Retry-After.


def test_date_of_up_to_40_characters_is_read() -> None:
    assert parse_retry_after(f"{LATER} ({'x' * (37 - len(LATER))})", NOW) == 120
    assert parse_retry_after(f"{LATER} ({'x' * (38 - len(LATER))})", NOW) is None


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=-1), timedelta(days=-400)])
def test_date_that_is_not_in_the_future_asks_for_no_wait(ahead: timedelta) -> None:
    assert parse_retry_after(format_datetime(NOW + ahead), NOW) == 0.0


def test_date_a_second_ahead_asks_for_a_second() -> None:
    assert parse_retry_after(format_datetime(NOW + timedelta(seconds=1)), NOW) == 1.0


# Failures.


@pytest.mark.parametrize("code", [pycurl.E_SSL_CONNECT_ERROR, pycurl.E_SSL_ISSUER_ERROR])
def test_failed_handshake_is_not_called_a_matter_of_the_certificate(code: int) -> None:
    outcome = failed(code, error="no ciphers in common.")
    assert (outcome.kind, outcome.words) == (
        "tls",
        "no secure connection could be agreed on (no ciphers in common)",
    )


def test_certificate_with_an_unknown_fault_is_told_in_the_librarys_words() -> None:
    outcome = failed(pycurl.E_PEER_FAILED_VERIFICATION, error="odd fault", verify=99)
    assert outcome.words == "the partner's certificate cannot be trusted (odd fault)"


@pytest.mark.parametrize(
    "error", ["no alternative certificate subject name found", "name 'x' does not match"]
)
def test_certificate_for_another_name_is_known_by_either_word(error: str) -> None:
    outcome = failed(pycurl.E_SSL_CONNECT_ERROR, error=error)
    assert outcome.words == "the partner's certificate is for another name"


@pytest.mark.parametrize(
    ("total", "said"),
    [(5_000_000, "5 s"), (5_340_000, "5.3 s"), (15_049_999, "15 s"), (15_050_001, "15.1 s"), (1_000, "0 s")],
)
def test_time_that_was_waited_is_told_to_a_tenth_of_a_second(total: int, said: str) -> None:
    words = failed(pycurl.E_OPERATION_TIMEDOUT, lookup=1, total=total).words
    assert words == f"did not accept a connection within {said}"


def test_timeout_of_a_plain_connection_is_not_one_of_a_tls_handshake() -> None:
    words = failed(pycurl.E_OPERATION_TIMEDOUT, lookup=1, connected=2, https=False).words
    assert "TLS" not in words


def test_fault_that_libcurl_words_at_length_is_told_in_200_characters() -> None:
    assert failed(pycurl.E_URL_MALFORMAT, error="a" * 200 + "bc").words == f"could not be called: {'a' * 200}"


def test_failure_of_a_push_that_began_is_the_partners_and_of_one_that_did_not_is_ours() -> None:
    assert failed(pycurl.E_UNSUPPORTED_PROTOCOL, request_bytes=1, error="x").kind == "garbled"
    assert failed(pycurl.E_UNSUPPORTED_PROTOCOL, request_bytes=0, error="x").kind == "unsent"


def test_body_that_broke_off_is_told_after_the_answer() -> None:
    words = answered(200, code=pycurl.E_PARTIAL_FILE).words
    assert words == (
        "answered 200 OK (its body did not come whole: closed the connection in the middle of its answer)"
    )


def test_failure_without_an_error_of_the_system_has_none() -> None:
    assert OK.errno == 0


# Facts.


def test_single_byte_of_the_request_may_have_reached_the_partner() -> None:
    assert failed(pycurl.E_SEND_ERROR, request_bytes=1).reached
    assert not failed(pycurl.E_SEND_ERROR, request_bytes=0).reached


@pytest.mark.parametrize(
    "status",
    [300, 302, 400, 401, 403, 404, 408, 409, 410, 422, 429, 500, 501, 503, 505, 519, 521, 523, 525, 599],
)
def test_partner_that_answers_that_it_did_not_take_the_push_holds_nothing_of_it(status: int) -> None:
    assert not answered(status).reached


@pytest.mark.parametrize("status", [200, 202, 299, 502, 504, 520, 524])
def test_partner_that_took_it_or_stands_behind_a_gateway_that_does_not_know_may_hold_it(status: int) -> None:
    assert answered(status).reached
    assert not answered(status, request_bytes=0).reached


def test_refusal_that_broke_off_among_its_headers_is_no_answer_and_the_push_may_be_held() -> None:
    cut_off = OK._replace(status=401, header_lines=[b"HTTP/1.1 401 No\r\n"], code=pycurl.E_RECV_ERROR)
    assert classify(cut_off, NOW).reached


def test_body_is_kept_to_its_4096th_byte() -> None:
    for length in (4095, 4096):
        assert len(classify(OK._replace(body=b"x" * length), NOW).body) == length
    assert len(classify(OK._replace(body=b"x" * 4097), NOW).body) == 4096


def test_answer_without_an_address_has_none() -> None:
    assert failed(pycurl.E_COULDNT_RESOLVE_HOST).address is None


def test_stages_that_were_not_reached_have_no_times() -> None:
    timings = classify(NOTHING._replace(new_connections=1, lookup=1500), NOW).timings
    assert timings == Timings(1.5, None, None, None, 5000.0)


def test_stage_never_takes_less_than_no_time() -> None:
    """libcurl's clocks of two stages may be some microseconds apart."""
    timings = classify(OK._replace(lookup=3001, connected=3000, sent=9200), NOW).timings
    assert (timings.connect, timings.first_byte) == (0.0, 0.0)


def test_stage_of_a_microsecond_has_its_time() -> None:
    assert classify(OK._replace(lookup=1), NOW).timings.lookup == 0.001


def test_push_that_was_never_tried_has_no_facts_at_all() -> None:
    nothing = Timings(None, None, None, None, 0.0)
    assert unsent("why") == Outcome("unsent", None, "why", None, False, nothing, None, (), b"")
    assert lost("why") == unsent("why")._replace(kind="lost")
