"""Sends notices to the operator: in the log and, if there is one, by the operator's own webhook."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from service import logs, times
from service.store import notices
from service.store.database.record import Record
from service.store.notices import Notice
from service.webhooks import signatures
from workers.net.http_client import MOST_AT_ONCE, GuardedClient
from workers.net.transport import Push

log = logs.get("notice")

NOTICE_BATCH = MOST_AT_ONCE  # which end well within the time that a try lasts (notices.TRY_LASTS)
FIRST_RETRY_AFTER = 10.0  # seconds; doubles
LONGEST_RETRY_AFTER = 3600.0
GIVE_UP_AFTER = timedelta(days=3)


class Notifier:
    """One per process, with a thread of its own: a webhook that hangs delays nothing else. `wake` never blocks."""

    def __init__(
        self,
        record: Record,
        client: GuardedClient | None,
        *,
        url: str,
        secret: str,
        status_page: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Without `url` the log is all there is, and no `client` is needed."""
        self._record = record
        self._client = client
        self._url = url
        self._secret = secret
        self._status_page = status_page
        self._clock = clock
        self._due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Has the notices sent that are due."""
        self._due.set()

    def close(self) -> None:
        """Ends soon: a notice that hangs on its way then is sent again, by the next worker that finds it due."""
        self._closing = True
        self._due.set()
        if self._client is not None:
            self._client.stop()
        if self._thread.is_alive():
            self._thread.join(1)
        if self._client is not None and not self._thread.is_alive():
            self._client.close()

    def send_due(self) -> int:
        """Sends the notices that are due now; returns how many were tried."""
        tried = 0
        while not self._closing and (batch := notices.take(self._record, NOTICE_BATCH, self._clock())):
            self._log(batch)  # first: it waits for no webhook
            if self._url and self._client is not None:
                for each, status, words in self._client.post_each(self._push(each) for each in batch):
                    self._settle(each, status, words)
            else:
                for each in batch:
                    self._settle(each, 200, "in the log only: DATELINE_NOTICE_URL is not set")
            tried += len(batch)
        return tried

    def _run(self) -> None:
        while not self._closing:
            self._due.wait()
            self._due.clear()
            try:
                self.send_due()
            except Exception as error:  # the record is away: a notice that is due is found again
                log.warning("notices.failed", error=f"{type(error).__name__}: {error}"[:300])

    def _log(self, batch: Sequence[Notice]) -> None:
        for each in batch:
            if each.tries == 1:
                log.warning(
                    "notice.raised",
                    kind=each.kind,
                    about=each.about,
                    partner=each.partner,
                    count=each.count,
                    words=each.words,
                )

    def _settle(self, each: Notice, status: int | None, words: str) -> None:
        sent, now = status is not None and 200 <= status < 300, self._clock()
        retry_at = None if sent else next_try(each.tries, each.created_at, now)
        if not sent:
            log.warning(
                "notice.send_failed",
                notice=each.public_id,
                tries=each.tries,
                words=words,
                given_up=not retry_at,
            )
        notices.settle(self._record, each, sent=sent, words=words, retry_at=retry_at, now=now)

    def _push(self, each: Notice) -> Push:
        seconds = int(self._clock().timestamp())
        body = payload(each, self._status_page)
        headers = (
            ("Content-Type", "application/json"),
            ("webhook-id", each.public_id),
            ("webhook-timestamp", str(seconds)),
            ("webhook-signature", signatures.sign([self._secret], each.public_id, seconds, body)),
        )
        return Push(each, self._url, headers, body)


def next_try(tries: int, created_at: datetime, now: datetime) -> datetime | None:
    """When to try again after `tries` failures: 10 s doubling to an hour, for three days; None to give up."""
    if now - created_at >= GIVE_UP_AFTER:
        return None
    return now + timedelta(seconds=min(FIRST_RETRY_AFTER * 2.0 ** min(tries - 1, 20), LONGEST_RETRY_AFTER))


def payload(each: Notice, status_page: str) -> bytes:
    """The notice as JSON; the same bytes at each try."""
    page = f"{status_page}/partners/{each.partner}" if each.partner else status_page
    message: dict[str, Any] = {
        "type": each.kind,
        "timestamp": times.to_iso(each.created_at),
        "data": {
            "words": each.words,
            "count": each.count,
            "about": each.about,
            "partner": each.partner,
            "endpoint": each.endpoint_id,
            "status_page": page,
        },
    }
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
