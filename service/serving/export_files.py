"""The files of the export: their paths, their forms, and how they are written and deleted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from service.runtime import files
from service.serving.compression import SUFFIXES, Coding, compress
from service.store.database.record import Record
from service.store.feeds import archives, documents
from service.store.feeds.listings import Listing


@dataclass(frozen=True)
class ExportFile:
    """A file that there should be. `read` gives its bytes; None if its feed is gone."""

    etag: str
    read: Callable[[], bytes | None] = field(compare=False)


def path_of(listed: Listing) -> str:
    page = "" if listed.page is None else f"/{listed.page}"
    return f"feeds/{listed.feed}{page}.{listed.format}"


def plain_path(path: str) -> str:
    """The path of the file of which this is a form."""
    return re.sub(r"\.(gz|br|zst)$", "", path)


def read_listed(record: Record, listed: Listing) -> bytes | None:
    if listed.page is None:
        found = documents.get_document(record, listed.feed, listed.format)
    else:
        found = archives.get_page(record, listed.feed, listed.page, listed.format)
    return None if found is None else found.body


def forms_of(
    path: str, etag: str, read: Callable[[], bytes | None], *, best: bool
) -> Iterator[tuple[str, ExportFile]]:
    """A file and its compressed forms, one after another."""

    def compressed(coding: Coding) -> bytes | None:
        body = read()
        return None if body is None else compress(body, coding, best=best)

    for coding, suffix in SUFFIXES.items():
        yield path + suffix, ExportFile(etag, partial(compressed, coding))


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def constant(body: bytes) -> Callable[[], bytes]:
    return lambda: body


def write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, body)


def delete(directory: Path, path: str) -> None:
    """The file, and the folders that it leaves empty."""
    (directory / path).unlink(missing_ok=True)
    for folder in list((directory / path).parents)[: path.count("/")]:
        try:
            folder.rmdir()
        except OSError:
            return
