"""The command line: words for people, JSON for scripts, an exit status for both, never a traceback."""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import click
import pytest
from cryptography.fernet import Fernet
from werkzeug.serving import make_server

from service import settings, times
from service.app import create_app
from service.cli import main, up
from service.cli.articles import _replay_lines
from service.cli.parameter_types import Moment
from service.http import credentials
from service.runtime import embedded_redis, key_files
from service.store.database.record import Record, open_record
from service.store.deliveries import routing
from service.store.deliveries.replays import ReplayResult
from tests import builders, delivery_rows


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


Dateline = Callable[..., Ran]
A_ULID = "01KDYH8H7ZJ4T0M4YQ2W9S5E6C"
TOO_GREAT = "9" * 20  # for a number in a database


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis to send wake-ups to: without one, each command tries for most of a second."""
    desk = settings.load(env_file=None, data_dir=tmp_path_factory.mktemp("redis"))
    with subprocess.Popen(embedded_redis.command(desk), stdout=subprocess.DEVNULL) as server:
        try:
            embedded_redis.wait_until_answers(embedded_redis.socket_path(desk), seconds=20)
            yield embedded_redis.redis_url_of(desk)
        finally:
            server.terminate()


@pytest.fixture
def dateline(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    redis_url: str,
    sqlite_template: Path,
    capfd: pytest.CaptureFixture[str],
) -> Dateline:
    """Runs `dateline WORDS` on a desk of its own, which is empty and at the newest schema."""
    (tmp_path / "desk").mkdir(mode=0o700)
    shutil.copy(sqlite_template, tmp_path / "desk" / "dateline.db")
    for name in list(os.environ):
        if name.startswith("DATELINE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATELINE_DATA_DIR", str(tmp_path / "desk"))
    monkeypatch.setenv("DATELINE_REDIS_URL", redis_url)

    def run(*words: str) -> Ran:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        return Ran(int(ended.value.code or 0), out, err)

    return run


def test_section_is_added_once(dateline: Dateline) -> None:
    added = dateline("section", "add", "world", "--title", "World", "--language", "en")
    assert added.status == 0
    assert "/feeds/world.rss" in added.out
    again = dateline("section", "add", "world", "--title", "World")
    assert (again.status, again.out) == (1, "")
    assert again.err == "dateline: the section 'world' exists already\n"
    assert dateline("section", "list", "--json").json == {
        "sections": [{"section": "world", "title": "World", "language": "en"}]
    }


def test_section_of_any_script_is_added_in_its_one_form(dateline: Dateline) -> None:
    added = dateline("section", "add", "Ελλάδα", "--title", "Ελλάδα", "--json")
    assert added.json["section"] == "ελλάδα"
    assert added.json["feeds"]["rss"].endswith("/feeds/%CE%B5%CE%BB%CE%BB%CE%AC%CE%B4%CE%B1.rss")
    dateline("partner", "add", "herald", "--name", "Herald")
    endpoint = dateline(
        "endpoint", "add", "herald", "https://a.example", "--sections", "ΕΛΛΑΔΑ, Ελλάδα", "--json"
    )
    assert "unknown sections: ελλαδα" in endpoint.json["error"]
    chosen = dateline("endpoint", "add", "herald", "https://a.example", "--sections", "Ελλάδα", "--json").json
    assert chosen["sections"] == ["ελλάδα"]
    assert dateline("feed", "add", "herald", "--sections", "ΕΛΛΆΔΑ", "--json").json["sections"] == ["ελλάδα"]
    assert "/feeds/%E4%B8%AD%E5%9B%BD.rss" in dateline("section", "rename", "Ελλάδα", "中国").out
    assert dateline("section", "close", "中国").status == 0


def test_section_is_refused_with_the_character_that_no_address_has(dateline: Dateline) -> None:
    refused = dateline("section", "add", "中\u202e国", "--title", "China")
    assert refused.status == 2
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in refused.err
    assert "\u202e" not in refused.err


def test_wake_up_that_cannot_be_sent_keeps_no_command(
    dateline: Dateline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATELINE_REDIS_URL", "redis://127.0.0.1:1/0")  # nobody listens there
    assert dateline("section", "add", "world", "--title", "World").status == 0
    assert dateline("section", "list", "--json").json["sections"][0]["section"] == "world"


def test_section_is_renamed_and_closed_in_words(dateline: Dateline) -> None:
    dateline("section", "add", "world", "--title", "World")
    assert "lead there for ever" in dateline("section", "rename", "world", "abroad").out
    assert dateline("section", "rename", "world", "x").err == (
        "dateline: there is no section 'world'; 'dateline section list' shows them\n"
    )
    assert dateline("section", "add", "world", "--title", "W").err == (
        "dateline: the name 'world' was that of the section 'abroad', to which it leads: choose another\n"
    )
    assert "410 Gone" in dateline("section", "close", "abroad").out
    assert dateline("section", "list", "--json").json == {"sections": []}


def test_partners_feed_is_added_listed_rotated_and_revoked(dateline: Dateline) -> None:
    dateline("section", "add", "world", "--title", "World")
    dateline("partner", "add", "herald", "--name", "Harbour Herald")
    assert "dateline feed add PARTNER" in dateline("feed", "list").out
    added = dateline("feed", "add", "herald", "--sections", "world", "--json").json
    assert (added["title"], added["sections"], list(added["feeds"])) == (
        "World",
        ["world"],
        ["rss", "atom", "json"],
    )
    address = added["feeds"]["rss"]
    assert address.startswith("http://127.0.0.1:8600/partner/feeds/feed_")
    [listed] = dateline("feed", "list", "--json").json["feeds"]
    assert (listed["feed"], listed["partner"], listed["fetches"]) == (added["feed"], "herald", 0)
    number = str(added["feed"])
    rotated = dateline("feed", "rotate", number, "--overlap", "12h", "--json").json
    assert rotated["token"] == 2
    assert rotated["feeds"]["rss"] != address
    overlap = datetime.fromisoformat(rotated["old_until"]) - datetime.now(UTC)
    assert timedelta(hours=11) < overlap < timedelta(hours=12)
    assert "answer 410 from now on" in dateline("feed", "rotate", number, "--overlap", "0").out
    assert "answer 410 from now on" in dateline("feed", "revoke", number).out
    assert dateline("feed", "revoke", number, "--json").json == {"feed": 1, "revoked": True, "changed": False}
    assert "Revoked" in dateline("feed", "list").out


def test_partners_feeds_address_is_shown_this_once(dateline: Dateline) -> None:
    dateline("partner", "add", "herald", "--name", "Harbour Herald")
    added = dateline("feed", "add", "herald", "--title", "For Herald")
    token = added.out.partition("/partner/feeds/")[2].partition(".rss")[0]
    assert added.out.count(token) == 3
    assert token not in added.err
    assert token not in dateline("feed", "list", "--json").out
    for path in settings.load().data_dir.glob("dateline.db*"):
        assert token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("add", "nobody"), 1, "there is no partner 'nobody'; 'dateline partner list' shows them"),
        (("add", "herald", "--sections", "moon"), 1, "unknown sections: moon; this desk has: none yet"),
        (("add", "herald", "--sections", ","), 2, "leave it out for all sections"),
        (("rotate", "7"), 1, "there is no feed '7'; 'dateline feed list' shows them"),
        (("revoke", "7"), 1, "there is no feed '7'; 'dateline feed list' shows them"),
        (("rotate", "7", "--overlap", "soon"), 2, "write 30m, 12h or 7d, up to 90d, or 0 for at once"),
        (("rotate", "7", "--overlap", "91d"), 2, "up to 90d"),
    ],
)
def test_mistakes_about_a_partners_feed_are_named_in_words(
    dateline: Dateline, words: tuple[str, ...], status: int, told: str
) -> None:
    dateline("partner", "add", "herald", "--name", "Harbour Herald")
    ran = dateline("feed", *words)
    assert ran.status == status
    assert told in ran.err


def test_package_gets_a_title_and_says_where_its_feed_is(dateline: Dateline) -> None:
    told = dateline("package", "add", "China Focus", "--title", "China in focus", "--json").json
    assert told["feed"] == "package/china-focus"
    assert told["feeds"]["rss"] == "http://127.0.0.1:8600/feeds/package/china-focus.rss"


def test_names_of_scripts_that_join_their_letters_are_taken_as_they_are(dateline: Dateline) -> None:
    horizon = (
        "\u0686\u0634\u0645\u200c\u0627\u0646\u062f\u0627\u0632"  # Persian: "eye" and "measure", kept apart
    )
    dateline("section", "add", "horizon", "--title", horizon)
    assert horizon in dateline("section", "list").out


def test_place_that_the_caller_names_and_that_cannot_be_used_is_not_said_to_be_the_data_directory(
    dateline: Dateline, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for words in (
        ("backup", str(tmp_path / "none" / "copy.db")),
        ("feeds", "export", str(tmp_path / "file" / "out")),
    ):
        failed = dateline(*words)
        assert failed.status == 1
        assert "data directory" not in failed.err
        assert str(tmp_path) in failed.err


def test_feeds_are_exported_to_a_directory(dateline: Dateline, tmp_path: Path) -> None:
    dateline("section", "add", "world", "--title", "World")
    told = dateline("feeds", "export", str(tmp_path / "out"), "--json").json
    # Two documents, each plain and in three compressed forms: the news sitemap comes with the news.
    assert told == {"directory": str(tmp_path / "out"), "written": 8, "deleted": 0, "files": 8}
    assert b"/feeds/world.rss" in (tmp_path / "out" / "feeds.opml").read_bytes()
    assert "0 written now, 0 deleted" in dateline("feeds", "export", str(tmp_path / "out")).out


def test_adding_a_source_prints_its_keys_and_a_line_to_try_them(dateline: Dateline) -> None:
    dateline("section", "add", "business", "--title", "Business")
    told = dateline("source", "add", "wire", "--json").json
    assert told["intake_url"] == "http://127.0.0.1:8600/v1/articles"
    assert told["secret"].startswith("whsec_")
    assert credentials.read_api_key(told["api_key"])
    assert told["curl"].startswith("curl ")
    assert told["api_key"] in told["curl"]
    assert '"business"' in told["curl"]


def test_secrets_are_shown_once_and_are_not_in_the_record_in_the_clear(
    dateline: Dateline, tmp_path: Path
) -> None:
    told = dateline("source", "add", "wire", "--json").json
    assert dateline("source", "add", "wire").status == 1
    kept = b"".join(path.read_bytes() for path in (tmp_path / "desk").glob("dateline.db*"))
    assert told["secret"].encode() not in kept
    assert told["api_key"].split("_", 2)[2].encode() not in kept


def an_endpoint(dateline: Dateline, *more: str) -> dict[str, Any]:
    dateline("section", "add", "world", "--title", "World")
    dateline("partner", "add", "herald", "--name", "Harbour Herald")
    added = dateline("endpoint", "add", "herald", "https://herald.example/in", *more, "--json")
    assert added.status == 0, added
    return added.json


def test_endpoint_is_added_paused_resumed_and_gets_a_new_secret(dateline: Dateline) -> None:
    added = an_endpoint(dateline, "--sections", "world", "--every-revision", "--max-in-flight", "2")
    number = str(added["endpoint"])
    assert added["sections"] == ["world"]
    assert dateline("endpoint", "pause", number).status == 0
    assert dateline("endpoint", "list", "--json").json["endpoints"][0]["state"] == "paused"
    assert dateline("endpoint", "resume", number, "--json").json["state"] == "live"
    rotated = dateline("endpoint", "rotate-secret", number, "--json").json
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != added["secret"]


@pytest.fixture
def waiting(dateline: Dateline) -> Iterator[tuple[str, Record]]:
    """An endpoint for which a retry waits for an hour, by its number, and the desk's record."""
    number = str(an_endpoint(dateline)["endpoint"])
    loaded = key_files.ensure_keys(settings.load())
    record = open_record(loaded.database_url, loaded.secret_key)
    now = times.now()
    builders.post(record, builders.a_source(record), builders.an_article(), now=now)
    routing.route(record, now)
    for each in delivery_rows.ids_of(record):
        due_at = now + timedelta(hours=1)
        delivery_rows.set_delivery(record, each, state="waiting", due_at=due_at, attempts=7, last_status=401)
    yield number, record
    record.close()


