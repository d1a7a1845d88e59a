"""A process that routes hints those that deliver, soon enough and not too often."""

from __future__ import annotations

from collections.abc import Callable

from service.runtime.celery_app import DELIVER, ROUTE
from service.store.database.record import Record
from tests.builders import a_desk, an_article, an_endpoint, later, post
from tests.feed_desk import URL
from workers.deliver.loop import Courier
from workers.net.transport import Sender
from workers.publish.builder import Press
from workers.runner import SPREAD_PACE, Hands


def hints(record: Record, batches: int, steady: Callable[[], float]) -> list[float]:
    """The times of the hints to deliver, of a worker that only routes, while it routed so many batches and a bit."""
    source = a_desk(record)
    for _ in range(20):
        an_endpoint(record)
    hinted: list[float] = []

    def hint(task: str, _after: float) -> None:
        if task == DELIVER:
            hinted.append(steady())

    sender = Sender([], user_agent="test")
    courier = Courier(record, sender, "routes", lambda: later(1), lambda: 0.5)
    press = Press(record, URL, lambda: later(1))
    for number in range(50 * batches + 1):
        post(record, source, an_article(external_id=str(number)))
    hands = Hands(record, press, courier, "routes", lambda: later(1), hint, (ROUTE,), steady=steady)
    hands.do(ROUTE)
    hands.close()
    return hinted


def test_the_last_of_a_backlog_is_hinted_at_however_lately_others_were(record: Record) -> None:
    assert hints(record, 3, lambda: 7.0) == [7.0, 7.0]


def test_a_long_backlog_is_hinted_at_now_and_then(record: Record) -> None:
    moments = iter(range(1000))
    hinted = hints(record, 6, lambda: next(moments) * SPREAD_PACE / 2)
    assert 3 <= len(hinted) <= 7
