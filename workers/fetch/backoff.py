"""How long a content system is left alone after it failed, and how long a hook is tried. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from service.intake.adapters.adapter import ApiAnswer

_HOOK_WAITS = (5, 15, 60, 180, 600, 1_800)  # seconds before the second try, the third …; then an hour
_SYSTEM_WAITS = (5, 15, 30, 60, 120, 300, 600)  # after so many failures in a row; then 15 minutes
HOOK_TRIED_FOR = timedelta(days=3)
LONGEST_ASKED = 3_600.0  # seconds of a Retry-After that are heeded


def next_try(attempts: int, received_at: datetime, now: datetime) -> datetime | None:
    """When a hook is tried again after so many attempts; None to hold it for the operator."""
    if now - received_at > HOOK_TRIED_FOR:
        return None
    return now + timedelta(seconds=_nth(_HOOK_WAITS, attempts, 3_600))


def not_before(failures: int, answer: ApiAnswer | None, now: datetime) -> datetime:
    """Until when a system is left alone after the failure before which there were so many in a row."""
    asked = (answer.headers.get("retry-after", "") if answer else "").strip()
    wait = (
        min(float(asked), LONGEST_ASKED) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0.0
    )
    return now + timedelta(seconds=max(wait, _nth(_SYSTEM_WAITS, failures + 1, 900)))


def is_the_systems(answer: ApiAnswer) -> bool:
    """Whether an answer says nothing of one story, but that the system cannot or may not be asked at all."""
    return answer.status in (401, 403, 407, 408, 429) or answer.status >= 500


def _nth(waits: tuple[int, ...], number: int, after: int) -> float:
    return float(
        waits[number - 1] if 1 <= number <= len(waits) else after if number > len(waits) else waits[0]
    )