def test_resume_says_how_many_wait_and_when_the_next_goes(
    dateline: Dateline, waiting: tuple[str, Record]
) -> None:
    number, record = waiting
    [(due_at,)] = delivery_rows.deliveries(record, "due_at")
    dateline("endpoint", "pause", number)
    ran = dateline("endpoint", "resume", number)
    assert ran.out.splitlines() == [
        f"Endpoint {number} is live again; 1 waits, the next goes at {due_at:%Y-%m-%d %H:%M:%S} UTC.",
        f"To send at once: dateline endpoint try-now {number}",
    ]
    again = dateline("endpoint", "resume", number)
    assert again.out.startswith(f"Endpoint {number} was live already; 1 waits, the next goes at ")
    facts = dateline("endpoint", "resume", number, "--json").json
    assert (facts["state"], facts["waiting"], facts["next_at"]) == ("live", 1, times.to_iso(due_at))


def test_try_now_sends_what_waits_and_says_so(dateline: Dateline, waiting: tuple[str, Record]) -> None:
    number, record = waiting
    until = times.now() + timedelta(minutes=15)
    delivery_rows.set_endpoint(record, int(number), breaker="open", breaker_until=until)
    ran = dateline("endpoint", "try-now", number)
    assert ran.out.splitlines() == [
        f"Endpoint {number} is tried now; 1 waits, the next goes now.",
        "Its circuit is open: one push goes as a trial; the others follow when it is accepted.",
    ]
    facts = dateline("endpoint", "try-now", number, "--json").json
    assert (facts["endpoint"], facts["waiting"], facts["trial"]) == (int(number), 1, True)
    [(due_at,)] = delivery_rows.deliveries(record, "due_at")
    assert due_at <= times.now()
    delivery_rows.set_endpoint(record, int(number), state="paused")
    assert dateline("endpoint", "try-now", number).out.splitlines() == [
        f"Endpoint {number} is tried now; 1 waits.",
        f"It is paused: only its takedowns go (0). For the rest: dateline endpoint resume {number}",
    ]


