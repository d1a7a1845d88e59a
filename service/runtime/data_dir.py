"""The data directory: for its owner alone, also if it was there before."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from service.runtime.key_files import KEY_FILE, TOKEN_FILE

OTHERS = 0o077
# In a directory with one of these Dateline has been at home before.
OURS = (KEY_FILE, TOKEN_FILE, "dateline.db", "up.lock")


def make_private(folder: Path) -> str | None:
    """Makes the directory if need be, for its owner alone; in words why other users can still look into it.

    One that was there is closed to others if it is empty or Dateline's; in another one there may be something that
    others need.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if not mode & OTHERS:
        return None
    if _is_ours(folder):
        with suppress(OSError):
            folder.chmod(mode & 0o7700)
            return None
    return (
        f"other users can look into {folder}, though not into the record and the keys: "
        f"chmod 700 {folder}, or choose a directory of its own with --data-dir"
    )


def _is_ours(folder: Path) -> bool:
    if folder.stat().st_uid != os.getuid():
        return False
    return not any(folder.iterdir()) or any((folder / name).exists() for name in OURS)
