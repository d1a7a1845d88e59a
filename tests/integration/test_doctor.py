"""`dateline doctor` names what is wrong and what to do about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from service import settings
from service.cli.command import CommandContext
from service.cli.doctor import GOOD, WARNING, WRONG, Finding, examine
from service.runtime import key_files, supervise
from service.settings import Settings
from service.store import migrations, operations
from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from service.store.deliveries.health import Health, update_health
from service.store.partners import endpoints, partners
from tests import builders
from tests.feeds_server import a_feeds_server

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOBODY = "http://127.0.0.1:1"


def a_desk(tmp_path: Path, **given: str) -> Settings:
    given = {"redis_url": "redis://127.0.0.1:1/0"} | given
    return settings.load(env_file=None, data_dir=tmp_path / "desk", **given)


def a_record(desk: Settings) -> Record:
    keyed = key_files.ensure_keys(desk)
    record = open_record(keyed.database_url, keyed.secret_key)
    migrations.migrate(record)
    return record


def found(desk: Settings, check: str, now: datetime = NOW) -> list[Finding]:
    return [finding for finding in examine(desk, NOBODY, now) if finding.check == check]


def test_everything_wrong_comes_with_a_remedy(tmp_path: Path) -> None:
    findings = examine(a_desk(tmp_path), NOBODY, NOW)
    assert {finding.check for finding in findings if finding.state == WRONG} == {
        "data",
        "keys",
        "record",
        "redis",
        "web",
    }
    assert all(finding.remedy for finding in findings if finding.state != GOOD)


def test_examining_changes_nothing(tmp_path: Path) -> None:
    examine(a_desk(tmp_path), NOBODY, NOW)
    assert not (tmp_path / "desk").exists()


def test_a_desk_without_a_name_or_an_address_is_told_before_its_first_story(tmp_path: Path) -> None:
    address, name = found(a_desk(tmp_path), "identity")
    assert (address.state, name.state) == (WARNING, WARNING)
    assert "DATELINE_PUBLIC_URL is not set" in address.words
    assert "for ever" in address.words
    assert "DATELINE_DESK_NAME is not set" in name.words
    named = a_desk(tmp_path, desk_name="Harbour Daily", public_url="https://news.example.org")
    assert [each.state for each in found(named, "identity")] == [GOOD]


def test_healthy_record_with_a_worker_at_work(tmp_path: Path) -> None:
    desk = a_desk(tmp_path, desk_name="Harbour Daily", public_url="https://news.example.org")
    record = a_record(desk)
    operations.add_section(record, "world", "World", "en", actor="operator", now=NOW)
    heartbeats.heartbeat(record, "w1.abc", broker="up", now=NOW)
    record.close()
    findings = examine(desk, NOBODY, NOW + timedelta(seconds=2))
    assert [finding.check for finding in findings if finding.state != GOOD] == ["redis", "web"]
    assert "1 at work: w1.abc" in found(desk, "workers", NOW)[0].words


def test_dead_worker_is_missed(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    record = a_record(desk)
    heartbeats.heartbeat(record, "w1.abc", broker="up", now=NOW)
    record.close()
    (finding,) = found(desk, "workers", NOW + timedelta(hours=3))
    assert finding.state == WRONG
    assert finding.words == "no worker runs; the last was seen 3 h ago"


def test_worker_cut_off_from_redis_is_told(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    record = a_record(desk)
    heartbeats.heartbeat(record, "w1.abc", broker="connection refused", now=NOW)
    record.close()
    (finding,) = found(desk, "workers")
    assert (finding.state, finding.words) == (WARNING, "w1.abc cannot use Redis: connection refused")


def test_paused_endpoint_is_told_with_the_command_that_brings_it_back(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    record = a_record(desk)
    operations.add_partner(
        record, partners.NewPartner("herald", "Herald", key_id="k", key_hash="h"), actor="operator", now=NOW
    )
    added = operations.add_endpoint(
        record,
        endpoints.NewEndpoint("herald", "https://herald.example/", secret="whsec_x"),
        actor="operator",
        now=NOW,
    )
    operations.pause_endpoint(record, added.id, reason="they are moving", actor="operator", now=NOW)
    record.close()
    (finding,) = found(desk, "endpoints")
    assert "of herald is paused: they are moving" in finding.words
    assert finding.remedy == f"dateline endpoint resume {added.id}"


def test_a_feeds_server_that_there_is_to_be_is_looked_for(tmp_path: Path, sqlite_record: Record) -> None:
    assert found(a_desk(tmp_path), "feeds") == []
    (finding,) = found(a_desk(tmp_path, feeds_listen="127.0.0.1:1"), "feeds")
    assert (finding.state, "dateline feeds serve" in finding.remedy) == (WRONG, True)
    with a_feeds_server(sqlite_record) as server:
        (finding,) = found(a_desk(tmp_path, feeds_listen=f"127.0.0.1:{server.port}"), "feeds")
    assert finding.state == GOOD


def test_key_that_others_can_read_is_told(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    a_record(desk).close()
    (tmp_path / "desk" / key_files.KEY_FILE).chmod(0o644)
    assert [finding.remedy for finding in found(desk, "keys") if finding.state == WRONG] == [
        f"chmod 600 {tmp_path}/desk/secret-key"
    ]


def test_endpoint_that_fails_is_told_before_anything_is_given_up(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    record = a_record(desk)
    added = builders.an_endpoint(record, "herald")

    def failing(_: int, health: Health) -> Health:
        return replace(health, failures=3, last_failure="answered 503 Service Unavailable")

    with record.writing() as connection:
        update_health(connection, {added.id}, failing, NOW)
    record.close()
    (finding,) = found(desk, "endpoints")
    assert finding.state == WARNING
    assert "endpoint 1 of herald failed 3 times in a row, last: answered 503" in finding.words
    assert finding.remedy


def test_words_of_a_partner_are_printed_without_what_moves_the_cursor(tmp_path: Path) -> None:
    """Also those that were recorded before workers cleaned them."""
    desk = a_desk(tmp_path)
    record = a_record(desk)
    added = builders.an_endpoint(record, "herald")
    hostile = "answered 302 Found, a redirect to https://x/\x1b[2J\x9b1m\u202e\r\nok"

    def failing(_: int, health: Health) -> Health:
        return replace(health, failures=1, last_failure=hostile)

    with record.writing() as connection:
        update_health(connection, {added.id}, failing, NOW)
    record.close()
    (finding,) = found(desk, "endpoints")
    assert "answered 302 Found, a redirect to https://x/\N{REPLACEMENT CHARACTER}[2J" in finding.words
    assert finding.words.isprintable()


def test_record_that_does_not_answer_is_told_in_words(tmp_path: Path) -> None:
    desk = a_desk(tmp_path, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=2")
    key_files.ensure_keys(desk)
    (finding,) = found(desk, "record")
    assert finding.state == WRONG
    assert "does not answer" in finding.words
    assert "DATELINE_DATABASE_URL" in finding.remedy


def test_clock_of_the_past_is_told(tmp_path: Path) -> None:
    (finding,) = found(a_desk(tmp_path), "clock", datetime(1970, 1, 1, 0, 5, tzinfo=UTC))
    assert finding.state == WRONG


@pytest.mark.parametrize(
    ("given", "state", "words"),
    [
        ({"operator_token": "secret"}, WRONG, "short enough to be guessed"),
        ({"listen": "0.0.0.0:8600"}, WARNING, "open to the network without https"),
    ],
)
def test_careless_setting_is_pointed_out(
    tmp_path: Path, given: dict[str, str], state: str, words: str
) -> None:
    (finding,) = found(a_desk(tmp_path, **given), "settings")
    assert finding.state == state
    assert words in finding.words


def test_a_data_directory_that_nothing_needs_may_be_missing(tmp_path: Path) -> None:
    desk = a_desk(
        tmp_path,
        database_url="postgresql+psycopg://nobody@127.0.0.1:1/desk",
        operator_token="a-token-that-is-long-enough",
        secret_key=Fernet.generate_key().decode(),
    )
    assert [finding.state for finding in found(desk, "data")] == [GOOD]
    assert not desk.data_dir.exists()


def test_the_web_that_runs_alone_is_found_at_its_own_port(tmp_path: Path) -> None:
    desk = a_desk(tmp_path)
    desk.data_dir.mkdir()
    supervise.write_web_state(desk.data_dir, "http://127.0.0.1:5000")
    assert CommandContext(desk, as_json=False).url == "http://127.0.0.1:5000"
    (web,) = found(desk, "web")
    assert "dateline doctor --url" in web.remedy
