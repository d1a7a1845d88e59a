"""Each command that the status pages, the doctor and the notices show does what the sentence beside it promises.

The desk is brought into the state that shows the command; the command is taken from there as it stands, and run.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from service import settings
from service.cli import main, record_checks
from service.runtime import key_files
from service.settings import Settings
from service.store import deadlines, migrations, operations
from service.store.articles.sources import Source
from service.store.coordination import heartbeats
from service.store.database.record import Record, open_record
from service.store.deliveries import routing, settlements
from service.store.feeds import partner_feeds
from service.times import now
from tests import builders
from tests.architecture.commands_shown import shown_commands
from tests.builders import an_article, an_endpoint, post
from tests.desk import eventually
from tests.seeded import WORKER, a_settlement, claim_all
from tests.web import TOKEN, an_app

STORY = '{"id": "1", "headline": "Harbour reopens", "sections": ["world"], "body_html": "<p>-</p>"}'
WAL_BYTES = 600 * 2**20
# The modules and templates whose remedies are run here.
SHOWING = re.compile(
    r"service/(?:templates/status/|console/|cli/(?:checks|record_checks)|store/deadlines|store/migrations)"
)
UP = "up"  # tests/e2e start every desk with it
PATIENCE = 60.0


@dataclass
class OperatorsDesk:
    """A desk in a data directory, its pages, and the command line beside it."""

    settings: Settings
    record: Record
    capture: pytest.CaptureFixture[str]

    def page(self, path: str) -> str:
        client = an_app(self.record).test_client()
        client.post("/status/login", data={"token": TOKEN})
        answer = client.get(path)
        assert answer.status_code == 200, path
        return answer.get_data(as_text=True)

    def text(self, path: str) -> str:
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", self.page(path))).split())

    def shown(self, path: str, command: str) -> str:
        """The command that begins so, as the page shows it."""
        found = re.findall(r'<code class="command">(dateline [^<]*)</code>', self.page(path))
        matching = {html.unescape(each) for each in found if each.startswith(f"dateline {command}")}
        assert len(matching) == 1, (path, command, found)
        return matching.pop()

    def findings(self) -> dict[str, str]:
        """The doctor's findings about the record that have a remedy, by their words."""
        examined = record_checks.of_record(self.settings, now())
        return {each.words: each.remedy for each in examined if each.remedy}

    def run(self, command: str, **values: str) -> str:
        """Runs the command with values in place of its placeholders; what it prints."""
        words = [values.get(word, word) for word in shlex.split(command)]
        assert words.pop(0) == "dateline"
        self.capture.readouterr()
        with pytest.raises(SystemExit) as ended:
            main.main(words)
        out, err = self.capture.readouterr()
        assert not ended.value.code, f"{command}: {out}{err}"
        return out

    def works(self) -> None:
        """A worker is alive: then the sentence at the top is about the partners."""
        heartbeats.heartbeat(self.record, WORKER, broker="up", now=now())

    def settle(self, state: str, **changes: Any) -> list[str]:
        """Routes and settles all that is due; the ids of the deliveries."""
        routing.route(self.record, now())
        self.works()
        claimed = claim_all(self.record, now())
        words = "answered 200 OK" if state == "delivered" else "answered 403 Forbidden"
        ends = [a_settlement(each, state, words, now(), **changes) for each in claimed]
        settlements.settle(self.record, ends, lease=WORKER, now=now())
        return [each.public_id for each in claimed]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.settings.database_url.removeprefix("sqlite:///"))) as file:
            found = file.execute(statement).fetchall()
            file.commit()
            return found


