"""Requests that are not pushes: by the `requests` library, and only to where pushes may go (address_guard.py).

The address is judged as it is connected to, so a name that leads elsewhere the next time gains nothing. Redirects,
proxies, cookies and netrc are never used.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from service.settings import Network
from workers.net import address_guard

TIMEOUTS = (5.0, 15.0)  # seconds: to connect, and between two bytes of the answer


class Blocked(OSError):
    """No address of the host may be called. The text says why."""


class GuardedClient:
    """Sends POSTs; keeps no cookies. For one thread; close() when done."""

    def __init__(self, allowed: Sequence[Network], *, user_agent: str) -> None:
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["User-Agent"] = user_agent
        adapter = _GuardedAdapter(tuple(allowed))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int | None, str]:
        """(status, words); the status is None if no answer came. The answer's body is not read."""
        try:
            answer = self._session.post(
                url, data=body, headers=headers, timeout=TIMEOUTS, allow_redirects=False, stream=True
            )
        except requests.RequestException as error:
            return None, _why(error)
        self._session.cookies.clear()
        answer.close()
        return answer.status_code, f"answered {answer.status_code} {answer.reason or ''}".strip()

    def close(self) -> None:
        self._session.close()


def _why(error: BaseException) -> str:
    """The guard's words if it was the guard, else the error's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Blocked):
            return f"was not called: {cause}"
        reason = cause.args[0] if cause.args else None
        cause = (
            cause.__cause__ or cause.__context__ or (reason if isinstance(reason, BaseException) else None)
        )
    return f"was not reached: {type(error).__name__}: {error}"[:300]


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, allowed: tuple[Network, ...]) -> None:
        self._allowed = allowed
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._allowed)


def _pools(allowed: tuple[Network, ...]) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _dial(self._dns_host, self.port or 80, self.timeout, allowed)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _dial(self._dns_host, self.port or 443, self.timeout, allowed)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _dial(host: str, port: int, timeout: Any, allowed: Sequence[Network]) -> socket.socket:
    """A socket connected to the first of the host's addresses that may be called and answers. Raises OSError."""
    failure: OSError = Blocked("its name leads to no address")
    for family, kind, protocol, _, target in socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM
    ):
        if words := address_guard.refusal(str(target[0]), port, allowed):
            failure = Blocked(words) if isinstance(failure, Blocked) else failure
            continue
        opened = socket.socket(family, kind, protocol)
        try:
            opened.settimeout(timeout if isinstance(timeout, int | float) else TIMEOUTS[0])
            opened.connect(target)
        except OSError as error:
            opened.close()
            failure = error
        else:
            return opened
    raise failure
