"""A worker is taken for dead when its heartbeat stands still, not when a clock jumps or the judge stood still."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from service.store.deliveries.recovery import InFlight
from workers.failure_detector import FailureDetector
from workers.stall_detector import StallDetector

HOUR = 3_600_000_000  # microseconds


def flying(beat: int | None, worker: str = "w1", **changes: Any) -> InFlight:
    return InFlight(**{"id": 1, "attempts": 1, "worker": worker, "beat": beat} | changes)


def looks(detector: FailureDetector, beats: list[int], start: float = 0) -> list[bool]:
    """True for each look, one a second, at which the delivery was lost."""
    return [bool(detector.lost([flying(beat)], start + second)) for second, beat in enumerate(beats)]


def test_a_worker_silent_for_more_than_four_seconds_is_dead() -> None:
    assert looks(FailureDetector(), [7] * 6) == [False, False, False, False, False, True]


def test_a_worker_that_left_in_good_order_is_gone_at_once() -> None:
    assert FailureDetector().lost([flying(None)], 0) == [flying(None)]


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_a_time_of_day_that_jumps_an_hour_kills_nobody(jump: int) -> None:
    beats = [second * 1_000_000 + (jump if second > 4 else 0) for second in range(12)]
    assert not any(looks(FailureDetector(), beats))


def test_a_worker_whose_clock_is_an_hour_off_is_as_alive_as_any() -> None:
    assert not any(looks(FailureDetector(), [HOUR + second for second in range(12)]))


def test_a_process_that_stood_still_itself_takes_nobody_for_dead_for_it() -> None:
    detector = FailureDetector()
    looks(detector, [7, 8])
    assert looks(detector, [8, 9, 10], start=60) == [False, False, False]
    assert looks(detector, [10] * 5, start=120) == [False] * 5


def test_a_claim_that_a_living_worker_forgot_is_free_after_a_whole_lease() -> None:
    found = looks(FailureDetector(), list(range(43)))
    assert found.index(True) == 41


def test_a_new_claim_of_the_same_delivery_has_a_lease_of_its_own() -> None:
    detector = FailureDetector()
    looks(detector, list(range(40)))
    assert detector.lost([flying(41, attempts=2)], 40.5) == []
    assert detector.lost([flying(42, attempts=2)], 41.5) == []


def test_each_stall_of_the_process_is_counted_however_late_the_detector_is_asked() -> None:
    now = [0.0]
    detector = StallDetector(lambda: now[0])
    now[0] = 0.9
    assert detector.stalls() == 0
    now[0] = 5.0
    assert [detector.stalls(), detector.stalls()] == [1, 1]


def test_a_process_that_was_stopped_knows_it_from_its_first_moment_on() -> None:
    script = (
        "import sys; from workers.stall_detector import StallDetector\n"
        "detector = StallDetector(); detector.start()\n"
        "print(detector.stalls(), flush=True)\n"
        "for line in sys.stdin: print(detector.stalls(), flush=True)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "0\n"
        os.kill(child.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        while time.monotonic() < stopped + 1.5:
            os.waitpid(child.pid, os.WNOHANG)
            time.sleep(0.05)
        child.stdin.write("\n")
        child.stdin.flush()
        os.kill(child.pid, signal.SIGCONT)
        assert child.stdout.readline() == "1\n"
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()
