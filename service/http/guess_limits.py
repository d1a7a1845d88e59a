"""Limits on guessing at every door: login, bearer tokens, signatures, feed tokens. Shared by all processes.

A wrong token beyond the limit is answered 429. API keys, signing secrets and feed tokens have 256 bits, so that a right
one is let in however many wrong ones came. The operator's token may be weaker: from an address beyond the limit it is
let in only if a right one came from there lately. Behind a proxy that DATELINE_TRUSTED_PROXIES does not name all
clients have one address, and the operator's own must not be locked out. While the record is away each process counts
for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from cachetools import LRUCache
from flask import Flask, Response, current_app, g, request

from service import logs
from service.http.client_address import limited_address
from service.http.problems import Problem
from service.settings import Network
from service.store.coordination import auth_limits
from service.store.coordination.auth_limits import NOTED_EVERY, WINDOW, AuthLimit
from service.store.database.record import Record
from service.store.errors import RecordUnavailable

log = logs.get("http")

LOGIN, BEARER, FEED, SIGNATURE = "login", "bearer", "feed", "signature"
# A minute and address. A newsroom whose clock is wrong is to read that it is, and nobody guesses an HMAC.
MOST_WRONG = {LOGIN: 5, BEARER: 60, FEED: 60, SIGNATURE: 240}
# From this one on they are counted in the record: a single mistyped key is no guessing.
SHARED_FROM = {LOGIN: 1, BEARER: 6, FEED: 6, SIGNATURE: 6}
ADDRESSES = 10_000  # that a process remembers
WRITES_A_SECOND = 20  # of wrong tokens, by one process: guessing must not keep the newsroom's writes waiting
_NAME = "guess_limits"


class GuessLimits:
    """Counts wrong tokens by door and client address. `clock` gives aware UTC times."""

    def __init__(self, record: Record, clock: Callable[[], datetime], trusted: Sequence[Network]) -> None:
        self._record = record
        self._clock = clock
        self._trusted = trusted
        self._lock = threading.Lock()
        self._own: LRUCache[tuple[str, str], AuthLimit] = LRUCache(ADDRESSES)
        self._writes = (0.0, 0)  # in the second that began then

    def wait(self, door: str) -> timedelta | None:
        """How long this request's client must wait before it may try again; None if it need not."""
        now = self._clock()
        own, shared = self._own_limit(door), None
        if own is not None and (left := own.wait(MOST_WRONG[door], now)):
            return left
        try:
            shared = auth_limits.find(self._record, door, self._address())
        except RecordUnavailable:
            return None
        return shared.wait(MOST_WRONG[door], now) if shared else None

    def admit_operator(self, door: str) -> timedelta | None:
        """For a right token of the operator: None, or how long it must wait because its address may be guessing."""
        left = self.wait(door)
        try:
            known = auth_limits.find(self._record, door, self._address())
            now = self._clock()
            if left and not (known and known.is_proven(now)):
                return left
            if known is None or known.success_at is None or not _is_recent(known.success_at, now):
                auth_limits.note_success(self._record, door, self._address(), now)
        except RecordUnavailable:
            return left
        return None

    def note_failure(self, door: str) -> None:
        """Counts a wrong token of this request's client."""
        now, address = self._clock(), self._address()
        with self._lock:
            before = self._own.get((door, address))
            ongoing = before is not None and timedelta(0) <= now - before.window_at < WINDOW
            after = (
                replace(before, failures=before.failures + 1)
                if before and ongoing
                else AuthLimit(1, now, None)
            )
            self._own[door, address] = after
            writes = SHARED_FROM[door] <= after.failures <= MOST_WRONG[door] and self._may_write()
        if after.failures == MOST_WRONG[door]:
            log.warning("auth.limited", door=door, address=address, seconds=int(WINDOW.total_seconds()))
        if writes:
            with suppress(RecordUnavailable):  # this process has counted it
                auth_limits.note_failure(self._record, door, address, now)

    def _own_limit(self, door: str) -> AuthLimit | None:
        with self._lock:
            found: AuthLimit | None = self._own.get((door, self._address()))
            return found

    def _may_write(self) -> bool:
        second, count = self._writes
        steady = time.monotonic()
        self._writes = (second, count + 1) if steady - second < 1 else (steady, 1)
        return self._writes[1] <= WRITES_A_SECOND

    def _address(self) -> str:
        return limited_address(request, self._trusted)


def register(app: Flask, limits: GuessLimits) -> None:
    """Counts every 401 to a bearer token or a signature and every 404 to a feed token; beyond the limit answers 429."""
    app.extensions[_NAME] = limits
    app.after_request(_limit)


def refuse_guesser(door: str = BEARER) -> None:
    """Raises a 429 although the operator's token is right: its address guesses, and never had a right one."""
    limits: GuessLimits | None = current_app.extensions.get(_NAME)
    if limits is not None and (left := limits.admit_operator(door)):
        raise too_many(left)


def judge_by_signature() -> None:
    """Notes that this request's signature is judged, and the bearer token beside it is not looked at."""
    g.judged_by_signature = True


def too_many(left: timedelta) -> Problem:
    """The refusal of a client that has to wait."""
    seconds = int(left.total_seconds()) + 1
    words = f"too many wrong tokens or signatures came from your address: wait {seconds} s, then send the right one"
    return Problem(429, "too-many", words, headers={"Retry-After": str(seconds)})


def _limit(response: Response) -> Response:
    door = _door_of_failure(response)
    if door is None:
        return response
    limits: GuessLimits = current_app.extensions[_NAME]
    left = limits.wait(door)
    if left is None:
        limits.note_failure(door)
        return response
    return too_many(left).response()


def _door_of_failure(response: Response) -> str | None:
    """The door at which this request came with a wrong token; None for every other."""
    if response.status_code == 401 and (
        "webhook-signature" in request.headers
        or g.get("judged_by_signature")
        or request.path.startswith("/v1/hooks/")
    ):
        return SIGNATURE
    if response.status_code == 401 and request.headers.get("Authorization", "").lower().startswith("bearer "):
        return BEARER
    if response.status_code == 404 and request.path.startswith("/partner/feeds/"):
        return FEED
    return None


def _is_recent(moment: datetime, now: datetime) -> bool:
    return timedelta(0) <= now - moment < NOTED_EVERY
