"""Standard Webhooks signatures, made and verified (standardwebhooks.com; interface.md, Authentication).

The signed message is `webhook-id.webhook-timestamp.body`. `v1` is HMAC-SHA256 with a shared secret (`whsec_…`);
`v1a` is ed25519 with a private key of ours (`whsk_…`), checked with its public half (`whpk_…`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets as randomness
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
TOLERANCE_SECONDS = 300
_KEY_BYTES = {PRIVATE: (32, 64), PUBLIC: (32,)}  # a private key may have its public half behind it


class BadSignature(Exception):
    """A message that cannot be trusted; its sender may see the `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadSecret(ValueError):
    """A text that is no signing secret. The message never contains it."""


def new_secret() -> str:
    """A shared secret for `v1`: `whsec_` and 32 random bytes in base64."""
    return SHARED + base64.b64encode(randomness.token_bytes(32)).decode()


@dataclass(frozen=True)
class KeyPair:
    """Keys for `v1a`. The public one goes to the partner; a leak of it lets nobody sign."""

    secret: str = field(repr=False)
    public: str


def new_key_pair() -> KeyPair:
    """A private key `whsk_…` (32 bytes, the seed) and its public key `whpk_…` (32 bytes)."""
    key = Ed25519PrivateKey.generate()
    return KeyPair(
        secret=PRIVATE + base64.b64encode(key.private_bytes_raw()).decode(),
        public=PUBLIC + base64.b64encode(key.public_key().public_bytes_raw()).decode(),
    )


def new_key(kind: str) -> str:
    """A key that makes signatures of this kind, `v1` or `v1a`."""
    return new_secret() if kind == "v1" else new_key_pair().secret


def public_key(secret: str) -> str:
    """The public half `whpk_…` of a private key `whsk_…`. Raises BadSecret."""
    return PUBLIC + base64.b64encode(_public_key(secret).public_bytes_raw()).decode()


def check_secret(secret: str) -> None:
    """Raises BadSecret unless signatures can be verified with it: `whsec_…`, `whpk_…` or `whsk_…`."""
    if secret.startswith((PRIVATE, PUBLIC)):
        _public_key(secret)
    else:
        _decoded(secret, SHARED)


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one signature per secret, space-joined, the first secret's first.

    `timestamp` is Unix seconds. A secret is `whsec_…` (or its bare base64) or `whsk_…`. Raises BadSecret.
    """
    return Signer(secrets).sign(message_id, timestamp, body)


class Signer:
    """`sign` with the keys decoded once, for many messages to one receiver. Safe to share between threads."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._marks = [_mark(secret) for secret in secrets]
        if not self._marks:
            raise BadSecret("There is no signing secret; make one with new_secret().")

    def sign(self, message_id: str, timestamp: int, body: bytes) -> str:
        message = _message(message_id, str(timestamp), body)
        return " ".join([mark(message) for mark in self._marks])


def verify(
    secrets: Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> str:
    """The message's `webhook-id`, if one of its signatures was made with one of the secrets, lately enough.

    Header names are matched in any case. `secrets` are `whsec_…`, `whpk_…` or `whsk_…`. Raises BadSignature
    and nothing else, whatever the headers and the body are; a secret that is none counts as one that does not
    match.
    """
    message_id, timestamp, signatures = _needed(headers)
    _check_age(timestamp, now, tolerance_seconds)
    message = _message(message_id, timestamp, body)
    pairs = [tuple(each.split(",", 1)) for each in signatures.split(" ") if "," in each]
    for secret in secrets:
        if any(_matches(secret, version, signature, message) for version, signature in pairs):
            return message_id
    raise BadSignature("No signature matches: check the signing secret, and that the raw body was signed.")


def _mark(secret: str) -> Callable[[bytes], str]:
    if secret.startswith(PRIVATE):
        private = Ed25519PrivateKey.from_private_bytes(_decoded(secret, PRIVATE)[:32])
        return lambda message: "v1a," + base64.b64encode(private.sign(message)).decode()
    key = _decoded(secret, SHARED)
    return lambda message: "v1," + binascii.b2a_base64(_hmac(key, message), newline=False).decode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _message(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode("utf-8", "surrogatepass") + body


def _decoded(secret: str, prefix: str) -> bytes:
    text = secret.removeprefix(prefix)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise BadSecret(
            f"A signing secret is not {prefix}… in base64; copy it whole, as it was shown."
        ) from error
    if not key or len(key) not in _KEY_BYTES.get(prefix, (len(key),)):
        raise BadSecret(f"A signing secret {prefix}… has {len(key)} bytes; copy it whole, as it was shown.")
    return key


def _needed(headers: Mapping[str, str]) -> tuple[str, str, str]:
    lower = {name.lower(): value for name, value in headers.items()}
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    if missing := [name for name in names if not lower.get(name)]:
        raise BadSignature(f"Missing: {', '.join(missing)} (Standard Webhooks headers).")
    return lower[names[0]], lower[names[1]], lower[names[2]]


def _check_age(timestamp: str, now: datetime, tolerance_seconds: int) -> None:
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise BadSignature("webhook-timestamp is not whole Unix seconds.")
    age = now.timestamp() - int(timestamp)
    if abs(age) > tolerance_seconds:
        side = "old" if age > 0 else "far in the future"
        raise BadSignature(
            f"webhook-timestamp is {abs(age):.0f} s too {side}: check both clocks, or sign anew."
        )


def _matches(secret: str, version: str, signature: str, message: bytes) -> bool:
    asymmetric = secret.startswith((PRIVATE, PUBLIC))
    if version != ("v1a" if asymmetric else "v1"):
        return False
    try:
        raw = base64.b64decode(signature, validate=True)
        if not asymmetric:
            return hmac.compare_digest(_hmac(_decoded(secret, SHARED), message), raw)
        _public_key(secret).verify(raw, message)
    except (ValueError, InvalidSignature):
        return False
    return True


def _public_key(secret: str) -> Ed25519PublicKey:
    if secret.startswith(PRIVATE):
        return Ed25519PrivateKey.from_private_bytes(_decoded(secret, PRIVATE)[:32]).public_key()
    return Ed25519PublicKey.from_public_bytes(_decoded(secret, PUBLIC))
