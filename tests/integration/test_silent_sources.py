"""A source that is silent for longer than it uses to be is told: by a notice, on the status page, as a metric."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from service.store import notices
from service.store.articles import refusals, sources
from service.store.articles.source_silence import raise_silent
from service.store.articles.sources import Source
from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.views.pipeline import pipeline_now
from tests.builders import NOW, a_desk, an_article, an_endpoint, post
from tests.web import OPERATOR, a_newsroom, an_app, the_article


def a_newsroom_of_days(record: Record, days: int, *, night: int = 9) -> Source:
    """Two stories a day, `night` hours apart from those of the next day; the last of them at NOW."""
    source = a_desk(record)
    for day in range(days):
        evening = NOW - timedelta(days=days - 1 - day)
        for hours in (24 - night, 0):
            name = f"{day}-{hours}"
            post(
                record,
                source,
                an_article(external_id=name, headline=name),
                now=evening - timedelta(hours=hours),
            )
    return source


def told(record: Record) -> list[str]:
    return [each.words for each in notices.latest(record) if each.kind == "source.silent"]


def hours(number: float) -> datetime:
    return NOW + timedelta(hours=number)


def test_a_silence_beyond_the_usual_one_is_told_once_and_is_over_when_something_comes(record: Record) -> None:
    source = a_newsroom_of_days(record, 12)
    assert raise_silent(record, hours(22)) == 0  # the longest was 15 hours
    assert raise_silent(record, hours(23)) == 1
    [words] = told(record)
    assert words.startswith("nothing has come from Wire for 23 h; within two weeks it was silent for 15 h")
    assert raise_silent(record, hours(40)) == 0
    post(record, source, an_article(external_id="again"), now=hours(41))
    assert raise_silent(record, hours(50)) == 0
    assert raise_silent(record, hours(41 + 24 * 9)) == 1


@pytest.mark.parametrize("days", [1, 5])
def test_a_source_whose_habits_nobody_knows_yet_raises_no_alarm(record: Record, days: int) -> None:
    a_newsroom_of_days(record, days)
    assert raise_silent(record, hours(24 * 10)) == 0


def test_a_repeat_of_a_post_is_a_sign_of_life(record: Record) -> None:
    a_newsroom_of_days(record, 12)
    clock = [hours(1)]
    room = a_newsroom(record, "gazette")
    client = an_app(record, clock=lambda: clock[0]).test_client()

    def posted(source_key: dict[str, str]) -> str:
        answer = client.post("/v1/articles", json=the_article(), headers=source_key)
        assert answer.status_code == 202, answer.text
        return str(answer.json["outcome"])

    assert posted(room.bearer) == "accepted"
    for day in range(12):  # it lives by its own habits: a story each half a day
        for half in range(2):
            clock[0] = hours(2 + 24 * day + 12 * half)
            headers = {**room.bearer}
            story = the_article(id=f"{day}-{half}")
            assert client.post("/v1/articles", json=story, headers=headers).status_code == 202
    last = 2 + 24 * 11 + 12
    for more in range(12, 60, 12):
        clock[0] = hours(last + more)
        assert posted(room.bearer) == "repeat"
        raise_silent(record, clock[0] + timedelta(hours=11))
        assert not any("Gazette" in words for words in told(record))
    [before] = [each.last_post_at for each in pipeline_now(record).sources if each.slug == "gazette"]
    assert before == clock[0]
    assert sources.activity(record, sources.by_slug(record, "gazette").id) == clock[0]
    raise_silent(record, clock[0] + timedelta(hours=19))
    assert any("Gazette" in words for words in told(record))

    def silent() -> bool:
        [found] = [each for each in pipeline_now(record).sources if each.slug == "gazette"]
        return found.silent_since is not None

    clock[0] += timedelta(hours=20)
    assert silent()
    assert posted(room.bearer) == "repeat"
    assert not silent()
    assert "" not in {each.reason for each in refusals.totals(record)}


def test_silence_is_shown_on_the_status_page_and_as_a_metric(record: Record) -> None:
    source = a_newsroom_of_days(record, 12)
    endpoint = an_endpoint(record, "herald")
    assert endpoint.state == "live"

    def asked(now: datetime, path: str) -> str:
        heartbeats.heartbeat(record, "w1", broker="up", now=now)
        client = an_app(record, clock=lambda: now).test_client()
        return str(client.get(path, headers=OPERATOR).get_data(as_text=True))

    assert 'dateline_source_silent{source="wire"} 0.0' in asked(hours(24), "/metrics")
    raise_silent(record, hours(24))
    assert 'dateline_source_silent{source="wire"} 1.0' in asked(hours(24), "/metrics")
    assert '"silent":true' in asked(hours(24), "/status.json").replace(" ", "")
    post(record, source, an_article(external_id="again"), now=hours(25))
    assert 'dateline_source_silent{source="wire"} 0.0' in asked(hours(26), "/metrics")
