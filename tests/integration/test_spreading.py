"""A process that routes hints those that deliver, soon enough and not too often."""

from __future__ import annotations

from collections.abc import Callable

from service.runtime.celery_app import DELIVER
from service.store.database.record import Record
from tests.builders import a_desk, an_article, an_endpoint, later, post
from workers.leader import Clocks
from workers.route import HINT_EVERY, RouteTask


def hints(record: Record, batches: int, steady: Callable[[], float]) -> list[float]:
    """The moments at which a worker that only routes hinted others to deliver, over so many batches and a bit."""
    source = a_desk(record)
    for _ in range(20):
        an_endpoint(record)
    hinted: list[float] = []

    def hint(task: str, _after: float) -> None:
        if task == DELIVER:
            hinted.append(steady())

    for number in range(50 * batches + 1):
        post(record, source, an_article(external_id=str(number)))
    clocks = Clocks(lambda: later(1), steady)
    assert RouteTask(record, clocks, hint, delivers_here=False).drain() == 20 * (50 * batches + 1)
    return hinted


def test_the_last_of_a_backlog_is_hinted_at_however_lately_others_were(record: Record) -> None:
    assert hints(record, 3, lambda: 7.0) == [7.0, 7.0]


def test_a_long_backlog_is_hinted_at_now_and_then(record: Record) -> None:
    moments = iter(range(1000))
    hinted = hints(record, 6, lambda: next(moments) * HINT_EVERY / 2)
    assert 3 <= len(hinted) <= 7
