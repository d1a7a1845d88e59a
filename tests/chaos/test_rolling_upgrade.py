"""The version before runs beside this one: from the repository's history, on one record, while this one migrates it.

The version of schema 0006 knows no newer schema: its parts work on with one, but it calls itself not ready and does not
start again. From schema 0007 on a version works on with what a newer one added: tests/integration/test_schema_state.py.
"""

from __future__ import annotations

import shutil
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from service.runtime import key_files
from service.settings import Settings
from service.store import migrations
from service.store.database.record import open_record
from service.store.views.search import search_articles
from service.times import now
from tests.chaos import earlier_version
from tests.chaos.earlier_version import NEWEST_MIGRATION, WEB, WORKER, TwoVersions
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

PATIENCE = 60.0
PATH = "/upgrade"
THIS_WORKER = ("-m", "workers", "--name", "after")
DATELINE = ("-m", "service.cli.main")
# What its programs say of a newer schema; the advice is the wrong way round, and this version says it rightly.
OLD_ADVICE = "this version needs 0006: run"


@dataclass(frozen=True)
class StartRefusal:
    """The end of a part that did not start: its exit status and its log."""

    status: int
    words: str


@dataclass
class Upgrade:
    """The desk after its migration, with the web and a worker of the version before. `refusals` are of this version's
    parts before it, by part."""

    versions: TwoVersions
    desk: RunningDesk
    outlet: Outlet
    refusals: dict[str, StartRefusal]
    doctor: list[dict[str, Any]]
    schemas: dict[str, str]

    def post(self, name: str) -> str:
        """Posts a story to the web of the version before; its article."""
        body = {"id": name, "headline": f"Story {name}", "body_html": "<p>-</p>", "sections": ["world"]}
        answer = self.desk.post(body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["article"])

    def arrives(self, name: str, article: str) -> None:
        """Waits until the story is pushed and in the feed that the web of the version before serves."""
        eventually(lambda: self.outlet.of(article, PATH), within=PATIENCE, what=f"the push of {name}")
        feed = f"{self.versions.url}/feeds/world.atom"
        eventually(
            lambda: f"Story {name}" in requests.get(feed, timeout=20).text,
            within=PATIENCE,
            what=f"the feed with {name}",
        )


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).ok
    except requests.RequestException:
        return False


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def refusals(
    versions: TwoVersions, parts: dict[str, tuple[str, ...]], *, earlier: bool = False
) -> dict[str, StartRefusal]:
    """The ends of parts that do not start, all started together: `parts` are their command lines by their names."""
    for name, words in parts.items():
        versions.start(name, *words, earlier=earlier)
    return {name: StartRefusal(versions.parts.pop(name).wait(PATIENCE), versions.log(name)) for name in parts}


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgrade]:
    folder = tmp_path_factory.mktemp("upgrade")
    versions = TwoVersions(folder, earlier_version.export(folder), free_port())
    desk = RunningDesk(folder)
    with Outlet() as outlet:
        desk.source = versions.furnish(outlet, PATH)
        try:
            versions.start("web-before", *WEB, earlier=True)
            versions.start("worker-before", *WORKER, earlier=True)
            eventually(lambda: answers(versions.url), within=PATIENCE, what="the web of the version before")
            elsewhere = f"127.0.0.1:{free_port()}"
            refused = refusals(
                versions,
                {
                    "web": (*DATELINE, "web", "--listen", elsewhere),
                    "feeds": (*DATELINE, "feeds", "serve", "--listen", elsewhere),
                    "worker": (*DATELINE, "worker", "--name", "after"),
                },
            )
            _, examined = versions.dateline("doctor", "--url", versions.url)
            made = Upgrade(versions, desk, outlet, refused, examined["findings"], {})
            made.arrives("zero", made.post("zero"))
            _, made.schemas = versions.dateline("migrate")
            yield made
        finally:
            versions.end()
            shutil.rmtree(versions.before)


def test_a_part_of_this_version_says_to_migrate_and_starts_not_before_it(upgrade: Upgrade) -> None:
    head = upgrade.schemas["schema"]
    words = f"the record is at schema {NEWEST_MIGRATION}, this version needs {head}: run dateline migrate"
    for part, refused in upgrade.refusals.items():
        assert refused.status == 1, part
        assert words in refused.words, part
    [record] = [each for each in upgrade.doctor if each["check"] == "record"]
    assert (record["state"], record["remedy"]) == ("wrong", "dateline migrate")
    # None of them changed the record: the migration began where the version before had left it.
    assert upgrade.schemas["before"] == NEWEST_MIGRATION


def test_the_running_parts_of_the_version_before_work_on_while_and_after_this_one_migrates(
    upgrade: Upgrade,
) -> None:
    upgrade.arrives("one", upgrade.post("one"))
    assert {name: part.poll() for name, part in upgrade.versions.parts.items() if "before" in name} == {
        "web-before": None,
        "worker-before": None,
    }
    assert upgrade.outlet.refused == []


def test_the_version_before_calls_itself_not_ready_on_the_newer_schema_as_the_docs_say(
    upgrade: Upgrade,
) -> None:
    answer = requests.get(f"{upgrade.versions.url}/readyz", timeout=20)
    assert answer.status_code == 503
    assert OLD_ADVICE in answer.json()["because"]
    operations = " ".join((earlier_version.ROOT / "docs" / "operations.md").read_text().split())
    assert "A version of schema 0006 or older does not know this rule" in operations
    assert "stop it, migrate, start" in operations


def test_a_part_of_the_version_before_does_not_start_again_and_this_version_takes_its_work_over(
    upgrade: Upgrade,
) -> None:
    versions = upgrade.versions
    old = versions.parts["worker-before"]
    old.send_signal(signal.SIGKILL)
    old.wait()
    for ended in refusals(versions, {"web-again": WEB, "worker-again": WORKER}, earlier=True).values():
        assert ended.status == 1
        assert OLD_ADVICE in ended.words
    # `dateline migrate` of the version before fails, as its advice does; it changes nothing.
    assert versions.dateline("migrate", earlier=True)[0] == 1
    accepted = upgrade.post("two")
    versions.start("worker-after", *THIS_WORKER)
    upgrade.arrives("two", accepted)
    with_keys = key_files.ensure_keys(Settings(data_dir=versions.folder / "desk"))
    record = open_record(with_keys.database_url, with_keys.secret_key)
    try:
        assert migrations.faults(record) == []
        # The version before writes no words for the search: this one's workers add them.
        eventually(
            lambda: [each.id for each in search_articles(record, now(), "Story two")] == [accepted],
            within=PATIENCE,
            what="the story of the version before in the search of this one",
        )
    finally:
        record.close()
    assert len(upgrade.outlet.of(accepted, PATH)) == 1
