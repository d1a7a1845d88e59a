"""One connection to a server, byte by byte: what a client sends in which chunks, and what comes back."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from types import TracebackType


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Wire:
    def __init__(self, port: int, *, room: int | None = None) -> None:
        """`room`: how much the kernel keeps of what is not read."""
        self._socket = socket.socket()
        if room is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self._socket.settimeout(20)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, *chunks: bytes) -> Wire:
        """Each chunk on its own: the server reads it before the next one comes."""
        for number, chunk in enumerate(chunks):
            if number:
                time.sleep(0.05)
            self._socket.sendall(chunk)
        return self

    def send_what_goes(self, data: bytes) -> int:
        """As much as the kernel takes at once; returns how much that was."""
        self._socket.setblocking(False)
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        finally:
            self._socket.settimeout(20)

    def reply(self, *, head_only: bool = False) -> Reply:
        """The next answer. Fails if the connection ends before it is whole."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        status = int(first.split()[1])
        length = 0 if head_only or status in {204, 304} else int(headers["content-length"])
        while len(self._read) < length:
            self._more()
        body, self._read = self._read[:length], self._read[length:]
        return Reply(status, headers, body)

    def expect(self, first: bytes) -> None:
        """The next bytes are these."""
        while len(self._read) < len(first):
            self._more()
        assert self._read.startswith(first), self._read
        self._read = self._read[len(first) :]

    def ends(self) -> bool:
        """Whether the server closes the connection now, with nothing more to say."""
        try:
            return self._read == b"" and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def stays(self, seconds: float) -> bool:
        """Whether the server lets the connection be for so long, and says nothing."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(20)
        return False

    def _more(self) -> None:
        got = self._socket.recv(1 << 16)
        assert got, f"the connection ended after {self._read!r}"
        self._read += got
