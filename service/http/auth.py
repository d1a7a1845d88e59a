"""Authentication: the operator's token, a source's key, a partner's key. Compared in constant time."""

from __future__ import annotations

import hmac
from datetime import datetime

from flask import request

from service import times
from service.http import credentials, guess_limits
from service.http.problems import Problem
from service.store.articles import sources
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.partners import partners
from service.store.partners.partners import Partner

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="dateline"'}


def bearer() -> str:
    """The bearer token of the request, or a 401."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise unauthenticated(
            "send 'Authorization: Bearer <key>'; a source may sign the body instead (Standard Webhooks headers)"
        )
    return text.strip()


def is_operator(operator_token: str) -> bool:
    """Whether the request bears the operator's token. A 429 if its address is one that guesses."""
    if not operator_token or not hmac.compare_digest(bearer().encode(), operator_token.encode()):
        return False
    guess_limits.refuse_guesser()
    return True


def require_operator(operator_token: str) -> None:
    """Raises a 401 unless the request bears the operator's token."""
    if not is_operator(operator_token):
        raise unauthenticated("this needs the operator's token (DATELINE_OPERATOR_TOKEN)")


def find_source(record: Record, now: datetime | None = None) -> Source | None:
    """The source whose API key the request bears, or None."""
    read = credentials.read_api_key(bearer())
    if read is None:
        return None
    found = sources.by_key(record, read[0], now or times.now())
    return found if found is not None and hmac.compare_digest(found.key_hash, read[1]) else None


def require_partner(record: Record, now: datetime | None = None) -> Partner:
    """The partner whose API key the request bears, or a 401."""
    read = credentials.read_api_key(bearer())
    found = partners.partner_by_key(record, read[0], now or times.now()) if read else None
    if read is None or found is None or not hmac.compare_digest(found[1], read[1]):
        raise unauthenticated("this needs a partner's API key; `dateline partner add` prints it once")
    return found[0]


def unauthenticated(words: str) -> Problem:
    return Problem(401, "unauthenticated", words, headers=_CHALLENGE)
