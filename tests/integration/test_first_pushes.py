"""The first push to an endpoint does not wait behind others that hang, and who is cut off for it loses nothing."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from service.store.database.record import Record
from service.store.deliveries import routing
from service.store.schema.deliveries import attempt, delivery
from service.store.schema.partners import endpoint
from tests.builders import a_desk, an_article, an_endpoint, post
from tests.desk import eventually
from tests.integration.test_transport import OK, a_server
from tests.worker import a_delivery_loop
from workers.deliver import loop, slots

HANGING = 12
WORDS = "cut off after a second: others waited for their first push; it may have arrived"


def now() -> datetime:
    return datetime.now(UTC)


def test_a_partners_first_push_does_not_wait_for_twice_as_many_hanging_ones_as_there_are_slots(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "HANG_UP_AFTER", 0.2)

    def behave(connection: Any, request: bytes) -> bool:
        if b"/hang" in request:
            return server.over.wait(20)
        connection.sendall(OK)
        return True

    source = a_desk(record)
    with a_server(behave) as server:
        for number in range(HANGING):
            an_endpoint(record, url=f"{server.url}/hang{number}")
        an_endpoint(record, url=f"{server.url}/quick")
        post(record, source, an_article(), now=now())
        routing.route(record, now())
        # With so few slots there are 6 for unknown endpoints' news, and 4 for slow ones'.
        deliveries = a_delivery_loop(record, "w1.test", now, capacity=slots.SHARED_PARTS)
        with ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            drained = pool.submit(deliveries.drain)
            eventually(
                lambda: any(b"/quick" in each for each in server.requests), within=10, what="the quick push"
            )
            assert time.monotonic() - began < 4
            deliveries.close()
            drained.result(timeout=10)
    d, a, e = delivery.c, attempt.c, endpoint.c
    with record.reading() as connection:
        states = {each.state for each in connection.execute(select(d.state))}
        cut_off = connection.execute(select(a.outcome, a.delivery_id).where(a.words == WORDS)).all()
        forgiven = connection.execute(
            select(d.attempts - d.forgiven).where(d.id.in_([each.delivery_id for each in cut_off]))
        ).scalars()
        failures = connection.execute(select(e.failures)).scalars()
        assert states == {"delivered", "waiting"}
        assert cut_off
        assert {each.outcome for each in cut_off} == {"lost"}
        assert set(forgiven) == {0}
        assert set(failures) == {0}
