"""Secrets at rest: sealed with Fernet (AES-128-CBC and HMAC-SHA256), the first key seals, every key opens."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from service.store.errors import NotPossible


class Keyring:
    """Seals and opens secrets. `secret_key` is one or more Fernet keys, comma separated, the newest first.

    Raises ValueError for a key that is no Fernet key (32 bytes in URL-safe base64).
    """

    def __init__(self, secret_key: str) -> None:
        keys = [key.strip() for key in secret_key.split(",") if key.strip()]
        if not keys:
            raise ValueError("DATELINE_SECRET_KEY is empty: secrets cannot be sealed")
        self._fernet = MultiFernet([Fernet(key.encode()) for key in keys])

    def seal(self, secret: bytes) -> bytes:
        return self._fernet.encrypt(secret)

    def open(self, sealed: bytes) -> bytes:
        """Raises NotPossible unless one of the keys opens it."""
        try:
            return self._fernet.decrypt(bytes(sealed))
        except InvalidToken:
            raise _not_ours() from None

    def reseal(self, sealed: bytes) -> bytes:
        """The same secret, sealed with the first key. Raises NotPossible unless one of the keys opens it."""
        try:
            return self._fernet.rotate(bytes(sealed))
        except InvalidToken:
            raise _not_ours() from None


def _not_ours() -> NotPossible:
    return NotPossible(
        "a stored secret cannot be opened: DATELINE_SECRET_KEY is not the key it was sealed with; "
        "put the old key behind the new one, separated by a comma"
    )
