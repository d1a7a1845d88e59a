"""A story's way through a whole desk: in by a signed POST, out by feeds and pushes, seen by the operator."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from service.runtime import supervise
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet, OutletPush

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("desks")]

PROMISED = 2.0  # seconds from the 202 until the story is everywhere
PATIENCE = 15.0
_numbers = itertools.count(1)


def a_story(**changes: Any) -> dict[str, Any]:
    """A new story with words that occur in no other."""
    number = next(_numbers)
    return {
        "id": f"story-{number}",
        "headline": f"Harbour number {number} reopens",
        "body_html": f"<p>The ferry {number} left at dawn.</p>",
        "sections": ["world"],
        "version": 1,
        **changes,
    }


def the_push(outlet: Outlet, article: str, revision: int, within: float = PATIENCE) -> OutletPush:
    """Waits for the first push of a revision."""

    def found() -> OutletPush | None:
        return next((each for each in outlet.of(article) if each.data["revision"] == revision), None)

    push = eventually(found, within=within, what=f"the push of revision {revision}")
    assert push
    return push


def wait_for_feeds(desk: RunningDesk, words: str, within: float = PATIENCE) -> dict[str, str]:
    """Waits until each of the section's three feeds has these words; returns the feeds."""

    def found() -> dict[str, str] | None:
        feeds = desk.feeds("world")
        return feeds if all(words in text for text in feeds.values()) else None

    feeds = eventually(found, within=within, what=f"{words!r} in all three feeds")
    assert feeds
    return feeds


def without(words: str, feeds: dict[str, str]) -> dict[str, str]:
    """These feeds if none has these words, else {}: another web process may still have older ones."""
    return {} if any(words in text for text in feeds.values()) else feeds


def wait_for_page(browser: requests.Session, url: str, *words: str, within: float = PATIENCE) -> str:
    def found() -> str:
        text = browser.get(url, timeout=20).text
        return text if all(each in text for each in words) else ""

    return eventually(found, within=within, what=f"{words} on {url}")


def last_part(article: str) -> str:
    return article.rpartition("/")[2]


def test_a_posted_story_is_corrected_and_killed_and_each_is_seen_everywhere_in_two_seconds(
    desk: RunningDesk, outlet: Outlet
) -> None:
    browser, story = desk.browse(), a_story()
    first_words = story["body_html"].removeprefix("<p>").removesuffix("</p>")
    answer = desk.post(story)
    assert answer.status_code == 202, answer.text
    posted = answer.json()
    article = posted["article"]
    assert (posted["type"], posted["revision"], posted["outcome"]) == ("article.published", 1, "accepted")
    page = f"{desk.url}/status/articles/{last_part(article)}"

    until = time.monotonic() + PROMISED
    push = the_push(outlet, article, 1, until - time.monotonic())
    assert push.message["type"] == "article.published"
    assert push.data["headline"] == story["headline"]
    for text in wait_for_feeds(desk, story["headline"], until - time.monotonic()).values():
        assert first_words in text
    wait_for_page(
        browser, f"{desk.url}/status", "Harbour Herald", story["headline"], within=until - time.monotonic()
    )
    wait_for_page(browser, page, "Revision 1, the newest", within=until - time.monotonic())

    corrected = {
        **story,
        "version": 2,
        "body_html": f"<p>It left at noon ({story['id']}).</p>",
        "correction_note": f"The hour of {story['id']} was wrong.",
    }
    assert desk.post(corrected).json()["type"] == "article.corrected"
    until = time.monotonic() + PROMISED
    push = the_push(outlet, article, 2, until - time.monotonic())
    assert (push.message["type"], push.data["supersedes"]) == ("article.corrected", [1])
    assert push.data["correction_note"] == corrected["correction_note"]
    for text in wait_for_feeds(desk, corrected["correction_note"], until - time.monotonic()).values():
        assert f"It left at noon ({story['id']})" in text
        assert first_words not in text
    wait_for_page(browser, page, "Revision 2, the newest", within=until - time.monotonic())

    killed = desk.post({"id": story["id"], "version": 3, "status": "killed"})
    assert killed.json()["type"] == "article.killed", killed.text
    until = time.monotonic() + PROMISED
    push = the_push(outlet, article, 3, until - time.monotonic())
    assert push.message["type"] == "article.killed"
    assert push.data == {"article": article, "revision": 3, "status": "killed", "supersedes": [1, 2]}
    feeds = eventually(
        lambda: without(story["headline"], desk.feeds("world")),
        within=until - time.monotonic(),
        what="the headline out of the feeds",
    )
    for text in feeds.values():
        assert "Story withdrawn" in text
        assert article in text
        assert f"It left at noon ({story['id']})" not in text
    wait_for_page(browser, page, "Confirmed: killed", within=until - time.monotonic())

    assert [each.data["revision"] for each in outlet.of(article)] == [1, 2, 3]
    assert outlet.refused == []