def test_try_now_of_an_endpoint_for_which_nothing_waits_says_so(dateline: Dateline) -> None:
    number = str(an_endpoint(dateline)["endpoint"])
    ran = dateline("endpoint", "try-now", number)
    assert ran.out == f"Endpoint {number} is tried now; nothing waits for it.\n"


def test_endpoint_with_a_key_pair_shows_its_public_key_and_never_the_private_one(
    dateline: Dateline,
) -> None:
    added = an_endpoint(dateline, "--ed25519", "--schedule", "0,5,30")
    number = str(added["endpoint"])
    assert added["public_key"].startswith("whpk_")
    assert "whsk_" not in json.dumps(added)
    shown = dateline("endpoint", "set", number, "--ed25519", "--json").json
    assert shown["public_key"] == added["public_key"], "it is no secret, and may be shown again"
    assert shown["schedule"] == [0, 5, 30]
    rotated = dateline("endpoint", "rotate-secret", number, "--json").json
    assert rotated["secret"].startswith("whsec_")
    assert rotated["public_key"] not in (None, added["public_key"])
    told = dateline("endpoint", "rotate-secret", number, "--only", "v1a", "--at-once")
    assert "whpk_" in told.out
    assert "whsec_" not in told.out + told.err
    assert "The old secret no longer verifies" in told.out