@pytest.fixture
def empty_desk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[OperatorsDesk]:
    """A data directory with its keys, and a record without tables."""
    for name in [name for name in os.environ if name.startswith("DATELINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATELINE_DATA_DIR", str(tmp_path / "desk"))
    monkeypatch.setenv("DATELINE_REDIS_URL", "redis://127.0.0.1:1/0")
    chosen = settings.load(env_file=None)
    keyed = key_files.ensure_keys(chosen)
    record = open_record(keyed.database_url, keyed.secret_key)
    try:
        yield OperatorsDesk(chosen, record, capfd)
    finally:
        record.close()


@pytest.fixture
def desk(empty_desk: OperatorsDesk) -> OperatorsDesk:
    migrations.migrate(empty_desk.record)
    return empty_desk


@pytest.fixture
def source(desk: OperatorsDesk) -> Source:
    return builders.a_desk(desk.record)


def test_migrate_makes_the_record_that_the_doctor_misses(empty_desk: OperatorsDesk) -> None:
    assert empty_desk.findings() == {"there is no record yet": "make it: dateline migrate, or dateline up"}
    Path(empty_desk.settings.database_url.removeprefix("sqlite:///")).touch()
    [(words, remedy)] = empty_desk.findings().items()
    assert "the record is empty" in words
    empty_desk.run(remedy)
    assert not any("the record" in words for words in empty_desk.findings())
    assert empty_desk.text("/status")


def test_a_section_is_there_after_the_commands_for_a_desk_without_one(desk: OperatorsDesk) -> None:
    assert "dateline section add SLUG --title TITLE" in desk.text("/status")
    desk.run(desk.findings()["there is no section"])
    assert "there is no section" not in desk.findings()
    desk.run("dateline section add SLUG --title TITLE", SLUG="china", TITLE="China")
    assert "No feeds yet" not in desk.text("/status")


def test_the_first_partner_and_its_endpoint_are_there_after_their_commands(desk: OperatorsDesk) -> None:
    desk.works()
    assert "There are no partners yet" in desk.text("/status")
    desk.run(desk.shown("/status", "partner add"), SLUG="herald", NAME="Harbour Herald")
    assert "There are no partners yet" not in desk.text("/status")
    page = "/status/partners/herald"
    assert "because it has no endpoint" in desk.text(page)
    desk.run(desk.shown(page, "endpoint add herald"), **{"https://…": "https://93.184.216.34/hook"})
    assert "because it has no endpoint" not in desk.text(page)
    assert "Endpoint 1 https://93.184.216.34/hook" in desk.text(page)


def test_the_command_for_a_desk_without_a_story_posts_one(
    desk: OperatorsDesk, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("story.json").write_text(STORY)
    server = make_server("127.0.0.1", 0, an_app(desk.record), threaded=True)
    serving = Thread(target=server.serve_forever)
    serving.start()
    try:
        monkeypatch.setenv("DATELINE_PUBLIC_URL", f"http://127.0.0.1:{server.server_port}")
        assert "Nothing was posted yet" in desk.text("/status")
        assert "accepted" in desk.run(desk.shown("/status", "publish"), FILE="story.json", SLUG=source.slug)
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert "Nothing was posted yet" not in desk.text("/status")
    assert "Harbour reopens" in desk.text("/status")


def test_a_paused_endpoint_is_live_after_the_command_that_each_place_shows(
    desk: OperatorsDesk, source: Source
) -> None:
    endpoint = an_endpoint(desk.record, "herald")
    page = "/status/partners/herald"
    post(desk.record, source, an_article(), now=now())
    routing.route(desk.record, now())
    [(event,)] = desk.rows("SELECT public_id FROM event")
    delivery = f"/status/deliveries/dlv_{event.removeprefix('evt_')}_{endpoint.id}"
    places: tuple[Callable[[], str], ...] = (
        lambda: desk.shown(page, "endpoint resume"),
        lambda: desk.shown(delivery, "endpoint resume"),
        lambda: next(each for each in desk.findings().values() if "endpoint resume" in each),
    )
    for place in places:
        desk.run(desk.shown(page, "endpoint pause"))
        assert "Paused by an operator" in desk.text(page)
        desk.run(place())
        assert "Paused by an operator" not in desk.text(page)
        assert desk.rows("SELECT state FROM endpoint") == [("live",)]


def test_an_endpoint_that_was_switched_off_is_live_after_the_command_of_the_doctor(
    desk: OperatorsDesk, source: Source
) -> None:
    an_endpoint(desk.record, "herald")
    desk.rows("UPDATE endpoint SET state = 'off', state_reason = 'answered 410 Gone'")
    [remedy] = [remedy for words, remedy in desk.findings().items() if "is switched off" in words]
    assert remedy == desk.shown("/status/partners/herald", "endpoint resume")
    desk.run(remedy)
    assert desk.rows("SELECT state FROM endpoint") == [("live",)]


def test_a_partners_feed_gets_a_new_address_and_ends_by_the_commands_of_its_page(
    desk: OperatorsDesk, source: Source
) -> None:
    an_endpoint(desk.record, "herald")
    made = partner_feeds.NewPartnerFeed("herald", token_hash="0" * 64, sections=None)
    operations.add_feed(desk.record, made, actor="operator", now=now())
    page = "/status/partners/herald"
    assert "/partner/feeds/" in desk.run(desk.shown(page, "feed rotate"))
    assert "Token 2" in desk.text(page)
    desk.run(desk.shown(page, "feed revoke"))
    assert "Revoked" in desk.text(page)


def test_a_story_is_killed_and_comes_back_by_the_commands_of_its_page(
    desk: OperatorsDesk, source: Source
) -> None:
    article = post(desk.record, source, an_article(), now=now()).article
    page = f"/status/articles/{article.rpartition('/')[2]}"
    desk.run(desk.shown(page, "kill"))
    assert desk.rows("SELECT status FROM article") == [("killed",)]
    desk.run(desk.shown(page, "restore"))
    assert desk.rows("SELECT status FROM article") == [("usable",)]


def test_a_delivery_that_was_given_up_goes_again_by_its_page_and_by_the_doctor_and_others_do_not(
    desk: OperatorsDesk, source: Source
) -> None:
    an_endpoint(desk.record, "herald")
    post(desk.record, source, an_article(external_id="good"), now=now())
    [good] = desk.settle("delivered", status=200)
    post(desk.record, source, an_article(external_id="bad"), now=now())
    [bad] = desk.settle("dead", status=403, outcome="refused")
    states = "SELECT state FROM delivery ORDER BY id"
    for place in (
        lambda: desk.shown(f"/status/deliveries/{bad}", "replay"),
        lambda: next(each for each in desk.findings().values() if "replay" in each).partition("then: ")[2],
        lambda: desk.shown("/status/dead", "replay"),
    ):
        assert desk.rows(states) == [("delivered",), ("dead",)]
        assert "1 delivery will be sent again" in desk.run(place())
        assert desk.rows(states) == [("delivered",), ("pending",)]
        desk.settle("dead", status=403, outcome="refused")
    shown = desk.shown(f"/status/deliveries/{good}", "replay")
    assert "this shows what sending it again would do" in desk.text(f"/status/deliveries/{good}")
    assert "1 delivery would be sent again" in desk.run(shown)
    assert desk.rows(states) == [("delivered",), ("dead",)]


def test_the_doctor_says_why_nothing_is_sent_where_a_page_sends_the_operator_to_it(
    desk: OperatorsDesk, source: Source
) -> None:
    an_endpoint(desk.record, "herald")
    post(desk.record, source, an_article(), now=now())
    [(event,)] = desk.rows("SELECT public_id FROM event")
    shown = {desk.shown("/status", "doctor"), desk.shown(f"/status/events/{event}", "doctor")}
    assert shown == {"dateline doctor"}
    with pytest.raises(AssertionError, match="no worker runs; none was ever seen"):  # exit status 1
        desk.run(shown.pop())


def test_the_sources_that_send_nothing_are_listed_by_the_command_for_a_silent_intake(
    desk: OperatorsDesk, source: Source
) -> None:
    an_endpoint(desk.record, "herald")
    post(desk.record, source, an_article(), now=now() - timedelta(hours=14))
    desk.settle("delivered", status=200)
    assert "Nothing has come in for 14 h" in desk.text("/status")
    assert source.slug in desk.run(desk.shown("/status", "source list"))


def test_the_backup_that_the_notice_of_a_long_log_names_has_the_stories(
    desk: OperatorsDesk, source: Source
) -> None:
    post(desk.record, source, an_article(headline="Kept twice"), now=now())
    deadlines.raise_long_log(desk.record, WAL_BYTES, now())
    [command] = set(re.findall(r"to back up: (dateline backup FILE)", desk.text("/status")))
    desk.run(command, FILE="copy.sqlite")
    with closing(sqlite3.connect("copy.sqlite")) as copy:
        assert copy.execute("SELECT count(*) FROM revision").fetchone() == (1,)


@pytest.mark.slow
def test_workers_and_feeds_run_after_the_commands_for_a_desk_without(
    desk: OperatorsDesk, source: Source
) -> None:
    assert "None running" in desk.text("/status")
    [shown] = re.findall(r"start one: (dateline worker)\b", desk.text("/status"))
    assert desk.findings()["no worker runs; none was ever seen"].endswith(f"or: {shown}")
    with running(shown):
        eventually(lambda: "1 running" in desk.text("/status"), within=PATIENCE, what="the worker")
        assert not any("no worker runs" in words for words in desk.findings())
    [offered] = [each for each in shown_commands() if each.path == "feeds serve"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with running(f"dateline {' '.join(offered.words)} --listen {address}"):
        eventually(lambda: is_served(f"http://{address}/feeds"), within=PATIENCE, what="the feeds server")


def is_served(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


@contextmanager
def running(command: str) -> Iterator[None]:
    """Runs the command as a process of its own, until the end of the block."""
    words = shlex.split(command)[1:]
    with subprocess.Popen([sys.executable, "-P", "-m", "service.cli.main", *words]) as process:
        try:
            yield
            assert process.poll() is None
        finally:
            process.terminate()


def test_every_command_that_these_places_show_is_run_by_a_test_of_this_file() -> None:
    shown = {each.path for each in shown_commands() if each.to_run and SHOWING.match(each.file)}
    assert shown - {UP} == {
        "backup",
        "doctor",
        "endpoint add",
        "endpoint pause",
        "endpoint resume",
        "feeds serve",
        "feed revoke",
        "feed rotate",
        "kill",
        "migrate",
        "partner add",
        "publish",
        "replay",
        "restore",
        "section add",
        "source list",
        "worker",
        # Run in tests/integration/test_source_commands.py.
        "source add",
        "source held",
        "source retry",
        "source show",
    }
