"""Files: whole or not there at all, for their owner alone if that is asked for; locks that end with their holder."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.runtime import files


def test_reader_of_a_file_that_is_written_again_and_again_never_finds_a_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    files.write_whole(path, contents[0])
    end = threading.Event()

    def write() -> None:
        while not end.is_set():
            for content in contents:
                files.write_whole(path, content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = {path.read_bytes() for _ in range(500)}
    finally:
        end.set()
        writer.join()
    assert found <= set(contents)
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_file_that_cannot_be_put_in_its_place_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "by").touch()
    with pytest.raises(OSError, match="directory"):
        files.write_whole(tmp_path / "taken", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_secret_file_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("for all")
    path.chmod(0o644)
    files.write_whole(path, b"mine", mode=files.OWNER_ONLY)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"mine", 0o600)


def test_of_many_that_write_a_file_once_exactly_one_does(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with ThreadPoolExecutor(16) as pool:
        contents = [f"key {number}".encode() for number in range(64)]
        written = list(pool.map(lambda content: files.write_once(path, content), contents))
    assert written.count(True) == 1
    assert path.read_bytes() == contents[written.index(True)]
    assert len(list(tmp_path.iterdir())) == 1


def test_lock_of_another_process_is_refused_until_that_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, pathlib; from service.runtime import files\n"
        "held = files.lock(pathlib.Path(sys.argv[1])); print(held is not None, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert files.lock(path) is None
        other.kill()
        other.wait(10)
    mine = files.lock(path)
    assert mine is not None
    mine.close()


def test_a_full_disk_is_named_with_the_file_that_found_no_room(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            files.write_whole(tmp_path / "up.json", b"{}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(tmp_path / "up.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "up.json: cannot be written: the disk is full (its space or its inodes); make room"),
        (errno.EDQUOT, "up.json: cannot be written: this user's disk quota is used up; make room"),
        (errno.EACCES, "up.json: Permission denied"),
    ],
)
def test_words_about_a_file_name_the_disk_only_if_the_disk_is_at_fault(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number), "up.json")
    assert files.disk_trouble(error) == words
    assert files.is_disk_trouble(error) == (number != errno.EACCES)
