"""Files that are there whole or not at all, also after a crash or a power cut; and locks that end with their holder."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO

OWNER_ONLY = 0o600
FOR_ALL = 0o666  # less what the process's umask takes away


def write_whole(path: Path, content: bytes, *, mode: int = FOR_ALL) -> None:
    """Writes the file: its readers find the former content or this, never a part. It is on the disk at the end.

    `mode` is the permissions of the new file, as `open` takes them: OWNER_ONLY for what is secret.
    """
    draft = _write_draft(path, content, mode)
    try:
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _sync_directory(path.parent)


def write_once(path: Path, content: bytes, *, mode: int = FOR_ALL) -> bool:
    """Writes the file unless it is there; whether it was not. Of several at once, exactly one writes it."""
    draft = _write_draft(path, content, mode)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    _sync_directory(path.parent)
    return True


def lock(path: Path) -> IO[str] | None:
    """The file, locked by this process until it is closed or the process ends in any way; None if another has it.

    The file stays when the lock ends: its content is that of the last holder.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _write_draft(path: Path, content: bytes, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    return draft


def _sync_directory(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
