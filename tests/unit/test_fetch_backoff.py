"""A content system that fails is left alone for a while, and a hook is tried for days, by plain rules."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.intake.adapters.adapter import ApiAnswer
from tests.builders import NOW
from workers.fetch import backoff
from workers.fetch.comparison import clock_behind


def seconds_left_alone(failures: int, retry_after: str = "") -> float:
    answer = ApiAnswer(503, {"retry-after": retry_after}, b"")
    return (backoff.not_before(failures, answer, NOW) - NOW).total_seconds()


def test_a_system_is_left_alone_for_longer_with_each_failure_up_to_a_quarter_of_an_hour() -> None:
    waits = [seconds_left_alone(failures) for failures in range(12)]
    assert waits[0] == 5
    assert waits == sorted(waits)
    assert waits[-1] == 900


@pytest.mark.parametrize(
    ("asked", "seconds"), [("120", 120), ("999999", 3600), ("soon", 5), ("-5", 5), ("²", 5)]
)
def test_a_system_that_asks_to_wait_is_heeded_for_an_hour_at_the_most(asked: str, seconds: float) -> None:
    assert seconds_left_alone(0, asked) == seconds


def test_a_hook_is_tried_for_three_days_and_then_held() -> None:
    assert backoff.next_try(1, NOW, NOW) == NOW + timedelta(seconds=5)
    assert backoff.next_try(50, NOW, NOW) == NOW + timedelta(hours=1)
    assert backoff.next_try(50, NOW, NOW + timedelta(days=3, seconds=1)) is None


@pytest.mark.parametrize(
    ("status", "whole"), [(401, True), (429, True), (500, True), (200, False), (404, False)]
)
def test_some_answers_say_nothing_of_the_story(status: int, whole: bool) -> None:
    assert backoff.is_the_systems(ApiAnswer(status, {}, b"")) is whole


@pytest.mark.parametrize(
    ("date", "behind"),
    [
        ("Tue, 24 Nov 2026 07:40:00 GMT", timedelta(minutes=20)),
        ("Tue, 24 Nov 2026 09:00:00 GMT", timedelta(0)),
        ("", timedelta(0)),
        ("yesterday", timedelta(0)),
    ],
)
def test_a_system_whose_clock_is_behind_is_asked_by_its_own_clock(date: str, behind: timedelta) -> None:
    assert clock_behind(ApiAnswer(200, {"date": date}, b""), NOW) == behind
