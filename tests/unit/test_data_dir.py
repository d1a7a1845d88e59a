"""The data directory and the record are for their owner alone, also where the directory was there before."""

from __future__ import annotations

import stat
from pathlib import Path

from service.runtime import data_dir
from service.store.database.record import open_record
from tests.conftest import KEY


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_empty_directory_that_was_open_to_all_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    folder.chmod(0o755)
    assert data_dir.make_private(folder) is None
    assert mode_of(folder) == 0o700


def test_a_directory_that_dateline_has_used_before_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "secret-key").write_text("x")
    tmp_path.chmod(0o755)
    assert data_dir.make_private(tmp_path) is None
    assert mode_of(tmp_path) == 0o700


def test_a_directory_with_other_things_in_it_stays_as_it_is_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    tmp_path.chmod(0o755)
    words = data_dir.make_private(tmp_path)
    assert words is not None
    assert f"chmod 700 {tmp_path}" in words
    assert mode_of(tmp_path) == 0o755


def test_the_record_on_sqlite_is_readable_by_its_owner_alone_new_or_old(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    path = tmp_path / "dateline.db"
    for _ in range(2):
        record = open_record(f"sqlite:///{path}", KEY)
        with record.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS one (id INTEGER)")
        assert {each.name: mode_of(each) for each in tmp_path.iterdir()} == dict.fromkeys(
            ("dateline.db", "dateline.db-wal", "dateline.db-shm"), 0o600
        )
        for each in tmp_path.iterdir():
            each.chmod(0o644)  # as an earlier version left them
        record.close()
