"""Settings: `DATELINE_*` in the environment or a `.env` file. docs/configuration.md lists them.

Parsed and checked once, at the start of each process; the result is trusted inside. A wrong value, or a
`DATELINE_` variable that does not exist, stops the process with a sentence that names it (`SettingsError`).
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service import plain_text

PREFIX = "DATELINE_"
Network = IPv4Network | IPv6Network
LOG_LEVELS = ("debug", "info", "warning", "error")
REDIS_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel")
_TOKENS = ("operator_token", "metrics_token")
# Each may also be in a file, whose path is in `DATELINE_<NAME>_FILE`: what containers and systemd hand out.
SECRETS = (*_TOKENS, "secret_key", "notice_secret", "database_url", "redis_url", "notice_url")
# More processes than this only wait for each other's commits: SQLite lets one writer in at a time.
SQLITE_WORKERS_MAX = 2
# The most bytes of a feed's document: Google reads no more of one.
FEED_BYTES = 2_000_000
# The feeds server's address if it is started without one.
FEEDS_LISTEN = "127.0.0.1:8601"
_EXAMPLES = {"listen": "127.0.0.1:8600", "feeds_listen": FEEDS_LISTEN, "metrics_listen": "127.0.0.1:8602"}
TOKEN_LENGTH = 16  # the least of a token that a person may choose


class SettingsError(Exception):
    """A setting is wrong. The text names the variable, the mistake and the remedy."""


class Settings(BaseSettings):
    """The settings of an operator. Immutable; every field has the environment variable `DATELINE_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Path("var")
    listen: str = "127.0.0.1:8600"
    feeds_listen: str = ""
    public_url: str = Field(default_factory=lambda known: url_of(known["listen"]))
    database_url: str = Field(
        default_factory=lambda known: f"sqlite:///{known['data_dir']}/dateline.db", repr=False
    )
    redis_url: str = Field(default="", repr=False)
    operator_token: str = Field(default="", repr=False)
    metrics_token: str = Field(default="", repr=False)
    metrics_listen: str = ""
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()
    secret_key: str = Field(default="", repr=False)
    allow_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    allow_http: bool = False
    notice_url: str = Field(default="", repr=False)
    notice_secret: str = Field(default="", repr=False)
    connections_per_address: int = Field(default=512, ge=8, le=65536)
    workers: int = Field(default_factory=lambda known: _default_workers(known["database_url"]), ge=1, le=256)
    export_dir: Path | None = None
    withdrawn_days: int = Field(default=14, ge=1, le=3650)
    feed_bytes: int = Field(default=FEED_BYTES, ge=100_000, le=50_000_000)
    desk_name: str = Field(default="", max_length=200)
    logo_url: str = ""
    log_level: str = "info"

    @field_validator("data_dir", "export_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("listen", "feeds_listen", "metrics_listen")
    @classmethod
    def _host_and_port(cls, value: str, known: ValidationInfo) -> str:
        if not value and known.field_name != "listen":
            return ""
        host, _, port = value.strip().rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            example = _EXAMPLES[str(known.field_name)]
            raise ValueError(f"'{value}' is not HOST:PORT; write for example {example}")
        listen = f"{host}:{int(port)}"
        if int(port) and known.data.get("listen") == listen:
            raise ValueError(
                f"'{value}' is where the web answers; write another port, such as {_EXAMPLES[str(known.field_name)]}"
            )
        return listen

    @field_validator("public_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"'{value}' is not a web address; write for example https://news.example.org")
        return value.rstrip("/")

    @field_validator("desk_name")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not plain_text.is_a_line(value):
            raise ValueError("write it on one line, without control characters")
        return value.strip()

    @field_validator("notice_url", "logo_url")
    @classmethod
    def _address(cls, value: str, known: ValidationInfo) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment):
            end = "dateline" if known.field_name == "notice_url" else "logo.png"
            raise ValueError(f"write a web address of your own, such as https://news.example.org/{end}")
        return value

    @field_validator("notice_secret")
    @classmethod
    def _signing_secret(cls, value: str) -> str:
        if value and not _is_signing_secret(value):
            raise ValueError("write whsec_ and at least 24 bytes in base64, as Standard Webhooks has it")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        scheme, separator, rest = value.partition("://")
        # Hosting platforms hand these out; the driver is ours to name.
        if scheme in {"postgres", "postgresql"}:
            scheme = "postgresql+psycopg"
        if not separator or not rest or scheme not in {"sqlite", "postgresql+psycopg"}:
            raise ValueError(
                "write sqlite:////path/to/file.db or postgresql+psycopg://user:password@host/name"
            )
        return f"{scheme}://{rest}"

    @field_validator("redis_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        if value and value.partition("://")[0] not in REDIS_SCHEMES:
            raise ValueError(
                "write redis://host:6379/0, or leave it out: Dateline then starts a Redis of its own"
            )
        return value

    @field_validator(*_TOKENS)
    @classmethod
    def _no_blanks(cls, value: str) -> str:
        if any(character.isspace() or not character.isascii() for character in value):
            raise ValueError("a token has neither blanks nor accents: 'openssl rand -hex 24' makes one")
        return value

    @field_validator("secret_key")
    @classmethod
    def _fernet_keys(cls, value: str) -> str:
        keys = [key.strip() for key in value.split(",") if key.strip()]
        if not all(map(_is_fernet_key, keys)):
            raise ValueError(
                "each key (the newest first, separated by commas) is 32 bytes in URL-safe base64"
            )
        return ",".join(keys)

    @field_validator("allow_networks", "trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: str | Iterable[str | Network]) -> tuple[Network, ...]:
        texts = value.split(",") if isinstance(value, str) else [str(network) for network in value]
        return tuple(ip_network(text.strip(), strict=False) for text in texts if text.strip())

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in LOG_LEVELS:
            raise ValueError(f"'{value}' is none of {', '.join(LOG_LEVELS)}")
        return value.lower()

    @property
    def host(self) -> str:
        """The host of the web process's address, without brackets (`::1`)."""
        return host_and_port(self.listen)[0]

    @property
    def port(self) -> int:
        """0: any free port."""
        return host_and_port(self.listen)[1]

    @property
    def on_sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")


def load(env_file: Path | None = Path(".env"), **overrides: Any) -> Settings:
    """`overrides` (None: no override), else the environment, else `env_file`, else the defaults.

    Raises `SettingsError`, which names the variable and the remedy.
    """
    _refuse_unknown(os.environ, where="the environment")
    written: Mapping[str, str | None] = {}
    if env_file is not None and env_file.is_file():
        written = dotenv_values(env_file)
        _refuse_unknown(written, where=str(env_file))
    values = {
        **_from_files({**written, **os.environ}),
        **{name: value for name, value in overrides.items() if value is not None},
    }
    try:
        return Settings(**{"_env_file": env_file, **values})
    except ValidationError as error:
        raise SettingsError("; ".join(_words(error))) from None


def environment(settings: Settings) -> dict[str, str]:
    """These settings as environment variables, for a child process that must see the same."""
    values = settings.model_dump(mode="json") | {
        "allow_networks": ",".join(map(str, settings.allow_networks)),
        "trusted_proxies": ",".join(map(str, settings.trusted_proxies)),
    }
    return {
        # The child has the secret itself: the file may have another one by the time that it starts again.
        **dict.fromkeys(_file_names(), ""),
        **{PREFIX + name.upper(): str(value) for name, value in values.items() if value not in ("", None)},
    }


def _file_names() -> dict[str, str]:
    """The variables that name a file with a secret, each with its setting."""
    return {f"{PREFIX}{name.upper()}_FILE": name for name in SECRETS}


def _from_files(variables: Mapping[str, str | None]) -> dict[str, str]:
    """The secrets that are in files, as `DATELINE_…_FILE` names them. Raises SettingsError."""
    found = {}
    for variable, setting in _file_names().items():
        path = variables.get(variable)
        if not path:
            continue
        plain = variable.removesuffix("_FILE")
        if variables.get(plain):
            raise SettingsError(f"{plain} and {variable} are both set: remove one of them")
        try:
            found[setting] = Path(path).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise SettingsError(f"{variable}: {path} cannot be read: {reason}") from None
        if not found[setting]:
            raise SettingsError(f"{variable}: {path} is empty")
    return found


def _refuse_unknown(variables: Mapping[str, Any], *, where: str) -> None:
    known = [*(PREFIX + name.upper() for name in Settings.model_fields), *_file_names()]
    for name in variables:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            raise SettingsError(f"{name} (in {where}) is no setting of Dateline; did you mean {near[0]}?")


def _words(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False, include_input=False):
        field = str(fault["loc"][0]) if fault["loc"] else "?"
        if fault["type"] != "default_factory_not_called":  # only a consequence of another field's fault
            yield f"{PREFIX}{field.upper()}: {fault['msg'].removeprefix('Value error, ')}"


def host_and_port(listen: str) -> tuple[str, int]:
    """The two parts of a checked HOST:PORT; the host without brackets (`::1`)."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def url_of(listen: str) -> str:
    """The web address that belongs to HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return f"http://{'localhost' if host in {'0.0.0.0', '[::]', '::'} else host}:{port}"  # noqa: S104


def _default_workers(database_url: str) -> int:
    cores = os.cpu_count() or 1
    return min(cores, SQLITE_WORKERS_MAX) if database_url.startswith("sqlite") else cores


def _is_fernet_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.encode(), altchars=b"-_", validate=True)) == 32
    except (binascii.Error, ValueError):
        return False


def _is_signing_secret(text: str) -> bool:
    try:
        return text.startswith("whsec_") and len(base64.b64decode(text[6:], validate=True)) >= 24
    except (binascii.Error, ValueError):
        return False
