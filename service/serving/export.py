"""Feeds as files, for a web server to serve: written whole or not at all, and deleted when their feed is gone.

The directory mirrors the addresses, with `.html` for the pages: `feeds/world.rss`, `feeds/world/3.atom`,
`feeds/world.html`, `feeds.html` (all feeds), `feeds.opml`, `sitemaps/news.xml`. A manifest in it names what was
written, in which state; only what it names is ever deleted. Beside each file stand its compressed forms, `.gz`, `.br`
and `.zst`, so that a web server need not compress.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path

from service import logs
from service.serving import catalogue
from service.serving.compression import SUFFIXES, Coding, compress
from service.store.database.record import Record
from service.store.feeds import archives, documents
from service.store.feeds.archives import Listing

log = logs.get("export")

MANIFEST = ".dateline.json"
LOCK = ".dateline.lock"
EVERY = 1.0  # seconds; and never more than a twentieth of the time
_SAFE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)


@dataclass(frozen=True)
class Exported:
    """What one round did, and how many files there are now. `busy`: another process was at it, so nothing."""

    written: int = 0
    deleted: int = 0
    files: int = 0
    busy: bool = False


class Exporter:
    """Keeps a directory equal to the record. Safe to run in many processes: one of them at a time works."""

    def __init__(
        self, record: Record, public_url: str, directory: Path, clock: Callable[[], datetime]
    ) -> None:
        self._record = record
        self._public_url = public_url
        self._directory = directory
        self._news = catalogue.NewsMap(record, public_url, clock)
        # A document's forms are written one after another: it is read once for all of them.
        self._body = lru_cache(maxsize=1)(partial(_read, record))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="export", daemon=True)

    def start(self) -> None:
        """Goes on until `close`, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def sync(self) -> Exported:
        """Writes what has changed and deletes what is gone. Killed half-way, the next round does the rest."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._locked() as mine:
            if not mine:
                return Exported(busy=True)
            held = self._manifest()
            wanted = dict(self._wanted())
            stale = [path for path, (etag, _) in wanted.items() if not self._has(held, path, etag)]
            gone = [path for path in held if path not in wanted]
            if new := [path for path in stale if path not in held]:
                held |= dict.fromkeys(
                    new, ""
                )  # named before they are there: nothing of ours is ever left behind
                self._keep(held)
            for path in stale:
                body = wanted[path][1]()
                if body is not None:  # else its feed went meanwhile: the next round knows
                    _write(self._directory / path, body)
                    held[path] = wanted[path][0]
            for path in gone:
                _delete(self._directory, path)
                del held[path]
            if stale or gone:
                self._keep(held)
                log.info("feeds.exported", written=len(stale), deleted=len(gone), files=len(held))
            return Exported(len(stale), len(gone), len(held))

    def _run(self) -> None:
        pause = EVERY
        while not self._closing.wait(pause):
            started = time.monotonic()
            try:
                self.sync()
            except Exception as error:  # a full disk, a record that is away: the next round tries again
                log.warning("export.failed", error=f"{type(error).__name__}: {error}"[:300])
            pause = max(EVERY, 20 * (time.monotonic() - started))

    def _wanted(self) -> Iterator[tuple[str, tuple[str, Callable[[], bytes | None]]]]:
        """Every file there should be: its path, its state, and how to read its bytes."""
        for listed in archives.listing(self._record):
            path = _path(listed)
            if _SAFE.fullmatch(path):
                # An archive's page stays as it is for years; a feed is another in a minute.
                read = partial(self._body, listed)
                yield from _forms(path, listed.etag, read, best=listed.page is not None)
        made = {
            "feeds.opml": catalogue.outline(self._record, self._public_url),
            "feeds.html": catalogue.index(self._record, self._public_url),
            **{f"sitemaps/{name}": body for name, body in self._news.files().items()},
        }
        for path, body in made.items():
            yield from _forms(path, hashlib.sha256(body).hexdigest()[:32], _constant(body), best=False)

    def _manifest(self) -> dict[str, str]:
        """What was written. Without it, or if it is damaged, everything is written anew and nothing deleted."""
        try:
            held: dict[str, str] = json.loads((self._directory / MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {path: etag for path, etag in held.items() if _SAFE.fullmatch(path)}

    def _keep(self, held: dict[str, str]) -> None:
        _write(self._directory / MANIFEST, json.dumps(held, sort_keys=True, indent=0).encode())

    def _has(self, held: dict[str, str], path: str, etag: str) -> bool:
        return held.get(path) == etag and (self._directory / path).is_file()

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        with (self._directory / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _path(listed: Listing) -> str:
    page = "" if listed.page is None else f"/{listed.page}"
    return f"feeds/{listed.feed}{page}.{listed.format}"


def _read(record: Record, listed: Listing) -> bytes | None:
    if listed.page is None:
        found = documents.get_document(record, listed.feed, listed.format)
    else:
        found = archives.get_page(record, listed.feed, listed.page, listed.format)
    return None if found is None else found.body


def _forms(
    path: str, etag: str, read: Callable[[], bytes | None], *, best: bool
) -> Iterator[tuple[str, tuple[str, Callable[[], bytes | None]]]]:
    """A file and its compressed forms, one after another."""

    def compressed(coding: Coding) -> bytes | None:
        body = read()
        return None if body is None else compress(body, coding, best=best)

    for coding, suffix in SUFFIXES.items():
        yield path + suffix, (etag, partial(compressed, coding))


def _constant(body: bytes) -> Callable[[], bytes]:
    return lambda: body


def _write(path: Path, body: bytes) -> None:
    """A reader of the file finds the former bytes or these, whole, even after the power has failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _delete(directory: Path, path: str) -> None:
    """The file, and the folders that it leaves empty."""
    (directory / path).unlink(missing_ok=True)
    for folder in list((directory / path).parents)[: path.count("/")]:
        try:
            folder.rmdir()
        except OSError:
            return
