"""The state of partners' own feeds in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from service.console import words_desk
from service.store.views.feeds import FeedNow, TokenNow
from service.store.views.partners import PartnerNow
from service.store.views.pipeline import PipelineNow, WorkerNow
from tests.builders import NOW, later

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def a_feed(**changes: Any) -> FeedNow:
    values: dict[str, Any] = {
        "id": 1, "partner_id": 1, "partner": "herald", "title": "World", "sections": None, "tokens": (),
        "created_at": NOW - 9 * DAY, "revoked_at": None, "fetched_at": NOW - timedelta(minutes=5), "fetches": 3,
    }  # fmt: skip
    return FeedNow(**{**values, **changes})


def a_token(**changes: Any) -> TokenNow:
    values: dict[str, Any] = {
        "number": 1, "created_at": NOW - 9 * DAY, "until": None, "fetched_at": NOW - HOUR, "fetches": 3,
        "refused_at": None,
    }  # fmt: skip
    return TokenNow(**{**values, **changes})


def a_partner(*feeds: FeedNow) -> PartnerNow:
    return PartnerNow("herald", "Harbour Herald", (), feeds)


@pytest.mark.parametrize(
    ("changes", "level", "told"),
    [
        ({}, "good", "Fetches: last 5 min ago"),
        ({"fetched_at": NOW - DAY}, "good", "Fetches: last 1 day ago"),
        (
            {"fetched_at": NOW - DAY - HOUR},
            "warn",
            "Has stopped fetching: has not fetched since 23 Nov, 07:00",
        ),
        ({"fetched_at": None, "created_at": NOW - HOUR}, "quiet", "Never fetched: its feed was made 1 h ago"),
        ({"fetched_at": None}, "warn", "Never fetched: its feed was made 9 days ago"),
        ({"fetched_at": None, "revoked_at": NOW - HOUR}, "quiet", "Revoked: on 07:00"),
    ],
)
def test_a_feed_tells_whether_it_is_fetched(changes: dict[str, Any], level: str, told: str) -> None:
    word = words_desk.feed_state(a_feed(**changes), NOW)
    assert (word.level, f"{word.word}: {word.detail}") == (level, told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "used 1 h ago"),
        ({"fetched_at": None}, "not used yet"),
        ({"until": NOW + DAY}, "replaced, works until 25 Nov, 08:00; still used 1 h ago"),
        (
            {"until": NOW + DAY, "fetched_at": NOW - 3 * DAY},
            "replaced, works until 25 Nov, 08:00; last used 3 days ago",
        ),
        ({"until": NOW + DAY, "fetched_at": None}, "replaced, works until 25 Nov, 08:00; never used"),
        ({"until": NOW - HOUR}, "replaced, ended 07:00"),
        (
            {"until": NOW - HOUR, "refused_at": NOW - timedelta(minutes=2)},
            "replaced, ended 07:00; still tried 2 min ago",
        ),
        ({"refused_at": NOW - timedelta(minutes=2)}, "used 1 h ago; tried 2 min ago after it was revoked"),
    ],
)
def test_a_token_tells_until_when_it_works_and_whether_it_is_used(changes: dict[str, Any], told: str) -> None:
    assert words_desk.token_words(a_token(**changes), NOW) == told


def at_work(now: datetime) -> PipelineNow:
    return PipelineNow((WorkerNow("w", now, now, "up"),), 0, None, 1, {}, now, None)


def test_a_partner_that_has_not_fetched_for_a_day_is_told_at_the_top() -> None:
    silent = a_partner(a_feed(fetched_at=NOW - 2 * DAY))
    summary = words_desk.summary([silent, a_partner(a_feed())], at_work(NOW), NOW)
    assert (summary.level, summary.sentence) == (
        "warn",
        "Harbour Herald has not fetched its feed for more than a day",
    )
    assert words_desk.partner_state(silent, NOW).word == "Has stopped fetching"
    assert not silent.is_behind(NOW)


def test_a_revoked_feed_worries_nobody() -> None:
    partner = a_partner(a_feed(revoked_at=later(-9), fetched_at=NOW - 2 * DAY))
    assert words_desk.summary([partner], at_work(NOW), NOW).level == "good"
    assert words_desk.partner_state(partner, NOW).word == "No endpoint"
