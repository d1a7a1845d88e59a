"""Key files: the operator's token and the secret keys, made at the first start, which stay in the data directory."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from pathlib import Path

from service.runtime import files
from service.settings import TOKEN_LENGTH, Settings, SettingsError

TOKEN_FILE = "operator-token"  # noqa: S105 - a file's name
KEY_FILE = "secret-key"
NOTICE_FILE = "notice-secret"


def ensure_keys(settings: Settings) -> Settings:
    """The same settings with an operator token and a secret key, made if need be; with a webhook, its secret too.

    New keys are written into files that only their owner can read. Safe when two processes start at once: both get the
    same keys. Raises SettingsError for a file that is empty, and for a token that can be guessed.
    """
    directory = settings.data_dir
    keys = {
        "operator_token": settings.operator_token or _ensure(directory / TOKEN_FILE, _new_token),
        "secret_key": settings.secret_key or _ensure(directory / KEY_FILE, _new_fernet_key),
    }
    place = "DATELINE_OPERATOR_TOKEN" if settings.operator_token else str(directory / TOKEN_FILE)
    _refuse_weak(keys["operator_token"], place, "operator's token")
    if settings.metrics_token:
        _refuse_weak(settings.metrics_token, "DATELINE_METRICS_TOKEN", "token for the metrics")
    if settings.notice_url and not settings.notice_secret:
        keys["notice_secret"] = _ensure(directory / NOTICE_FILE, _new_signing_secret)
    return settings.model_copy(update=keys)


def _refuse_weak(token: str, place: str, what: str) -> None:
    """Raises SettingsError for a token that can be guessed."""
    remedy = "write a longer one, such as what 'openssl rand -hex 24' prints"
    if len(token) < TOKEN_LENGTH:
        count = (
            f"{len(token)} characters, and {TOKEN_LENGTH} are the least"
            if len(token) != 1
            else "one character"
        )
        raise SettingsError(f"{place}: the {what} has {count}: {remedy}")
    if len(set(token)) < TOKEN_LENGTH // 4:
        raise SettingsError(f"{place}: the {what} repeats the same few characters: {remedy}")


def _ensure(path: Path, make: Callable[[], str]) -> str:
    """The text in the file, which is made if it is not there. Of several processes the first to write it wins."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_once(path, f"{make()}\n".encode(), mode=files.OWNER_ONLY)
    key = path.read_text().strip()
    if not key:
        raise SettingsError(f"{path} is empty; delete it to have a new one made, or restore it from a backup")
    return key


def _new_token() -> str:
    return secrets.token_urlsafe(24)


def _new_fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _new_signing_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