def test_endpoint_set_changes_an_endpoint_and_prints_the_differences(dateline: Dateline) -> None:
    number = str(an_endpoint(dateline)["endpoint"])
    words = ("--schedule", "0,60,3600", "--max-in-flight", "8", "--url", "https://herald.example/new")
    told = dateline("endpoint", "set", number, *words)
    assert told.out.splitlines() == [
        f"Endpoint {number} is changed:",
        "  url: https://herald.example/new",
        "  max in flight: 8",
        "  schedule: 0, 60, 3600",
    ]
    assert dateline("endpoint", "set", number, "--schedule", "default", "--json").json["schedule"] is None
    assert "as it was" in dateline("endpoint", "set", number, "--max-in-flight", "8").out
    assert dateline("endpoint", "set", number, "--url", "ftp://herald.example").status == 1


def test_stored_secrets_are_resealed_after_the_key_was_changed(
    dateline: Dateline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dateline("source", "add", "wire")
    an_endpoint(dateline)
    old, new = (tmp_path / "desk" / "secret-key").read_text().strip(), Fernet.generate_key().decode()
    monkeypatch.setenv("DATELINE_SECRET_KEY", f"{new},{old}")
    assert dateline("reseal", "--json").json == {"resealed": {"endpoint": 1, "source": 1}}
    monkeypatch.setenv("DATELINE_SECRET_KEY", new)
    assert dateline("endpoint", "rotate-secret", "1").status == 0
    monkeypatch.setenv("DATELINE_SECRET_KEY", old)
    refused = dateline("reseal")
    assert refused.status == 1
    assert "put the old key behind the new one" in refused.err


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://herald.example/in", "DATELINE_ALLOW_HTTP"),
        ("https://user:pass@herald.example/in", "password"),
        ("ftp://herald.example/in", "not a web address"),
        ("herald.example", "not a web address"),
        ("https://herald.example:22/in", "port 22"),
        ("http://127.0.0.1:8700/in", "DATELINE_ALLOW_NETWORKS=127.0.0.0/8"),
        ("https://10.1.2.3/in", "DATELINE_ALLOW_NETWORKS=10.1.2.3"),
        ("https://herald.example/" + "x" * 2_048, "more than 2,048 characters"),
    ],
)
def test_endpoint_at_an_address_that_pushes_may_not_go_to_is_refused(
    dateline: Dateline, url: str, why: str
) -> None:
    dateline("partner", "add", "herald", "--name", "Harbour Herald")
    refused = dateline("endpoint", "add", "herald", url, "--json")
    assert refused.status == 1
    assert why in refused.json["error"]


