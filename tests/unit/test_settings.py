"""Settings: read once and checked; the refusal of a wrong one names the variable."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from service import settings
from service.runtime import key_files
from service.settings import SettingsError


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("DATELINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_to_be_set() -> None:
    loaded = settings.load()
    assert (loaded.host, loaded.port) == ("127.0.0.1", 8600)
    assert loaded.data_dir == Path.cwd() / "var"
    assert loaded.database_url == f"sqlite:///{Path.cwd()}/var/dateline.db"
    assert loaded.public_url == "http://127.0.0.1:8600"
    assert loaded.redis_url == ""
    assert loaded.feeds_listen == ""
    assert 1 <= loaded.workers <= 2


def test_environment_wins_over_the_env_file_and_the_command_line_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("DATELINE_LISTEN=127.0.0.1:1111\nDATELINE_LOG_LEVEL=debug\nPOSTGRES_PASSWORD=x\n")
    monkeypatch.setenv("DATELINE_LISTEN", "127.0.0.1:2222")
    assert settings.load().listen == "127.0.0.1:2222"
    assert settings.load().log_level == "debug"
    assert settings.load(listen="127.0.0.1:3333").listen == "127.0.0.1:3333"
    assert settings.load(listen=None).listen == "127.0.0.1:2222"


def test_record_follows_the_data_directory(tmp_path: Path) -> None:
    assert settings.load(data_dir=tmp_path / "desk").database_url == f"sqlite:///{tmp_path}/desk/dateline.db"


def test_public_url_follows_where_it_listens_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.load(listen="0.0.0.0:9000").public_url == "http://localhost:9000"
    assert settings.load(listen="[::1]:9000").public_url == "http://[::1]:9000"
    assert settings.load(listen="[::1]:9000").host == "::1"
    monkeypatch.setenv("DATELINE_PUBLIC_URL", "https://news.example/wire/")
    assert settings.load(listen="0.0.0.0:9000").public_url == "https://news.example/wire"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("LISTEN", "8600", "127.0.0.1:8600"),
        ("LISTEN", "localhost:seventy", "127.0.0.1:8600"),
        ("LISTEN", "localhost:70000", "127.0.0.1:8600"),
        ("FEEDS_LISTEN", "8601", "127.0.0.1:8601"),
        ("FEEDS_LISTEN", "127.0.0.1:8600", "where the web answers"),
        ("PUBLIC_URL", "news.example", "https://news.example.org"),
        ("DATABASE_URL", "mysql://root@db/dateline", "postgresql+psycopg://"),
        ("REDIS_URL", "localhost:6379", "redis://host:6379/0"),
        ("SECRET_KEY", "too short", "32 bytes"),
        ("OPERATOR_TOKEN", "two words", "openssl rand"),
        ("ALLOW_NETWORKS", "10.0.0.0/8,intranet", "intranet"),
        ("ALLOW_HTTP", "perhaps", "boolean"),
        ("WORKERS", "0", "greater than or equal to 1"),
        ("LOG_LEVEL", "chatty", "debug, info, warning, error"),
    ],
)
def test_wrong_value_is_refused_in_words_that_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(f"DATELINE_{name}", value)
    with pytest.raises(SettingsError) as refused:
        settings.load()
    assert str(refused.value).startswith(f"DATELINE_{name}: ")
    assert remedy in str(refused.value)
    assert str(refused.value).count("DATELINE_") == 1


def test_misspelt_setting_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATELINE_REDSI_URL", "redis://localhost")
    with pytest.raises(SettingsError, match="did you mean DATELINE_REDIS_URL"):
        settings.load()


def test_misspelt_setting_in_the_env_file_is_refused_too() -> None:
    Path(".env").write_text("DATELINE_LISTNE=127.0.0.1:1\n")
    with pytest.raises(SettingsError, match=r"in \.env.*did you mean DATELINE_LISTEN"):
        settings.load()


def test_hosting_platforms_database_urls_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATELINE_DATABASE_URL", "postgres://u:p@db/dateline")
    loaded = settings.load()
    assert loaded.database_url == "postgresql+psycopg://u:p@db/dateline"
    assert not loaded.on_sqlite


def test_networks_are_read_from_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATELINE_ALLOW_NETWORKS", "127.0.0.0/8, ::1,10.1.2.3/16")
    expected = (ip_network("127.0.0.0/8"), ip_network("::1"), ip_network("10.1.0.0/16"))
    assert settings.load().allow_networks == expected


def test_settings_are_immutable_and_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATELINE_OPERATOR_TOKEN", "hush-hush-hush-hush")
    monkeypatch.setenv("DATELINE_DATABASE_URL", "postgresql+psycopg://u:hush@db/d")
    loaded = settings.load()
    assert "hush" not in repr(loaded)
    with pytest.raises(ValueError, match="frozen"):
        loaded.workers = 3


def test_child_process_sees_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parent = key_files.ensure_keys(
        settings.load(
            data_dir=tmp_path / "d", allow_networks="127.0.0.0/8,::1/128", allow_http=True, workers=2
        )
    )
    for name, value in settings.environment(parent).items():
        monkeypatch.setenv(name, value)
    assert settings.load() == parent


@pytest.mark.parametrize(
    ("name", "value"),
    [("NOTICE_URL", "ops.example.org"), ("LOGO_URL", "logo.png"), ("NOTICE_SECRET", "whsec_short")],
)
def test_a_webhook_that_is_none_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"DATELINE_{name}", value)
    with pytest.raises(SettingsError, match=f"DATELINE_{name}"):
        settings.load()


def test_every_setting_that_is_not_shown_is_a_secret_that_may_be_in_a_file() -> None:
    hidden = {name for name, each in settings.Settings.model_fields.items() if not each.repr}
    assert hidden <= set(settings.SECRETS)


@pytest.mark.parametrize("name", settings.SECRETS)
def test_every_secret_may_be_in_a_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {
        "operator_token": "a-token-of-the-operator",
        "metrics_token": "a-token-for-the-scraper",
        "secret_key": Fernet.generate_key().decode(),
        "notice_secret": "whsec_" + "QUJD" * 8,
        "database_url": "postgresql+psycopg://desk:hush@db/desk",
        "redis_url": "redis://:hush@redis/0",
        "notice_url": "https://ops.example.org/hook/hush",
    }[name]
    (tmp_path / "secret").write_text(f"{secret}\n")
    variable = f"DATELINE_{name.upper()}"
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    loaded = settings.load(env_file=None)
    assert getattr(loaded, name) == secret

    child = settings.environment(loaded)
    assert child[variable] == secret
    for key, value in child.items():
        monkeypatch.setenv(key, value)
    (tmp_path / "secret").write_text("another one, since")
    assert getattr(settings.load(env_file=None), name) == secret


@pytest.mark.parametrize(
    ("content", "also", "words"),
    [
        (None, "", "DATELINE_OPERATOR_TOKEN_FILE: .*secret cannot be read: No such file"),
        ("\n", "", "DATELINE_OPERATOR_TOKEN_FILE: .*secret is empty"),
        ("one-token", "another", "DATELINE_OPERATOR_TOKEN and DATELINE_OPERATOR_TOKEN_FILE are both set"),
    ],
)
def test_a_secrets_file_that_cannot_be_used_is_named(
    content: str | None, also: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    monkeypatch.setenv("DATELINE_OPERATOR_TOKEN", also)
    monkeypatch.setenv("DATELINE_OPERATOR_TOKEN_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match=words):
        settings.load(env_file=None)


def test_a_desk_s_name_is_one_line_of_at_most_200_characters() -> None:
    assert settings.load(env_file=None, desk_name=" Harbour Daily ").desk_name == "Harbour Daily"
    persian = "\u0686\u0634\u0645\u200c\u0627\u0646\u062f\u0627\u0632"
    assert settings.load(env_file=None, desk_name=persian).desk_name == persian
    for wrong in ("Harbour\nDaily", "\x00", "x" * 201):
        with pytest.raises(SettingsError, match="DATELINE_DESK_NAME"):
            settings.load(env_file=None, desk_name=wrong)


def test_a_logo_is_a_web_address() -> None:
    assert settings.load(env_file=None, logo_url="https://news.example.org/l.png").logo_url.endswith("/l.png")
    for wrong in ("logo.png", "javascript:alert(1)", "ftp://news.example.org/l.png"):
        with pytest.raises(SettingsError, match="DATELINE_LOGO_URL: write a web address of your own"):
            settings.load(env_file=None, logo_url=wrong)
