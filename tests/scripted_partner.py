"""A partner over real connections that answers as the test says, and a worker that pushes to it by a clock that the
test moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from service.store.coordination import heartbeats
from service.store.database.record import Record
from service.store.deliveries import routing
from tests.builders import NOW, later
from tests.integration.test_transport import Misbehaving, a_server
from tests.worker import a_delivery_loop
from workers.net.transport import Timeouts

Answer = int | bytes | None  # a status; an answer byte for byte; or none at all
WORKER = "w1.test"


class ScriptedPartner:
    """`answer` is given to every push, or what `answer(body)` says of it. None closes the connection."""

    def __init__(self) -> None:
        self.answer: Answer | Callable[[dict[str, Any]], Answer] = 200
        self.headers = ""
        self.server: Misbehaving | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    @property
    def pushes(self) -> list[dict[str, Any]]:
        """The bodies of the pushes so far, in the order in which they came."""
        assert self.server is not None
        return [json.loads(each.partition(b"\r\n\r\n")[2]) for each in self.server.requests]

    @property
    def kinds(self) -> list[str]:
        return [each["type"].removeprefix("article.") for each in self.pushes]

    def behave(self, connection: Any, request: bytes) -> bool:
        answer = self.answer
        if callable(answer):
            answer = answer(json.loads(request.partition(b"\r\n\r\n")[2]))
        if answer is None:
            return False
        if isinstance(answer, int):
            answer = f"HTTP/1.1 {answer} X\r\n{self.headers}Content-Length: 0\r\n\r\n".encode()
        connection.sendall(answer)
        return True


@contextmanager
def a_scripted_partner() -> Iterator[ScriptedPartner]:
    partner = ScriptedPartner()
    with a_server(partner.behave) as server:
        partner.server = server
        yield partner


class WorkerByHand:
    """Routes and delivers what is due at the moment to which its clock was moved.

    The clock goes on by a microsecond with each look at it, so that the attempts say in which order they were sent:
    a partner's threads may come to theirs in another.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._looks = count()
        self.seconds = 0.0
        self.loop = a_delivery_loop(record, WORKER, self._clock, Timeouts(0.5, 0.5))

    def _clock(self) -> datetime:
        return self.now + next(self._looks) * timedelta.resolution

    @property
    def now(self) -> datetime:
        return later(self.seconds)

    def work(self, seconds: float | None = None) -> int:
        """Works at so many seconds after NOW, or where it is; returns how many attempts were made."""
        self.seconds = self.seconds if seconds is None else seconds
        heartbeats.heartbeat(self._record, WORKER, broker="up", now=self.now)
        routing.route(self._record, self.now)
        return self.loop.drain()


@contextmanager
def a_worker(record: Record) -> Iterator[WorkerByHand]:
    worker = WorkerByHand(record)
    try:
        yield worker
    finally:
        worker.loop.close()


__all__ = ["NOW", "ScriptedPartner", "WorkerByHand", "a_scripted_partner", "a_worker"]
