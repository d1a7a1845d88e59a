"""API keys and feed tokens: how they are made, read and hashed."""

from __future__ import annotations

import hashlib
import re
import secrets as randomness
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ApiKey:
    """`text` is shown once and never stored; the record keeps `key_id` (to find it by) and `hash`.

    `secret` is the random part of 43 characters (256 bits, so a fast hash is the right one).
    """

    key_id: str
    secret: str = field(repr=False)
    text: str = field(repr=False)
    hash: str


def new_api_key() -> ApiKey:
    """An API key `dateline_<key id>_<43 characters>`."""
    key_id = "".join(randomness.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(12))
    secret = randomness.token_urlsafe(32)
    return ApiKey(key_id, secret, f"dateline_{key_id}_{secret}", _key_hash(secret))


def read_api_key(text: str) -> tuple[str, str] | None:
    """(key id, SHA-256 of the random part in hex) of a text that has the form of an API key; None for any other.

    Compare the hash with `hmac.compare_digest`.
    """
    found = re.fullmatch(r"dateline_([a-z0-9]{1,32})_([A-Za-z0-9_-]{43})", text)
    return (found[1], _key_hash(found[2])) if found else None


FEED_TOKEN = "feed_"  # noqa: S105 - the prefix of all of them


@dataclass(frozen=True)
class FeedToken:
    """The secret part of the address of a partner's own feed: `feed_` and 43 random characters (256 bits).

    `text` is shown once and never stored; the record keeps `hash`, and finds the feed by it.
    """

    text: str = field(repr=False)
    hash: str


def new_feed_token() -> FeedToken:
    text = FEED_TOKEN + randomness.token_urlsafe(32)
    return FeedToken(text, _key_hash(text))


def read_feed_token(text: str) -> str | None:
    """The hash of a text that has the form of a feed's token; None for any other."""
    return _key_hash(text) if re.fullmatch(FEED_TOKEN + r"[A-Za-z0-9_-]{43}", text) else None


def hide_feed_tokens(text: str) -> str:
    """The text (an address, for example) with every feed token made unreadable: for logs and error pages."""
    return re.sub(FEED_TOKEN + r"[^\s/]+", FEED_TOKEN + "…", text)


def _key_hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