def test_endpoint_for_an_unknown_section_names_those_there_are(dateline: Dateline) -> None:
    an_endpoint(dateline)
    refused = dateline(
        "endpoint", "add", "herald", "https://herald.example/2", "--sections", "wolrd", "--json"
    )
    assert refused.json == {"error": "unknown sections: wolrd; this desk has: world"}


@pytest.mark.parametrize(
    "words",
    [
        ("section", "add", "World News", "--title", "x"),
        ("section", "add", "world"),
        ("endpoint", "pause", "first"),
        ("replay",),
        ("replay", "--delivery", "dlv_x", "--article", "x"),
        ("replay", "--endpoint", "1"),
        ("replay", "--endpoint", "1", "--since", "yesterday"),
        ("replay", "--dead", "--article", "x"),
        ("replay", "--article", "x", "--since", "2h"),
        ("replay", "--article", "x", "--cause", "refused"),
        ("replay", "--cause", "delivered"),
        ("replay", "--cause", "tiredness"),
        ("publish", "missing.json", "--source", "wire"),
        ("receive",),
        ("receive", "--secret", "not one"),
        ("receive", "--secret", "whpk_YWJj"),
        ("endpoint", "set", "1"),
        ("endpoint", "set", "1", "--sections", "a", "--all-sections"),
        ("endpoint", "set", "1", "--schedule", "5,30"),
        ("endpoint", "set", "1", "--schedule", "0,soon"),
        ("endpoint", "set", "1", "--schedule", "0,-1"),
        ("endpoint", "set", "1", "--schedule", "0,999999"),
        ("endpoint", "set", "1", "--rate", "nan"),
        ("endpoint", "rotate-secret", "1", "--only", "v2"),
        ("receive", "--listen", "nowhere", "--secret", "whsec_QUFB"),
        ("up", "--listen", "127.0.0.1"),
        ("web", "--listen", "127.0.0.1:65536"),
        ("section", "add", "world", "--title", " "),
        ("section", "add", "world", "--title", "x" * 201),
        ("section", "add", "world", "--title", "World\x1b[2J"),
        ("package", "add", "", "--title", "China in focus"),
        ("package", "add", "China\x07", "--title", "China in focus"),
        ("package", "add", "x" * 201, "--title", "China in focus"),
        ("package", "add", "china-focus", "--title", ""),
        ("section", "add", "world", "--title", "World", "--language", "not a language"),
        ("partner", "add", "herald", "--name", ""),
        ("source", "add", "wire", "--adapter", "frobnicate"),
        ("endpoint", "add", "herald", "https://herald.example/in", "--sections", ","),
        ("frobnicate",),
    ],
    ids=lambda words: " ".join(words)[:60].encode("unicode_escape").decode(),
)
def test_wrong_use_exits_2_and_says_so_in_json_too(dateline: Dateline, words: tuple[str, ...]) -> None:
    assert dateline(*words).status == 2
    told = dateline(*words, "--json")
    assert told.status == 2
    assert set(told.json) == {"error"}


