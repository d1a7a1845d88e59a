"""Feeds as files, for a web server to serve: written whole or not at all, and deleted when their feed is gone.

The directory mirrors the addresses, with `.html` for the pages: `feeds/world.rss`, `feeds/world/3.atom`,
`feeds/world.html`, `feeds.html` (all feeds), `feeds.opml`, `sitemaps/news.xml`. A manifest in it names the written
files and their ETags; only files that it names are ever deleted. Beside each file are its compressed forms, `.gz`,
`.br` and `.zst`, so that a web server need not compress.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path

from feeds import NAMELESS, Masthead
from service import logs
from service.runtime import files
from service.serving import catalogue
from service.serving.compression import SUFFIXES
from service.serving.export_files import (
    ExportFile,
    constant,
    delete,
    digest,
    forms_of,
    path_of,
    plain_path,
    read_listed,
    write,
)
from service.store.database.record import Record
from service.store.feeds import documents, listings

log = logs.get("export")

MANIFEST = ".dateline.json"
LOCK = ".dateline.lock"
SITEMAPS = "sitemaps/"
# Takedowns are looked for as often as that, also in the midst of a round.
EXPORT_SECONDS = 0.5
# Rounds over all files take at most a twentieth of the time. One is made if anything changed, or after so long.
EXPORT_SHARE = 0.05
EXPORT_AGAIN_SECONDS = 30.0
# A document is made some time after its story was taken down.
TAKEDOWN_MARGIN = timedelta(minutes=5)
TAKEDOWN_LONGEST = timedelta(hours=1)
_SAFE = re.compile(
    r"[\w\x80-\U0010ffff-][\w.\x80-\U0010ffff-]*(/[\w\x80-\U0010ffff-][\w.\x80-\U0010ffff-]*)*", re.ASCII
)


@dataclass(frozen=True)
class ExportResult:
    """The work of one round, and the number of files now. `busy`: another process was exporting, so it did nothing."""

    written: int = 0
    deleted: int = 0
    files: int = 0
    busy: bool = False


class Exporter:
    """Keeps a directory equal to the record. Many processes may run it: one of them works at a time."""

    def __init__(
        self,
        record: Record,
        public_url: str,
        directory: Path,
        clock: Callable[[], datetime],
        masthead: Masthead = NAMELESS,
    ) -> None:
        self._record = record
        self._masthead = masthead
        self._public_url = public_url
        self._directory = directory
        self._clock = clock
        # Nobody else asks it, and each round is to find what was taken down before it.
        self._news = catalogue.NewsSitemap(record, public_url, clock, masthead.name, look_seconds=0)
        # A document's forms are written one after another: it is read once for all of them.
        self._body = lru_cache(maxsize=1)(partial(read_listed, record))
        # The state of the record at the last round over all files, and its time; the files that takedowns changed.
        self._state: documents.ChangeState | None = None
        self._complete_at: datetime | None = None
        self._round_at = float("-inf")
        self._takedowns: dict[str, ExportFile] = {}
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
        with self._locked() as locked:
            if not locked:
                return ExportResult(busy=True)
            state, began = documents.change_state(self._record), self._clock()
            manifest = self._read_manifest()
            files = dict(self._files())
            stale = [path for path, file in files.items() if not self._has(manifest, path, file.etag)]
            gone = [path for path in manifest if path not in files]
            if new := [path for path in stale if path not in manifest]:
                # Named before they exist: no file of ours is ever left behind.
                manifest |= dict.fromkeys(new, "")
                self._write_manifest(manifest)
            for path in gone:
                delete(self._directory, path)
                del manifest[path]
            looked, taken_down = time.monotonic(), set[str]()
            for path in stale:
                if self._closing.is_set():
                    break  # what is not in the manifest as it is now is written by the next round
                if time.monotonic() - looked >= EXPORT_SECONDS:
                    taken_down |= self._write_takedowns(manifest)
                    looked = time.monotonic()
                if plain_path(path) in taken_down:
                    continue  # what was read for it is of before; the next round writes its forms
                body = files[path].read()
                if body is not None:  # None: its feed was closed meanwhile, and the next round deletes it
                    write(self._directory / path, body)
                    manifest[path] = files[path].etag
            if stale or gone:
                self._write_manifest(manifest)
                log.info("feeds.exported", written=len(stale), deleted=len(gone), files=len(manifest))
            self._state, self._complete_at = state, began
            return ExportResult(len(stale), len(gone), len(manifest))

    def sync_takedowns(self) -> int:
        """Writes the files in which a story stood that was lately taken down; returns how many. Nothing else waits so.

        The plain file is written and its compressed forms are deleted: the next round over all files makes them.
        """
        if not self._directory.is_dir():
            return 0
        with self._locked() as locked:
            # Whoever is in the midst of a round looks for takedowns itself.
            return len(self._write_takedowns(self._read_manifest())) if locked else 0

    def _write_takedowns(self, manifest: dict[str, str]) -> set[str]:
        """The plain paths that it wrote or deleted."""
        found = self._takedown_files()
        if found == self._takedowns:
            return set()
        stale = {
            path: file
            for path, file in found.items()
            if manifest.get(path) != file.etag and (path in manifest or path.startswith(SITEMAPS))
        }
        if new := [path for path in stale if path not in manifest]:
            manifest |= dict.fromkeys(new, "")
            self._write_manifest(manifest)
        gone = [path for path in manifest if path.startswith(SITEMAPS) and path not in found]
        for path in gone:
            delete(self._directory, path)
            del manifest[path]
        for path in stale:
            for suffix in filter(None, SUFFIXES.values()):
                delete(self._directory, path + suffix)
        for path, file in stale.items():
            body = file.read()
            if body is not None:
                write(self._directory / path, body)
                manifest[path] = file.etag
        if stale or gone:
            self._write_manifest(manifest)
            log.info("feeds.takedowns_exported", written=len(stale), deleted=len(gone))
        self._takedowns = found
        return {plain_path(path) for path in (*stale, *gone)}

    def _takedown_files(self) -> dict[str, ExportFile]:
        """The plain files that takedowns of late have changed, and the news sitemap's in every form."""
        now = self._clock()
        since = max(min(now, self._complete_at or now) - TAKEDOWN_MARGIN, now - TAKEDOWN_LONGEST)
        found: dict[str, ExportFile] = {}
        for listed in listings.takedown_listing(self._record, since):
            path = path_of(listed)
            if _SAFE.fullmatch(path):
                found[path] = ExportFile(listed.etag, partial(read_listed, self._record, listed))
        return found | dict(self._sitemaps())

    def _sitemaps(self) -> Iterator[tuple[str, ExportFile]]:
        for name, body in self._news.files().items():
            yield from forms_of(SITEMAPS + name, digest(body), constant(body), best=False)

    def _run(self) -> None:
        due_at = time.monotonic()
        while not self._closing.wait(EXPORT_SECONDS):
            try:
                self.sync_takedowns()
                started = time.monotonic()
                if started >= due_at and self._has_changed(started):
                    self.sync()
                    self._round_at = time.monotonic()
                    due_at = self._round_at + (self._round_at - started) / EXPORT_SHARE
            except Exception as error:  # a full disk, a record that is away: the next round tries again
                log.warning("export.failed", error=f"{type(error).__name__}: {error}"[:300])

    def _has_changed(self, now: float) -> bool:
        if now - self._round_at >= EXPORT_AGAIN_SECONDS:
            return True
        return documents.change_state(self._record) != self._state

    def _files(self) -> Iterator[tuple[str, ExportFile]]:
        """Every file that there should be, by its path."""
        for listed in listings.listing(self._record):
            path = path_of(listed)
            if _SAFE.fullmatch(path):
                # An archive's page stays the same for years; a feed changes within minutes.
                read = partial(self._body, listed)
                yield from forms_of(path, listed.etag, read, best=listed.page is not None)
        catalogues = {
            "feeds.opml": catalogue.outline(self._record, self._public_url, self._masthead),
            "feeds.html": catalogue.index(self._record, self._public_url, self._masthead),
        }
        for path, body in catalogues.items():
            yield from forms_of(path, digest(body), constant(body), best=False)
        yield from self._sitemaps()

    def _read_manifest(self) -> dict[str, str]:
        """The ETags of the written files. If it is absent or damaged, all files are written again and none deleted."""
        try:
            manifest: dict[str, str] = json.loads((self._directory / MANIFEST).read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {path: etag for path, etag in manifest.items() if _SAFE.fullmatch(path)}

    def _write_manifest(self, manifest: dict[str, str]) -> None:
        write(self._directory / MANIFEST, json.dumps(manifest, sort_keys=True, indent=0).encode())

    def _has(self, manifest: dict[str, str], path: str, etag: str) -> bool:
        return manifest.get(path) == etag and (self._directory / path).is_file()

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        file = files.lock(self._directory / LOCK)
        try:
            yield file is not None
        finally:
            if file is not None:
                file.close()
