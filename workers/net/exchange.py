"""One HTTP exchange as libcurl saw it, before anybody has judged it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Exchange(NamedTuple):
    """The bare facts of one HTTP exchange as libcurl tells them. Times are µs since its start (0: never).

    `code` and `error` are CURLE_… and its text; `verify` is OpenSSL's X509_V_… of the certificate; `errno` is the
    system's, of a connection that failed;
    `header_lines` all header lines received, status lines too; `blocked` the guard's words, if every address
    of the host was refused; `cut`: the body was not read to its end because it is too long.
    """

    code: int
    error: str
    status: int
    header_lines: Sequence[bytes]
    body: bytes
    cut: bool
    blocked: str | None
    verify: int
    request_bytes: int
    new_connections: int
    address: str
    https: bool
    lookup: int
    connected: int
    secured: int
    sent: int
    first_byte: int
    total: int
    errno: int = 0
