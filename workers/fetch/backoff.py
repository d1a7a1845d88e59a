"""How long a content system is left alone after it failed, and how long a hook is tried. Pure."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from service import times
from service.intake.adapters.adapter import ApiAnswer

_HOOK_WAITS = (5, 15, 60, 180, 600, 1_800)  # seconds before the second try, the third …; then an hour
_SYSTEM_WAITS = (5, 15, 30, 60, 120, 300, 600)  # after so many failures in a row; then 15 minutes
HOOK_TRIED_FOR = timedelta(days=3)
LONGEST_ASKED = 3_600.0  # seconds of a Retry-After that are heeded
LONGEST_WAITED = 60.0  # seconds that a comparison waits for, and keeps its thread
_DATE_LENGTH = 40  # no date is longer
UNSAID_WAIT = 10.0  # seconds after a 429 that does not say how long


def next_try(attempts: int, received_at: datetime, now: datetime) -> datetime | None:
    """When a hook is tried again after so many attempts; None to hold it for the operator."""
    if now - received_at > HOOK_TRIED_FOR:
        return None
    return now + timedelta(seconds=_nth(_HOOK_WAITS, attempts, 3_600))


def not_before(failures: int, answer: ApiAnswer | None, now: datetime) -> datetime:
    """Until when a system is left alone after the failure before which there were so many in a row."""
    asked = seconds_asked(answer, now) or 0.0
    wait = min(asked, LONGEST_ASKED)
    return now + timedelta(seconds=max(wait, _nth(_SYSTEM_WAITS, failures + 1, 900)))


def seconds_asked(answer: ApiAnswer | None, now: datetime) -> float | None:
    """How long a system asks to wait by its Retry-After, in seconds or as a date by its own clock."""
    asked = (answer.headers.get("retry-after", "") if answer else "").strip()
    if asked.isascii() and asked.isdigit() and len(asked) < 10:
        return float(asked)
    until = times.from_http(asked[:_DATE_LENGTH])
    if answer is None or until is None:
        return None
    its_now = date_of(answer) or now
    return max(0.0, (until - its_now).total_seconds())


def seconds_to_wait(answer: ApiAnswer | None, now: datetime) -> float | None:
    """How long to wait before a request that was one too many is made again; None if that is too long, or not said."""
    if answer is None or answer.status not in (429, 503):
        return None
    asked = seconds_asked(answer, now)
    if asked is None:
        return UNSAID_WAIT if answer.status == 429 else None
    return max(1.0, math.ceil(asked)) if asked <= LONGEST_WAITED else None


def date_of(answer: ApiAnswer) -> datetime | None:
    """The time of an answer by its system's clock; None if it does not say."""
    return times.from_http(answer.headers.get("date", "")[:_DATE_LENGTH])


def is_the_systems(answer: ApiAnswer) -> bool:
    """Whether an answer says nothing of one story, but that the system cannot or may not be asked at all."""
    return answer.status in (401, 403, 407, 408, 429) or answer.status >= 500


def may_be_of_one_story(answer: ApiAnswer | None) -> bool:
    """Whether a failure may concern the one story that was asked for: one that breaks its page, or is too large."""
    return answer is None or answer.status not in (401, 407, 408, 429, 503)


def _nth(waits: tuple[int, ...], number: int, after: int) -> float:
    return float(
        waits[number - 1] if 1 <= number <= len(waits) else after if number > len(waits) else waits[0]
    )
