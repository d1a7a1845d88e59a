"""Feeds as files, for a web server to serve: written whole or not at all, and deleted when their feed is gone.

The directory mirrors the addresses, with `.html` for the pages: `feeds/world.rss`, `feeds/world/3.atom`,
`feeds/world.html`, `feeds.html` (all feeds), `feeds.opml`, `sitemaps/news.xml`. A manifest in it names the written
files and their ETags; only files that it names are ever deleted. Beside each file are its compressed forms, `.gz`,
`.br` and `.zst`, so that a web server need not compress.
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
from service.store.feeds.archives import Listed

log = logs.get("export")

MANIFEST = ".dateline.json"
LOCK = ".dateline.lock"
EXPORT_SECONDS = 1.0  # between two rounds, which never take more than a twentieth of the time
_SAFE = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)


@dataclass(frozen=True)
class ExportResult:
    """The work of one round, and the number of files now. `busy`: another process was exporting, so it did nothing."""

    written: int = 0
    deleted: int = 0
    files: int = 0
    busy: bool = False


@dataclass(frozen=True)
class ExportFile:
    """A file that there should be. `read` gives its bytes; None if its feed is gone."""

    etag: str
    read: Callable[[], bytes | None]


class Exporter:
    """Keeps a directory equal to the record. Many processes may run it: one of them works at a time."""

    def __init__(
        self, record: Record, public_url: str, directory: Path, clock: Callable[[], datetime]
    ) -> None:
        self._record = record
        self._public_url = public_url
        self._directory = directory
        self._news = catalogue.NewsSitemap(record, public_url, clock)
        # A document's forms are written one after another: it is read once for all of them.
        self._body = lru_cache(maxsize=1)(partial(_read, record))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="export", daemon=True)

    def start(self) -> None:
        """Exports until `close`, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(5)

    def sync(self) -> ExportResult:
        """Writes changed files and deletes those that are gone. After a kill half-way, the next round does the rest."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._lock() as locked:
            if not locked:
                return ExportResult(busy=True)
            manifest = self._read_manifest()
            files = dict(self._files())
            stale = [path for path, file in files.items() if not self._has(manifest, path, file.etag)]
            gone = [path for path in manifest if path not in files]
            if new := [path for path in stale if path not in manifest]:
                # Named before they exist: no file of ours is ever left behind.
                manifest |= dict.fromkeys(new, "")
                self._write_manifest(manifest)
            for path in stale:
                body = files[path].read()
                if body is not None:  # None: its feed was closed meanwhile, and the next round deletes it
                    _write(self._directory / path, body)
                    manifest[path] = files[path].etag
            for path in gone:
                _delete(self._directory, path)
                del manifest[path]
            if stale or gone:
                self._write_manifest(manifest)
                log.info("feeds.exported", written=len(stale), deleted=len(gone), files=len(manifest))
            return ExportResult(len(stale), len(gone), len(manifest))

    def _run(self) -> None:
        pause = EXPORT_SECONDS
        while not self._closing.wait(pause):
            started = time.monotonic()
            try:
                self.sync()
            except Exception as error:  # a full disk, a record that is away: the next round tries again
                log.warning("export.failed", error=f"{type(error).__name__}: {error}"[:300])
            pause = max(EXPORT_SECONDS, 20 * (time.monotonic() - started))

    def _files(self) -> Iterator[tuple[str, ExportFile]]:
        """Every file that there should be, by its path."""
        for listed in archives.listing(self._record):
            path = _path(listed)
            if _SAFE.fullmatch(path):
                # An archive's page stays the same for years; a feed changes within minutes.
                read = partial(self._body, listed)
                yield from _forms(path, listed.etag, read, best=listed.page is not None)
        catalogues = {
            "feeds.opml": catalogue.outline(self._record, self._public_url),
            "feeds.html": catalogue.index(self._record, self._public_url),
            **{f"sitemaps/{name}": body for name, body in self._news.files().items()},
        }
        for path, body in catalogues.items():
            yield from _forms(path, hashlib.sha256(body).hexdigest()[:32], _constant(body), best=False)

    def _read_manifest(self) -> dict[str, str]:
        """The ETags of the written files. If it is absent or damaged, all files are written again and none deleted."""
        try:
            manifest: dict[str, str] = json.loads((self._directory / MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {path: etag for path, etag in manifest.items() if _SAFE.fullmatch(path)}

    def _write_manifest(self, manifest: dict[str, str]) -> None:
        _write(self._directory / MANIFEST, json.dumps(manifest, sort_keys=True, indent=0).encode())

    def _has(self, manifest: dict[str, str], path: str, etag: str) -> bool:
        return manifest.get(path) == etag and (self._directory / path).is_file()

    @contextmanager
    def _lock(self) -> Iterator[bool]:
        with (self._directory / LOCK).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _path(listed: Listed) -> str:
    page = "" if listed.page is None else f"/{listed.page}"
    return f"feeds/{listed.feed}{page}.{listed.format}"


def _read(record: Record, listed: Listed) -> bytes | None:
    if listed.page is None:
        found = documents.get_document(record, listed.feed, listed.format)
    else:
        found = archives.get_page(record, listed.feed, listed.page, listed.format)
    return None if found is None else found.body


def _forms(
    path: str, etag: str, read: Callable[[], bytes | None], *, best: bool
) -> Iterator[tuple[str, ExportFile]]:
    """A file and its compressed forms, one after another."""

    def compressed(coding: Coding) -> bytes | None:
        body = read()
        return None if body is None else compress(body, coding, best=best)

    for coding, suffix in SUFFIXES.items():
        yield path + suffix, ExportFile(etag, partial(compressed, coding))


def _constant(body: bytes) -> Callable[[], bytes]:
    return lambda: body


def _write(path: Path, body: bytes) -> None:
    """A reader of the file finds the former bytes or these, whole, even after a power failure."""
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