def test_the_feeds_server_shows_stories_as_soon_as_the_web_and_comes_back_when_it_dies(
    desk: RunningDesk,
) -> None:
    story = a_story()
    article = desk.post(story).json()["article"]

    def titles() -> tuple[str, ...]:
        """The story's title in the feed; none while there is no answer."""
        with suppress(requests.ConnectionError):
            answer = requests.get(f"{desk.feeds_url}/feeds/world.json", timeout=20)
            items = answer.json()["items"] if answer.status_code == 200 else []
            return tuple(item["title"] for item in items if item["id"] == article)
        return ()

    eventually(lambda: titles() == (story["headline"],), within=PROMISED, what="the story")
    assert desk.post({"id": story["id"], "version": 2, "status": "killed"}).status_code == 202
    eventually(lambda: titles() == ("Story withdrawn",), within=PROMISED, what="the notice")
    assert requests.get(f"{desk.feeds_url}/status", timeout=20).status_code == 404
    assert {each["check"]: each["state"] for each in desk.dateline("doctor")["findings"]}["feeds"] == "good"

    desk.kill("feeds")
    eventually(lambda: titles() == ("Story withdrawn",), within=PATIENCE, what="another answer")


def test_a_partner_that_only_fetches_is_known_to_hold_a_story_and_to_have_seen_its_kill(
    desk: RunningDesk,
) -> None:
    name = f"reader-{next(_numbers)}"
    desk.dateline("partner", "add", name, "--name", "Quiet Reader")
    made = desk.dateline("feed", "add", name, "--sections", "world")
    address, story = made["feeds"]["json"], a_story()
    article = desk.post(story).json()["article"]

    def read(status: str) -> requests.Response | None:
        answer = requests.get(address, timeout=20)
        items = answer.json()["items"] if answer.status_code == 200 else []
        found = [each for each in items if each["id"] == article]
        return answer if [each["_dateline"]["status"] for each in found] == [status] else None

    def held() -> list[tuple[int, str]]:
        known = desk.get(f"/v1/articles/{last_part(article)}").json()["partners"]
        return [(each["revision"], each["channel"]) for each in known if each["partner"] == name]

    whole = eventually(lambda: read("usable"), within=PATIENCE, what="the story in the partner's own feed")
    assert whole
    assert held() == [(1, "feed")]
    again = requests.get(address, headers={"If-None-Match": whole.headers["ETag"]}, timeout=20)
    assert again.status_code == 304

    assert desk.post({"id": story["id"], "version": 2, "status": "killed"}).status_code == 202
    assert eventually(lambda: read("killed"), within=PATIENCE, what="its notice in the partner's own feed")
    assert held() == [(2, "feed")]
    [partner] = [each for each in desk.get("/status.json").json()["partners"] if each["slug"] == name]
    [feed] = partner["feeds"]
    assert (feed["state"], feed["tokens"][0]["number"]) == ("Fetches", 1)
    assert feed["fetches"] >= 3

    rotated = desk.dateline("feed", "rotate", str(made["feed"]))
    assert requests.get(rotated["feeds"]["json"], timeout=20).status_code == 200
    assert requests.get(address, timeout=20).status_code == 200
    desk.dateline("feed", "revoke", str(made["feed"]))
    for each in (address, rotated["feeds"]["rss"]):
        assert requests.get(each, timeout=20).status_code == 410
        assert each.rpartition("/")[2].partition(".")[0] not in desk.log()


def test_a_story_under_embargo_is_in_no_feed_push_public_page_or_log_before_its_time(
    desk: RunningDesk, outlet: Outlet
) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=3)
    story = a_story(headline="Merger of Quillfeather and Bracken", embargo_until=ends.isoformat())
    story["body_html"] = "<p>Marmalade terms were agreed.</p>"
    secrets = ("Quillfeather", "Marmalade")
    answer = desk.post(story)
    article = answer.json()["article"]
    assert answer.status_code == 202
    browser = desk.browse()
    public = ("/feeds.opml", "/feeds/all.rss", "/metrics", "/readyz", "/status/login")
    looks = 0
    while (at := datetime.now(UTC)) < ends - timedelta(seconds=0.3):
        seen = [*desk.feeds("world").values(), desk.log(), desk.output()]
        seen += [requests.get(f"{desk.url}{path}", timeout=20).text for path in public]
        # The operator's overview is open on screens in newsrooms.
        seen += [browser.get(f"{desk.url}/status", timeout=20).text, desk.get("/status.json").text]
        pushed = outlet.of(article)
        if datetime.now(UTC) < ends:  # looking takes time; a look that ended later proves nothing
            looks += 1
            assert [word for word in secrets if any(word in text for text in seen)] == [], at
            assert pushed == []
    assert looks > 1
    push = the_push(outlet, article, 1)
    wait_for_feeds(desk, "Quillfeather")
    seconds_late = datetime.now(UTC) - ends
    assert push.at >= ends.timestamp()
    assert push.data["headline"] == story["headline"]
    assert seconds_late < timedelta(seconds=PROMISED)
    wait_for_page(browser, f"{desk.url}/status", "Quillfeather")


