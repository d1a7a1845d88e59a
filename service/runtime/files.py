"""Files that are there whole or not at all, also after a crash or a power cut; and locks that end with their holder."""

from __future__ import annotations

import errno
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


def disk_trouble(error: OSError) -> str:
    """The fault of a file that could not be used, in words that name the file and the disk where it is at fault."""
    words = _OF_DISK.get(error.errno or 0) or error.strerror or str(error) or "cannot be used"
    return f"{error.filename}: {words}" if error.filename else words


def is_disk_trouble(error: OSError) -> bool:
    """Whether the disk is at fault: no other owner or permission helps."""
    return error.errno in _OF_DISK


_OF_DISK = {
    errno.ENOSPC: "cannot be written: the disk is full (its space or its inodes); make room",
    errno.EDQUOT: "cannot be written: this user's disk quota is used up; make room",
    errno.EFBIG: "cannot be written: the file would be larger than a limit allows (ulimit -f, or the file system's)",
    errno.EROFS: "cannot be written: the disk is mounted read-only; see the kernel's log (dmesg) for why",
    errno.EIO: "cannot be used: the disk reports an error; see the kernel's log (dmesg)",
    errno.EMFILE: "cannot be opened: this process has too many open files (ulimit -n)",
    errno.ENFILE: "cannot be opened: this machine has too many open files",
}


def _write_draft(path: Path, content: bytes, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        with os.fdopen(os.open(draft, flags, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a fault of writing has no name, one of opening that of the draft
        raise
    return draft


def _sync_directory(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
