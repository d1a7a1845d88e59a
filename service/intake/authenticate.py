"""Authentication of sources: by an API key, or by a Standard Webhooks signature over the raw bytes."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from flask import request

from service.http import auth, credentials, guess_limits
from service.http.auth import unauthenticated
from service.http.problems import Problem
from service.intake.refusal_counter import name_source
from service.store.articles import source_settings, sources
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.webhooks import signatures
from service.webhooks.signatures import BadSignature

CACHE_FOR = timedelta(
    seconds=0.9
)  # for so long a key that was withdrawn still works: within a second, as promised


@dataclass(frozen=True)
class AuthenticatedSource:
    """The source of a request, and the signed message's id if it signed: that is then the idempotency key."""

    source: Source
    message_id: str | None


@dataclass(frozen=True)
class VerifiedSource:
    """The source of a hook, with its secrets that work now, the newest first."""

    source: Source
    secrets: Sequence[str] = field(repr=False)


class SourceAuthenticator:
    """Caches the sources; reads them again after nine tenths of a second, and at once for one it does not know."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._lock = Lock()
        self._sources: list[Source] = []
        self._options: dict[int, SourceOptions] = {}
        self._read_at: datetime | None = None

    def authenticate(self, body: bytes, slug: str | None) -> AuthenticatedSource:
        """The request's source, or a 401; 403 when the address names another source by its `slug`."""
        if "webhook-signature" in request.headers:
            guess_limits.judge_by_signature()
            return self._by_signature(dict(request.headers), body, slug)
        source = self.by_key()
        if slug is not None and source.slug != slug:
            raise Problem(403, "not-yours", f"this API key is not that of the source {slug!r}")
        return AuthenticatedSource(source, None)

    def find(self, slug: str) -> Source | None:
        """The source of this name, if it may post."""
        return self._find(lambda each: each.slug == slug)

    def verified(self, slug: str, fault: Callable[[Sequence[str]], str | None]) -> VerifiedSource:
        """The source of this name, whose secrets have no `fault`, the newest and those that still work; or a 401."""
        reason = no_such_source(slug)
        for refresh in (False, True):  # a secret may be new
            found = [each for each in self._cached(refresh=refresh) if each.slug == slug]
            secrets = list(dict.fromkeys(each.secret for each in found))
            if not found:
                continue
            words = fault(secrets)
            if words is None:
                return VerifiedSource(found[0], secrets)
            reason = words
        raise unauthenticated(reason)

    def options(self, source: Source) -> SourceOptions | None:
        """The settings of a source that it has just authenticated, without its API token; None if it has none."""
        with self._lock:
            return self._options.get(source.id)

    def by_key(self) -> Source:
        """The source whose API key is in the Authorization header, or a 401."""
        read = credentials.read_api_key(auth.bearer())
        if read is None:
            raise unauthenticated(
                "the API key is not one of ours: it begins with 'dateline_' and has three parts"
            )
        key_id, key_hash = read
        source = self._find(lambda each: each.key_id == key_id)
        if source is not None:
            name_source(source.slug)
        if source is None or not hmac.compare_digest(source.key_hash, key_hash):
            raise unauthenticated("the API key is not known here; `dateline source add` prints it once")
        return source

    def _by_signature(self, headers: Mapping[str, str], body: bytes, slug: str | None) -> AuthenticatedSource:
        missing = "yet" if slug is None else repr(slug)
        reason = f"there is no source {missing}; `dateline source add` makes one"
        tried: set[str] = set()
        for source in self._all():
            if source.slug == slug:
                name_source(slug)
            if slug not in (None, source.slug) or source.secret in tried:
                continue
            tried.add(source.secret)
            try:
                message_id = signatures.verify([source.secret], headers, body, self._clock())
            except BadSignature as error:
                reason = error.reason
            else:
                name_source(source.slug)
                return AuthenticatedSource(source, message_id)
        raise unauthenticated(reason)

    def _find(self, fits: Callable[[Source], bool]) -> Source | None:
        return next((each for each in self._all() if fits(each)), None)

    def _all(self) -> Iterator[Source]:
        """Every source as it was read last; then, for a caller that goes on, as it is now."""
        yield from self._cached()
        yield from self._cached(refresh=True)

    def _cached(self, *, refresh: bool = False) -> list[Source]:
        now = self._clock()
        with self._lock:
            if refresh or self._read_at is None or abs(now - self._read_at) > CACHE_FOR:
                self._sources = sources.with_keys(self._record, now)
                self._options = source_settings.all_options(self._record)
                self._read_at = now
            return self._sources


def no_such_source(slug: str) -> str:
    """Says that a hook's address names nobody."""
    return f"there is no source {slug!r}; `dateline source add` makes one"
