"""Who sends this: an API key, or a Standard Webhooks signature over the raw bytes."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

from flask import request

from service.http import auth, credentials
from service.http.auth import unauthenticated
from service.http.problems import Problem
from service.store.articles import sources
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.webhooks import signatures
from service.webhooks.signatures import BadSignature

KEPT = timedelta(seconds=2)  # how long a source taken away may still post


@dataclass(frozen=True)
class Sender:
    """The source, and the id that its signature was made over, if it signed: that is then the idempotency key."""

    source: Source
    message_id: str | None


class Gate:
    """Knows the sources; looks them up again every two seconds, and at once for one it does not know."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._lock = Lock()
        self._sources: list[Source] = []
        self._read_at: datetime | None = None

    def admit(self, body: bytes, named: str | None) -> Sender:
        """The request's sender, or a 401; 403 when it is another source than the one `named` in the address."""
        if "webhook-signature" in request.headers:
            return self._by_signature(dict(request.headers), body, named)
        sender = Sender(self.by_key(), None)
        if named is not None and sender.source.slug != named:
            raise Problem(403, "not-yours", f"this API key is not that of the source {named!r}")
        return sender

    def by_key(self) -> Source:
        """The source whose API key is in the Authorization header, or a 401."""
        read = credentials.read_api_key(auth.bearer())
        if read is None:
            raise unauthenticated(
                "the API key is not one of ours: it begins with 'dateline_' and has three parts"
            )
        key_id, given = read
        found = self._find(lambda each: each.key_id == key_id)
        if found is None or not hmac.compare_digest(found.key_hash, given):
            raise unauthenticated("the API key is not known here; `dateline source add` prints it once")
        return found

    def _by_signature(self, headers: Mapping[str, str], body: bytes, named: str | None) -> Sender:
        missing = "yet" if named is None else repr(named)
        reason = f"there is no source {missing}; `dateline source add` makes one"
        tried: set[str] = set()
        for source in self._all():
            if named not in (None, source.slug) or source.secret in tried:
                continue
            tried.add(source.secret)
            try:
                return Sender(source, signatures.verify([source.secret], headers, body, self._clock()))
            except BadSignature as error:
                reason = error.reason
        raise unauthenticated(reason)

    def _find(self, which: Callable[[Source], bool]) -> Source | None:
        return next((each for each in self._all() if which(each)), None)

    def _all(self) -> Iterator[Source]:
        """Every source as last read, then, for who looks on, as they are now."""
        yield from self._known()
        yield from self._known(fresh=True)

    def _known(self, *, fresh: bool = False) -> list[Source]:
        now = self._clock()
        with self._lock:
            if fresh or self._read_at is None or now - self._read_at > KEPT:
                self._sources = sources.active(self._record)
                self._read_at = now
            return self._sources
