"""The guard of a libcurl handle at its socket: the very address that it is about to connect to is judged."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import pycurl

from service.settings import Network
from workers.net import address_guard


class SocketGuard:
    """Opens the sockets of one handle. `begin` before each transfer, `end` after it."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = tuple(allowed)
        self._refusal: str | None = None
        self._dialled = False
        self._sockets: list[socket.socket] = []  # our ends, which pycurl has duplicated

    @property
    def blocked(self) -> str | None:
        """The reason why nothing was called, in words; None once a socket to an allowed address was opened."""
        return None if self._dialled else self._refusal

    def set_up(self, curl: pycurl.Curl) -> None:
        """Sets what keeps a handle to the address that it was given: no redirect, no proxy, no other protocol."""
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.PROXY, ""),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.OPENSOCKETFUNCTION, self._open),
        ):
            curl.setopt(option, value)

    def begin(self) -> None:
        self._refusal = None
        self._dialled = False

    def end(self) -> None:
        """pycurl works with a duplicate of the socket that it gets: ours is to be closed, but afterwards."""
        while self._sockets:
            self._sockets.pop().close()

    def _open(self, _purpose: int, address: Any) -> socket.socket | int:
        family, kind, protocol, target = address
        self.end()
        if not isinstance(target, tuple):
            self._refusal = "its address is not an internet address"
            return int(pycurl.SOCKET_BAD)
        if words := address_guard.refusal(str(target[0]), int(target[1]), self._allowed):
            self._refusal = words
            return int(pycurl.SOCKET_BAD)
        self._dialled = True
        opened = socket.socket(family, kind, protocol)
        self._sockets.append(opened)
        return opened