def test_a_story_killed_under_embargo_never_appears_anywhere(desk: RunningDesk, outlet: Outlet) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    story = a_story(headline="Never to be heard of", embargo_until=ends.isoformat())
    article = desk.post(story).json()["article"]
    assert desk.post({"id": story["id"], "version": 2, "status": "killed"}).status_code == 202
    eventually(lambda: datetime.now(UTC) > ends, within=PATIENCE, what="the embargo's end")
    after = a_story()
    the_push(outlet, desk.post(after).json()["article"], 1)
    for text in wait_for_feeds(desk, after["headline"]).values():
        assert article not in text
        assert "Never to be heard of" not in text
    assert outlet.of(article) == []


def test_a_repeated_post_gets_the_first_answer_and_is_pushed_once(desk: RunningDesk, outlet: Outlet) -> None:
    story = a_story()
    first = desk.post(story, message_id=f"first-{story['id']}")
    again = desk.post(story, message_id=f"first-{story['id']}")
    restated = desk.post(story)
    other = desk.post({**story, "headline": "Another"}, message_id=f"first-{story['id']}")
    assert (first.status_code, again.status_code, restated.status_code) == (202, 202, 202)
    assert again.json()["event"] == restated.json()["event"] == first.json()["event"]
    assert restated.json()["outcome"] == "repeat"
    assert other.status_code == 409
    article = first.json()["article"]
    the_push(outlet, article, 1)
    the_push(outlet, desk.post(a_story()).json()["article"], 1)
    assert len(outlet.of(article)) == 1


def test_the_commands_work_against_the_running_desk(desk: RunningDesk, outlet: Outlet) -> None:
    story = a_story()
    file = desk.folder / "story.json"
    file.write_text(json.dumps(story))
    published = desk.dateline("publish", str(file), "--source", "wire")
    article = published["article"]
    first = the_push(outlet, article, 1)

    replayed = desk.dateline("replay", "--article", article)
    assert replayed["count"] == 1
    second = eventually(lambda: outlet.of(article)[1:], within=PATIENCE, what="the replay")[0]
    assert (second.id, second.body) == (replayed["deliveries"][0], first.body)
    assert second.id != first.id

    [endpoint] = desk.endpoints.values()
    desk.dateline("endpoint", "pause", str(endpoint), "--reason", "moving house")
    waiting = a_story()
    held_back = desk.post(waiting).json()["article"]
    assert desk.post({**waiting, "version": 2, "headline": "Newer"}).status_code == 202
    killed = desk.dateline("kill", article, "--reason", "libel, says counsel")
    assert killed["type"] == "article.killed"
    kill = the_push(outlet, article, 2)  # a kill goes to a paused endpoint too
    assert "libel" not in kill.body.decode()
    assert outlet.of(held_back) == []
    [state] = desk.get("/status.json").json()["partners"][0]["endpoints"]
    assert (state["state"], state["backlog"]) == ("Paused by an operator", 1)

    desk.dateline("endpoint", "resume", str(endpoint))
    the_push(outlet, held_back, 2)
    assert [each.data["revision"] for each in outlet.of(held_back)] == [2]
    for text in wait_for_feeds(desk, "Newer").values():
        assert story["headline"] not in text
        assert "libel" not in text

    health = desk.dateline("doctor")
    assert health["ok"], health


def test_each_push_has_its_own_id_and_the_next_sequence_number(desk: RunningDesk, outlet: Outlet) -> None:
    pushes = [the_push(outlet, desk.post(a_story()).json()["article"], 1) for _ in range(3)]
    assert all(each.headers["content-type"] == "application/json" for each in pushes)
    assert len({each.id for each in pushes}) == 3
    sequences = [int(each.headers["dateline-sequence"]) for each in pushes]
    assert sequences == list(range(sequences[0], sequences[0] + 3))
    assert outlet.refused == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the parts are no forks")
def test_no_part_has_a_file_of_up_open_and_up_has_neither_the_record_nor_a_thread(desk: RunningDesk) -> None:
    state = supervise.read_state(desk.data_dir)
    assert state
    up = Path(f"/proc/{state['pid']}")
    eventually(
        lambda: len(open_files(up) - {supervise.LOCK_FILE}) == 0, within=PATIENCE, what="no other file"
    )
    assert len(list((up / "task").iterdir())) == 1
    for name, pid in desk.children().items():
        assert supervise.LOCK_FILE not in open_files(Path(f"/proc/{pid}")), name
        assert os.getsid(pid) == pid, name
        assert name == "redis" or Path(f"/proc/{pid}/cmdline").read_text().startswith("dateline\0"), name


def open_files(process: Path) -> set[str]:
    """The names of the files in the data directory that a process has open."""
    names = set()
    for each in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            place = Path(os.readlink(each))
            names |= {place.name} if place.parent.name == "desk" else set()
    return names
