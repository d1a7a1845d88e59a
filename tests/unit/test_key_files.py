"""Key files: made once, at the first start, for their owner alone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import settings
from service.runtime import key_files
from service.settings import SettingsError


def test_keys_are_made_once_in_files_that_only_their_owner_can_read(tmp_path: Path) -> None:
    desk = settings.load(data_dir=tmp_path / "desk")
    first = key_files.ensure_keys(desk)
    assert first.operator_token
    assert first.secret_key
    assert key_files.ensure_keys(desk) == first
    for name in (key_files.TOKEN_FILE, key_files.KEY_FILE):
        assert stat.S_IMODE((tmp_path / "desk" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "desk").stat().st_mode) == 0o700
    assert len(list((tmp_path / "desk").iterdir())) == 2


def test_keys_that_are_set_are_not_made(tmp_path: Path) -> None:
    key = "A" * 43 + "="
    desk = settings.load(data_dir=tmp_path / "desk", operator_token="given-by-an-operator", secret_key=key)
    assert key_files.ensure_keys(desk) == desk
    assert not (tmp_path / "desk").exists()


@pytest.mark.parametrize("setting", ["operator_token", "metrics_token"])
@pytest.mark.parametrize("token", ["a", "fifteen-letters", "a" * 40, "abc" * 10])
def test_no_part_starts_with_a_token_that_can_be_guessed(tmp_path: Path, setting: str, token: str) -> None:
    desk = settings.load(data_dir=tmp_path / "desk").model_copy(update={setting: token})
    with pytest.raises(SettingsError, match=f"DATELINE_{setting.upper()}: the .*write a longer one"):
        key_files.ensure_keys(desk)


def test_token_in_its_file_that_can_be_guessed_is_refused_by_the_files_name(tmp_path: Path) -> None:
    (tmp_path / key_files.TOKEN_FILE).write_text("a\n")
    with pytest.raises(
        SettingsError, match=f"{key_files.TOKEN_FILE}: the operator's token has one character"
    ):
        key_files.ensure_keys(settings.load(data_dir=tmp_path))


def test_processes_that_start_at_once_get_the_same_keys(tmp_path: Path) -> None:
    desk = settings.load(data_dir=tmp_path / "desk")
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: key_files.ensure_keys(desk), range(64)))
    assert {one.operator_token for one in made} == {made[0].operator_token}
    assert {one.secret_key for one in made} == {made[0].secret_key}


def test_emptied_key_file_is_reported_instead_of_used(tmp_path: Path) -> None:
    desk = settings.load(data_dir=tmp_path)
    (tmp_path / key_files.KEY_FILE).write_text("\n")
    with pytest.raises(SettingsError, match="restore it from a backup"):
        key_files.ensure_keys(desk)


def test_a_webhook_for_notices_gets_a_secret_of_its_own_made_once(tmp_path: Path) -> None:
    desk = settings.load(data_dir=tmp_path)
    assert key_files.ensure_keys(desk).notice_secret == ""
    desk = settings.load(data_dir=tmp_path, notice_url="https://ops.example.org/dateline")
    secret = key_files.ensure_keys(desk).notice_secret
    assert secret.startswith("whsec_")
    assert key_files.ensure_keys(desk).notice_secret == secret
    assert settings.load(data_dir=tmp_path, notice_secret=secret).notice_secret == secret
