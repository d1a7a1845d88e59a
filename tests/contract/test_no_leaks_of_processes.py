"""A killed story is gone a second after the 202, from real processes too, and none brings it back when it restarts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

from service.store.database.record import open_record
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet
from tests.surfaces import CODINGS, Sighting, documents_of, sightings, the_story, unpacked, walk_files, word

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.xdist_group("desks")]

PROMISED = 1.0
LONGEST = 4.0  # on a machine that is shared
RESTART = 30.0  # for a part that was killed to be at work again
PUBLISHED_WITHIN = 60.0


class PublicPlaces:
    """The desk, and all the places where its public documents are read: web, feeds server, exported files."""

    def __init__(self, desk: RunningDesk, exported: Path) -> None:
        self.desk = desk
        self.exported = exported
        self._web, self._feeds = requests.Session(), requests.Session()
        self._codings = itertools.cycle((*CODINGS, "identity"))

    def paths(self) -> list[str]:
        key = (self.desk.data_dir / "secret-key").read_text().strip()
        with closing(open_record(f"sqlite:///{self.desk.data_dir / 'dateline.db'}", key)) as record:
            return documents_of(record)

    def places(self, story: str, paths: list[str], servers: tuple[str, ...] = ("web", "feeds")) -> set[str]:
        """Where the story is now. A server that is being started again shows nothing."""
        found = {
            f"{name} {path}"
            for name in servers
            for path in paths
            if word(story, "headline") in self._read(name, path)
        }
        files = {
            each.surface
            for each in walk_files(self.exported)
            if each.story == story and each.field == "headline"
        }
        return found | files

    def _read(self, name: str, path: str) -> str:
        coding = next(self._codings)
        session, url = (self._web, self.desk.url) if name == "web" else (self._feeds, self.desk.feeds_url)
        with suppress(requests.ConnectionError, requests.Timeout):
            answer = session.get(f"{url}{path}", headers={"Accept-Encoding": coding}, timeout=10, stream=True)
            body = answer.raw.read(decode_content=False)
            return unpacked(body, answer.headers.get("Content-Encoding", "identity")).decode()
        return ""

    def publish(self, story: str) -> list[str]:
        """Posts a story and waits until it is on both servers and in the files; returns the documents."""
        assert self.desk.post(the_story(story)).status_code == 202
        eventually(lambda: self._is_public(story), within=PUBLISHED_WITHIN, what=f"{story} is everywhere")
        return self.paths()

    def _is_public(self, story: str) -> bool:
        """On both servers and in the files."""
        words = word(story, "headline")
        files = [self.exported / name for name in ("feeds/world.atom", "sitemaps/news.xml")]

        def has_words(path: Path) -> bool:
            with suppress(FileNotFoundError):  # there is none, or it was taken away just now
                return words in path.read_text()
            return False

        return (
            words in self._read("web", "/feeds/world.rss")
            and words in self._read("feeds", "/feeds/all.json")
            and all(map(has_words, files))
        )

    def kill(self, story: str) -> float:
        """Returns the moment of the 202."""
        killed = self.desk.post({"id": story, "status": "killed"})
        assert (killed.status_code, killed.json()["type"]) == (202, "article.killed")
        return time.monotonic()

    def seconds_until_gone(self, story: str, paths: list[str], since: float, *, within: float) -> float:
        """From the 202 to the last moment at which the story was seen anywhere."""
        last = since
        while True:
            looked = time.monotonic()
            if not (left := self.places(story, paths)):
                return last - since
            last = looked
            assert looked - since < within, f"still there: {sorted(left)}"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicPlaces]:
    folder = tmp_path_factory.mktemp("leaks")
    exported = folder / "exported"
    settings = {"feeds_listen": "127.0.0.1:0", "export_dir": str(exported), "log_level": "debug"}
    with Outlet() as outlet, RunningDesk(folder, **settings) as desk:
        desk.furnish(outlet, "/leaks")
        yield PublicPlaces(desk, exported)


def test_killed_story_is_gone_a_second_after_its_202_from_both_servers_and_all_files(
    watched: PublicPlaces,
) -> None:
    seconds = []
    for story in ("first", "second"):
        paths = watched.publish(story)
        killed_at = watched.kill(story)
        seconds.append(watched.seconds_until_gone(story, paths, killed_at, within=LONGEST))
    assert min(seconds) <= PROMISED, seconds


def test_story_killed_while_the_publisher_is_dead_is_gone_once_it_is_back_and_stays_away(
    watched: PublicPlaces,
) -> None:
    paths = watched.publish("alone")
    watched.desk.kill("publisher")
    killed_at = watched.kill("alone")
    watched.seconds_until_gone("alone", paths, killed_at, within=RESTART)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert watched.places("alone", paths) == set()


@pytest.mark.parametrize("part", ["web", "feeds"])
def test_server_that_is_killed_with_the_story_does_not_show_it_when_it_is_back(
    watched: PublicPlaces, part: str
) -> None:
    story = f"server{part}"
    paths = watched.publish(story)
    killed_at = watched.kill(story)
    before = watched.desk.kill(part)
    watched.seconds_until_gone(story, paths, killed_at, within=RESTART)

    def is_back() -> bool:
        url = watched.desk.url if part == "web" else watched.desk.feeds_url
        with suppress(requests.ConnectionError):
            return watched.desk.children().get(part) != before and requests.get(f"{url}/readyz", timeout=5).ok
        return False

    eventually(is_back, within=RESTART, what=f"{part} is back")
    assert watched.places(story, paths) == set()


def test_no_log_file_or_command_has_the_words_of_a_hidden_story(watched: PublicPlaces) -> None:
    """The database's own file is left out: it has the revisions, which the end of an embargo brings back."""
    desk = watched.desk
    late = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert desk.post(the_story("secret", embargo_until=late)).status_code == 202
    paths = watched.publish("fourth")
    killed_at = watched.kill("fourth")
    watched.seconds_until_gone("fourth", paths, killed_at, within=LONGEST)
    database = frozenset({"dateline.db", "dateline.db-wal", "dateline.db-shm"})
    said = sightings("log", (desk.log() + desk.output()).encode()) | sightings("doctor", _doctor(desk))
    hidden = {
        each for each in walk_files(desk.data_dir, but=database) | said if each.story in {"secret", "fourth"}
    }
    # A line names the feeds that were built; a package's name is its feed's.
    assert {each for each in hidden if each.field != "packages"} == set()
    assert Sighting("log", "secret", "packages") not in hidden


def _doctor(desk: RunningDesk) -> bytes:
    return str(desk.dateline("doctor")).encode()
