"""Requests that are not pushes to partners, and only to where pushes may go: notices to the operator's webhook.

They go by the pushes' own transport, so each has a deadline for the whole exchange, names and headers included: a
server that sends a byte now and then is not waited for. Redirects, proxies, cookies and netrc are never used.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from service.settings import Network
from workers.net.transport import Push, Sender, Timeouts

DEADLINES = Timeouts(connect=5.0, total=10.0)
NEXT_AFTER = 1.0  # seconds that the next request waits for the one before it; then it goes beside it
MOST_AT_ONCE = 16


class ClientAnswer(NamedTuple):
    """How a request ended: `status` is None if no answer came."""

    token: Any
    status: int | None
    words: str


class GuardedClient:
    """Sends POSTs. For one thread, but for `stop`; close() when done."""

    def __init__(
        self, allowed: Sequence[Network], *, user_agent: str, timeouts: Timeouts = DEADLINES
    ) -> None:
        self._sender = Sender(allowed, user_agent=user_agent, timeouts=timeouts, capacity=MOST_AT_ONCE)
        self._stopped = False

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, str]:
        """(status, words); the status is None if no answer came within the deadline."""
        for answer in self.post_each([Push(None, url, tuple(headers.items()), body)]):
            return answer.status, answer.words
        return None, "was not sent: this process ends"

    def post_each(self, pushes: Iterable[Push]) -> Iterator[ClientAnswer]:
        """Sends them in this order, MOST_AT_ONCE at the most, and yields each as it ends.

        One after the other while their server is quick. One that is slow delays the next by NEXT_AFTER, and all of them
        end within the deadline of the last. After `stop` the rest is not sent.
        """
        for push in pushes:
            if self._stopped:
                return
            self._sender.submit(push)
            patient_until, ended = time.monotonic() + NEXT_AFTER, False
            while not ended and not self._stopped and (left := patient_until - time.monotonic()) > 0:
                for answer in self._poll(left):
                    ended = ended or answer.token is push.token
                    yield answer
        while self._sender.in_flight and not self._stopped:
            yield from self._poll(NEXT_AFTER)

    def stop(self) -> None:
        """Has `post_each` end at once, in whatever thread it is."""
        self._stopped = True
        self._sender.wake()

    def close(self) -> None:
        self._sender.close()

    def _poll(self, seconds: float) -> list[ClientAnswer]:
        return [
            ClientAnswer(push.token, result.status, result.words)
            for push, result in self._sender.poll(seconds)
        ]
