"""Verifying an ed25519 signature of Dateline's pushes. Python 3.11 or newer, with the package cryptography."""

import base64
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_SECONDS = 300


def is_trusted(public_keys, headers, body):
    """Whether one of the signatures fits one of the public keys (whpk_…), lately enough. `body` is the raw bytes."""
    push_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{push_id}.{timestamp}.".encode() + body
    given = [each[4:] for each in headers.get("webhook-signature", "").split(" ") if each.startswith("v1a,")]
    return any(fits(key, signature, signed) for key in public_keys for signature in given)


def fits(public_key, signature, signed):
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    try:
        key.verify(base64.b64decode(signature), signed)
    except (InvalidSignature, ValueError):
        return False
    return True