@pytest.mark.parametrize(
    "words",
    [
        ("endpoint", "resume", "99"),
        ("endpoint", "try-now", "99"),
        ("endpoint", "set", "99", "--max-in-flight", "2"),
        ("endpoint", "rotate-secret", "99"),
        ("endpoint", "add", "nobody", "https://nobody.example/"),
        ("kill", "tag:nowhere,2026:1", "--reason", "wrong"),
        ("restore", "tag:nowhere,2026:1"),
        ("kill", "%", "--reason", "wrong"),
        ("restore", "\udcff"),
        ("replay", "--delivery", "dlv_none_1"),
        ("replay", "--delivery", f"dlv_{A_ULID}_{TOO_GREAT}"),
        ("replay", "--delivery", f"dlv_{A_ULID}_1_{TOO_GREAT}"),
        ("replay", "--article", "%"),
        ("replay", "--article", "_" * 26),
        ("replay", "--endpoint", "99", "--since", "2h"),
        ("replay", "--endpoint", TOO_GREAT, "--dead"),
        ("endpoint", "pause", TOO_GREAT, "--reason", "moving"),
        ("endpoint", "set", TOO_GREAT, "--max-in-flight", "2"),
        ("endpoint", "rotate-secret", TOO_GREAT),
        ("feed", "rotate", TOO_GREAT),
        ("feed", "revoke", TOO_GREAT),
        ("publish", os.devnull, "--source", "nobody"),
    ],
    ids=" ".join,
)
def test_a_name_that_does_not_exist_exits_1_in_words(dateline: Dateline, words: tuple[str, ...]) -> None:
    told = dateline(*words, "--json")
    assert told.status == 1
    what, _, where_to_look = told.json["error"].partition("; ")
    assert what.startswith("there is no ")
    assert where_to_look


