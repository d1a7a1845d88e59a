"""Signatures as content systems make them: an HMAC under the secret that they share with a source."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence


def from_hex(digest: str) -> bytes | None:
    """The bytes of a signature in hexadecimal; None if it is none."""
    try:
        return bytes.fromhex(digest) if digest.isascii() else None
    except ValueError:
        return None


def from_base64(digest: str) -> bytes | None:
    """The bytes of a signature in base64; None if it is none."""
    try:
        return base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None


def fits(sent: bytes | None, secrets: Sequence[str], *messages: bytes, digest: str = "sha256") -> bool:
    """Whether one of the secrets made this signature of one of the messages."""
    if not sent:
        return False
    marks = (
        hmac.digest(secret.encode("utf-8", "surrogatepass"), message, digest)
        for message in messages
        for secret in secrets
        if secret
    )
    return any(hmac.compare_digest(each, sent) for each in marks)


def bears(header: str, secrets: Sequence[str]) -> bool:
    """Whether an Authorization header bears one of the secrets."""
    kind, _, given = header.partition(" ")
    sent = given.strip().encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(sent, each.encode("utf-8", "surrogatepass")) for each in secrets if each]
    return kind.lower() == "bearer" and any(matches)
