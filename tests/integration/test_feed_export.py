"""The feeds as files: the same bytes as over HTTP, whole at any moment, and gone with their feed."""

from __future__ import annotations

import fcntl
import gzip
import json
import threading
import time
from pathlib import Path
from typing import Any

import brotli
import pytest
import zstandard

from service.serving.compression import SUFFIXES
from service.serving.export import EXPORT_SECONDS, LOCK, MANIFEST, Exporter, ExportResult
from service.store import operations
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.feeds.feeds import ARCHIVE_PAGE
from tests.builders import a_desk, a_takedown, an_article, later, post
from tests.feed_desk import URL, FeedDesk

FORMS = len(SUFFIXES)  # plain, gzip, br, zstd


@pytest.fixture
def desk(sqlite_record: Record) -> FeedDesk:
    return FeedDesk(sqlite_record)


@pytest.fixture
def source(desk: FeedDesk) -> Source:
    made = a_desk(desk.record)
    for n in range(ARCHIVE_PAGE):
        post(desk.record, made, an_article(external_id=str(n), packages=["p"]), now=later(n / 100))
    desk.work(later(1))
    return made


def exporter(desk: FeedDesk, directory: Path) -> Exporter:
    return Exporter(desk.record, URL, directory, lambda: desk.now)


def files(directory: Path) -> dict[str, bytes]:
    found = (path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_files_equal_the_served_documents(desk: FeedDesk, source: Source, tmp_path: Path) -> None:
    done = exporter(desk, tmp_path / "out").sync()
    found = files(tmp_path / "out")
    assert done == ExportResult(written=len(found), deleted=0, files=len(found))
    for slug in ("world", "all", "package/p", "language/en", "source/wire"):
        for fmt in ("rss", "atom", "json", "html"):
            assert found[f"feeds/{slug}.{fmt}"] == desk.body(slug, fmt)
        for fmt in ("rss", "atom"):
            assert found[f"feeds/{slug}/1.{fmt}"] == desk.body(slug, fmt, 1)
    assert b"<opml" in found["feeds.opml"]
    assert b"<h1>Feeds</h1>" in found["feeds.html"]
    assert not [path for path in found if path.startswith("sitemaps/")]  # no story has an address of its own
    assert not list((tmp_path / "out").rglob(".*.*.????????"))
    for path, body in found.items():
        if not path.endswith((".gz", ".br", ".zst")):
            assert gzip.decompress(found[f"{path}.gz"]) == body
            assert brotli.decompress(found[f"{path}.br"]) == body
            assert zstandard.ZstdDecompressor().decompress(found[f"{path}.zst"]) == body


def test_only_changed_files_are_written(desk: FeedDesk, source: Source, tmp_path: Path) -> None:
    exporter(desk, tmp_path).sync()
    assert exporter(desk, tmp_path).sync().written == 0
    before = (tmp_path / "feeds/china.rss").stat().st_ino, (tmp_path / "feeds/world.rss").stat().st_ino
    post(desk.record, source, an_article(external_id="0", headline="Changed"), now=later(10))
    desk.work(later(10))
    assert exporter(desk, tmp_path).sync().written == 5 * (4 + 2) * FORMS
    after = (tmp_path / "feeds/china.rss").stat().st_ino, (tmp_path / "feeds/world.rss").stat().st_ino
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    (tmp_path / "feeds/world.rss").unlink()
    assert exporter(desk, tmp_path).sync().written == 1


def test_the_files_of_a_renamed_and_of_a_closed_section_go_and_others_files_stay(
    desk: FeedDesk, source: Source, tmp_path: Path
) -> None:
    exporter(desk, tmp_path).sync()
    (tmp_path / "feeds/world/theirs.txt").write_text("not ours")
    (tmp_path / "feeds/robots.txt").write_text("not ours")
    operations.rename_section(desk.record, "world", "abroad", actor="operator", now=later(2))
    operations.close_section(desk.record, "china", actor="operator", now=later(2))
    desk.work(later(2))
    exporter(desk, tmp_path).sync()
    found = files(tmp_path)
    ours = {path for path in found if path.startswith(("feeds/world", "feeds/china"))}
    assert ours == {"feeds/world/theirs.txt"}
    assert found["feeds/robots.txt"] == b"not ours"
    assert "feeds/abroad/1.rss" in found
    operations.close_section(desk.record, "abroad", actor="operator", now=later(3))
    exporter(desk, tmp_path).sync()
    assert not (tmp_path / "feeds/abroad").exists()


def test_a_damaged_manifest_deletes_nothing_and_leads_nowhere_outside(
    desk: FeedDesk, source: Source, tmp_path: Path
) -> None:
    out, outside = tmp_path / "out", tmp_path / "precious"
    exporter(desk, out).sync()
    outside.write_text("precious")
    (out / MANIFEST).write_text(json.dumps({"../precious": "x", "/etc/hostname": "x"}))
    exporter(desk, out).sync()
    (out / MANIFEST).write_text("{")
    assert exporter(desk, out).sync().deleted == 0
    assert outside.read_text() == "precious"


def test_one_process_at_a_time_works_on_a_directory(desk: FeedDesk, source: Source, tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert exporter(desk, tmp_path).sync() == ExportResult(busy=True)
    assert exporter(desk, tmp_path).sync().written > 0


def test_failed_write_leaves_the_former_file_whole(
    desk: FeedDesk, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporter(desk, tmp_path / "out").sync()
    former = files(tmp_path / "out")
    post(desk.record, source, an_article(external_id="0", headline="Changed"), now=later(10))
    desk.work(later(10))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            exporter(desk, tmp_path / "out").sync()
    assert files(tmp_path / "out") == former
    assert exporter(desk, tmp_path / "out").sync().written == 5 * (4 + 2) * FORMS


def test_a_started_exporter_follows_the_record_by_itself(
    desk: FeedDesk, source: Source, tmp_path: Path
) -> None:
    running = exporter(desk, tmp_path / "out")
    running.start()
    try:
        wanted = desk.body("package/p", "rss")
        deadline = time.monotonic() + 20
        while files(tmp_path / "out").get("feeds/package/p.rss") != wanted:
            assert time.monotonic() < deadline, "the exporter wrote nothing"
            threading.Event().wait(0.05)
    finally:
        running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "export"]


def test_a_killed_story_leaves_the_files_at_once_and_no_round_over_all_files_is_waited_for(
    desk: FeedDesk, source: Source, tmp_path: Path
) -> None:
    words = {"external_id": "7", "headline": "Wrong person named", "url": "https://paper.example/7"}
    post(desk.record, source, an_article(**words, packages=["p"]), now=later(5))
    desk.work(later(5))
    running = exporter(desk, tmp_path / "out")
    running.sync()
    holding = {path for path, body in files(tmp_path / "out").items() if b"Wrong person named" in body}
    assert {"feeds/world.rss", "feeds/world.json", "feeds/package/p/1.atom", "sitemaps/news.xml"} <= holding
    post(desk.record, source, a_takedown("killed", external_id="7"), now=later(10))
    desk.work(later(10))
    wall = time.monotonic()
    assert running.sync_takedowns() > 0
    assert time.monotonic() - wall < 5
    for path, body in files(tmp_path / "out").items():
        plain = brotli.decompress(body) if path.endswith(".br") else body
        plain = gzip.decompress(body) if path.endswith(".gz") else plain
        plain = zstandard.ZstdDecompressor().decompress(body) if path.endswith(".zst") else plain
        assert b"Wrong person named" not in plain, path
    assert not (tmp_path / "out/feeds/world.rss.gz").exists()
    assert running.sync_takedowns() == 0
    running.sync()
    assert gzip.decompress((tmp_path / "out/feeds/world.rss.gz").read_bytes()) == desk.body("world", "rss")
    assert not (tmp_path / "out/sitemaps").exists()


def test_takedowns_are_looked_for_twice_a_second_whatever_a_round_took() -> None:
    assert EXPORT_SECONDS <= 0.5