def test_wrong_setting_is_reported_before_anything_happens(
    dateline: Dateline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATELINE_LISTEN", "nowhere")
    told = dateline("migrate", "--json")
    assert told.status == 1
    assert told.json["error"].startswith("DATELINE_LISTEN: 'nowhere' is not HOST:PORT")


def test_publish_says_when_nothing_listens(dateline: Dateline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATELINE_PUBLIC_URL", "http://127.0.0.1:1")
    dateline("source", "add", "wire")
    Path("story.json").write_text("{}")
    told = dateline("publish", "story.json", "--source", "wire")
    assert told.status == 1
    assert "cannot reach http://127.0.0.1:1" in told.err
    assert "Is 'dateline up' running?" in told.err


@pytest.fixture
def front_door(tmp_path: Path, dateline: Dateline, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The web of the desk that `dateline` works on, with a source `wire`; gives its address."""
    dateline("source", "add", "wire")
    loaded = key_files.ensure_keys(settings.load())
    record = open_record(loaded.database_url, loaded.secret_key)
    server = make_server("127.0.0.1", 0, create_app(loaded, record, lambda: None), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.port}"
    monkeypatch.setenv("DATELINE_PUBLIC_URL", url)
    yield url
    server.shutdown()
    thread.join()
    server.server_close()
    record.close()


def test_publish_prints_the_faults_of_a_refused_article(dateline: Dateline, front_door: str) -> None:
    dateline("section", "add", "world", "--title", "World")
    Path("story.json").write_text(
        json.dumps({"id": "1", "headline": "x", "sections": ["wrld"], "body_text": "x"})
    )
    told = dateline("publish", "story.json", "--source", "wire")
    assert told.status == 1
    assert "refused with 422" in told.err
    assert "/sections/0: there is no section 'wrld'; this desk has: world" in told.err
    Path("story.json").write_text("hello")
    refused = dateline("publish", "story.json", "--source", "wire", "--json")
    assert refused.status == 1
    assert "refused with 400: The body is not JSON" in refused.json["error"]


def test_publish_kill_and_restore_answer_alike(dateline: Dateline, front_door: str) -> None:
    dateline("section", "add", "world", "--title", "World")
    Path("story.json").write_text(
        json.dumps({"id": "1", "headline": "x", "sections": ["world"], "body_text": "x"})
    )
    posted = dateline("publish", "story.json", "--source", "wire", "--json").json
    name = posted["article"].rpartition("/")[2]
    killed = dateline("kill", name, "--reason", "wrong", "--json").json
    restored = dateline("restore", posted["article"], "--json").json
    assert [each["type"] for each in (posted, killed, restored)] == [
        "article.published",
        "article.killed",
        "article.restored",
    ]
    assert [each["revision"] for each in (posted, killed, restored)] == [1, 2, 3]
    assert posted.keys() == killed.keys() == restored.keys()


def test_directory_named_by_mistake_does_not_look_like_a_desk_that_lost_everything(
    dateline: Dateline, tmp_path: Path
) -> None:
    first = dateline("section", "list", "--data-dir", str(tmp_path / "dsek"))
    assert "made a new, empty desk" in first.err
    assert str(tmp_path / "dsek") in first.err
    assert dateline("section", "list", "--data-dir", str(tmp_path / "dsek")).err == ""


def test_directory_that_cannot_be_used_is_reported_with_a_remedy(dateline: Dateline) -> None:
    for words in (("section", "list"), ("up", "--listen", "127.0.0.1:0")):
        told = dateline(*words, "--data-dir", f"{os.devnull}/desk", "--json")
        assert told.status == 1
        assert "Not a directory" in told.json["error"]
        assert "--data-dir" in told.json["error"]


def test_database_that_is_away_is_reported_with_a_remedy(
    dateline: Dateline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATELINE_DATABASE_URL", "postgresql+psycopg://nobody:hush@127.0.0.1:1/dateline")
    told = dateline("section", "list", "--json")
    assert told.status == 1
    assert "the record does not answer" in told.json["error"]
    assert "dateline doctor" in told.json["error"]
    assert "hush" not in told.json["error"]


def test_failure_before_the_settings_are_read_prints_no_traceback(tmp_path: Path) -> None:
    # In a process of its own: in this one, an earlier test has set up the logs.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DATELINE_")}
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "service.cli.main", "section", "list", "--json"],
        env={**environment, "DATELINE_LISEN": "127.0.0.1:0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert json.loads(ran.stdout) == {
        "error": "DATELINE_LISEN (in the environment) is no setting of Dateline; did you mean DATELINE_LISTEN?"
    }


def test_sources_and_partners_are_listed_without_their_secrets(dateline: Dateline) -> None:
    secret = dateline("source", "add", "wire", "--name", "The wire", "--json").json["secret"]
    dateline("partner", "add", "herald", "--name", "Harbour Herald")
    listed = dateline("source", "list")
    assert "The wire" in listed.out
    assert secret not in listed.out
    assert dateline("source", "list", "--json").json["sources"][0]["source"] == "wire"
    assert dateline("partner", "list", "--json").json == {
        "partners": [{"partner": "herald", "name": "Harbour Herald"}]
    }


def test_migrate_run_twice_changes_nothing(dateline: Dateline, tmp_path: Path) -> None:
    new = ("--data-dir", str(tmp_path / "new"))
    first, second = dateline("migrate", "--json", *new).json, dateline("migrate", "--json", *new).json
    assert first["before"] is None
    assert second == {"before": first["schema"], "schema": first["schema"]}


def test_replay_prints_the_number_sent_again_and_the_reasons_of_the_others() -> None:
    replayed = ReplayResult(
        tuple(f"dlv_{n}_1" for n in range(22)), {"newer": 3, "taken_down": 14}, {"herald": 12, "courier": 10}
    )
    assert _replay_lines(replayed, dry_run=True) == [
        "22 deliveries would be sent again.",
        *(f"dlv_{n}_1" for n in range(20)),
        "… and 2 more; --json names them all.",
        "By partner:",
        "    10  courier",
        "    12  herald",
        "17 that matched would not:",
        "    14  the article was taken down since",
        "     3  there is a newer revision: an older one is never sent after it",
    ]


def test_replay_of_all_that_were_given_up_is_none_on_a_fresh_desk(dateline: Dateline) -> None:
    assert dateline("replay", "--dead", "--dry-run", "--json").json == {
        "count": 0, "deliveries": [], "skipped": {}, "dry_run": True, "partners": {},
    }  # fmt: skip


def test_a_cause_is_written_with_hyphens_or_as_the_record_has_it(dateline: Dateline) -> None:
    for cause in ("refused", "gone", "timeout", "server-error", "server_error"):
        assert dateline("replay", "--cause", cause, "--dry-run", "--json").json["count"] == 0


def test_a_dry_run_counts_by_partner_even_where_there_is_one_alone() -> None:
    replayed = ReplayResult(("dlv_1",), {}, {"herald": 1})
    assert _replay_lines(replayed, dry_run=True)[2:] == ["By partner:", "     1  herald"]
    assert _replay_lines(replayed, dry_run=False)[2:] == []


def test_times_are_iso_or_how_long_ago() -> None:
    def at(text: str) -> datetime:
        return Moment().convert(text, None, None)

    assert at("2026-01-02T08:00:00Z") == datetime(2026, 1, 2, 8, tzinfo=UTC)
    assert at("2026-01-02T08:00:00+05:00") == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert at("2026-01-02") == datetime(2026, 1, 2, tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(hours=2) - at("2h")) < timedelta(seconds=5)


def test_endpoint_is_added_with_a_rate_and_a_backfill(dateline: Dateline) -> None:
    dateline("partner", "add", "herald", "--name", "Herald")
    url = "https://herald.example/hook"
    added = dateline("endpoint", "add", "herald", url, "--rate", "0.2", "--backfill", "7d")
    assert (added.status, added.err) == (0, "")
    assert "Articles changed since" in added.out
    assert dateline("endpoint", "set", "1", "--rate", "500", "--json").json["rate_per_second"] == 500.0
    assert "no limit" in dateline("endpoint", "set", "1", "--rate", "none").out
    assert dateline("endpoint", "set", "1", "--rate", "0").status == 2


@pytest.mark.parametrize("words", [("web", "--listen", "127.0.0.1:0"), ("feeds", "serve"), ("worker",)])
def test_a_part_that_finds_an_empty_record_makes_no_new_desk(
    dateline: Dateline, words: tuple[str, ...], tmp_path: Path
) -> None:
    refused = dateline(*words, "--data-dir", str(tmp_path / "elsewhere"), "--json")
    assert refused.status == 1
    assert "the record is empty" in refused.json["error"]
    assert "dateline migrate" in refused.json["error"]
    with closing(sqlite3.connect(tmp_path / "elsewhere" / "dateline.db")) as record:
        assert record.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def test_migrate_on_a_record_of_a_newer_version_says_that_there_is_nothing_to_do(
    dateline: Dateline, tmp_path: Path
) -> None:
    folder = tmp_path / "newer"
    dateline("migrate", "--data-dir", str(folder))
    for name, status, words in (("0999", 0, "Nothing to do"), ("1000", 1, "install the newer version here")):
        with closing(sqlite3.connect(folder / "dateline.db")) as record, record:
            record.execute("UPDATE alembic_version SET version_num = ?", (name,))
        answer = dateline("migrate", "--data-dir", str(folder))
        assert answer.status == status
        assert words in answer.out + answer.err
        assert "should not happen" not in answer.out + answer.err


def test_the_operators_token_is_printed_at_a_terminal_and_not_into_a_log(tmp_path: Path) -> None:
    config = settings.load(env_file=None, data_dir=tmp_path, operator_token="the-token-of-the-operator")
    assert "the-token" not in up._new_token_words(config, as_json=False)
    assert str(tmp_path / "operator-token") in up._new_token_words(config, as_json=False)


def processor_seconds(*words: str) -> float:
    """The least of three runs."""

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(once() for _ in range(3))


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_cost_little_more_than_the_library_of_commands(option: str) -> None:
    least = processor_seconds("-c", "import click, json, importlib.metadata, pathlib, fcntl, secrets")
    assert processor_seconds("-m", "service.cli.main", option) < 3 * least + 0.1


@pytest.mark.parametrize(
    ("words", "unneeded"),
    [
        (("--version",), {"sqlalchemy", "flask", "celery", "alembic", "pydantic", "redis", "structlog"}),
        (("--help",), {"sqlalchemy", "flask", "celery", "alembic", "pydantic", "redis", "structlog"}),
        (("receive", "--help"), {"alembic", "granian"}),
        (("section", "list"), {"flask", "alembic", "granian", "uvicorn", "feedgen"}),
    ],
)
def test_a_command_imports_only_what_it_needs(
    words: tuple[str, ...], unneeded: set[str], tmp_path: Path, sqlite_template: Path
) -> None:
    code = (
        "import sys\nfrom service.cli import main\n"
        "try:\n    main.main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    environment = {**os.environ, "DATELINE_DATA_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-c", code, *words]
    shutil.copy(sqlite_template, tmp_path / "dateline.db")
    ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    imported = {name.partition(".")[0] for name in ran.stderr.split()}
    assert "click" in imported
    assert imported & unneeded == set()


def test_each_line_of_the_help_is_the_commands_own() -> None:
    for name, (_, line) in main.COMMANDS.items():
        command = main.dateline.get_command(click.Context(main.dateline), name)
        assert command is not None
        assert command.get_short_help_str(62) == line
