"""The steps of the fault tests: post under load, wait until all is well, balance the ledger."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import redis
import requests

from service.runtime import embedded_redis
from service.settings import Settings
from tests.chaos import ledger, load
from tests.chaos.conftest import CLIENTS, LONG
from tests.chaos.siege import besieged
from tests.desk import RunningDesk, eventually
from tests.outlet import Outlet

PATIENCE = 60.0
_names = itertools.count(1)


def some_stories(count: int) -> list[load.LoadStory]:
    return load.stories(f"load-{next(_names)}", count)


def a_story() -> dict[str, Any]:
    number = next(_names)
    return {"id": f"f{number}", "headline": f"Fault {number}", "body_html": "<p>-</p>", "sections": ["world"]}


def redis_of(desk: RunningDesk) -> redis.Redis:
    path = embedded_redis.socket_path(Settings(data_dir=desk.data_dir))
    return redis.Redis(unix_socket_path=str(path), socket_timeout=5)


def wipe_redis(desk: RunningDesk) -> None:
    with redis_of(desk) as client:
        client.flushall()


def workers(desk: RunningDesk) -> dict[str, int]:
    return {name: pid for name, pid in desk.children().items() if name.startswith("w") and name != "web"}


def post_all(desk: RunningDesk, stories: Sequence[load.LoadStory], seconds: float) -> int:
    """Posts every version, spread evenly over the seconds; repeats each post until it gets a 202, as sources do.

    Returns the number of answers 503.
    """
    refusals = 0
    turns = list(load.in_order(stories, seed=len(stories)))
    began = time.monotonic()
    with requests.Session() as session:
        for count, (story, post) in enumerate(turns):
            wait = began + count * seconds / len(turns) - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            answer, refused = insist(desk, post, session)
            story.public_id = answer["article"]
            refusals += refused
    return refusals


@dataclass(frozen=True)
class BackgroundLoad:
    """A load that is being posted. `posted`: the number of its answers 503, at the end."""

    posted: Future[int]

    def wait_for_a_push(self, outlet: Outlet, than: int) -> None:
        """Until the outlet has more pushes; or all is posted, so that none need come."""
        eventually(lambda: len(outlet.pushes) > than or self.posted.done(), within=10, what="another push")


@contextmanager
def under_load(
    desk: RunningDesk, stories: Sequence[load.LoadStory], seconds: float
) -> Iterator[BackgroundLoad]:
    """Posts the stories in the background; they all have their 202 at the end. In the long form clients besiege it."""
    with besieged(desk, **CLIENTS) if LONG else nullcontext(), ThreadPoolExecutor(1) as newsroom:
        posted = newsroom.submit(post_all, desk, stories, seconds)
        yield BackgroundLoad(posted)
        posted.result()


def insist(desk: RunningDesk, post: load.LoadPost, session: requests.Session) -> tuple[dict[str, Any], int]:
    """Posts until the answer is 202; returns it and the number of 503s before it, each with a Retry-After."""
    refusals = 0

    def accepted() -> dict[str, Any]:
        nonlocal refusals
        try:
            answer = desk.post(post.article, message_id=post.message_id, session=session)
        except requests.ConnectionError:
            return {}
        assert answer.status_code in {202, 503}, answer.text
        if answer.status_code == 202:
            return dict(answer.json())
        assert int(answer.headers["Retry-After"]) > 0
        refusals += 1
        return {}

    return eventually(accepted, within=20, what=f"a 202 for {post.message_id}"), refusals


def wait_until_settled(desk: RunningDesk, within: float) -> None:
    eventually(lambda: ledger.unsettled(desk) == 0, within=within, what="every delivery settled")


def balance(desk: RunningDesk, outlet: Outlet, stories: Sequence[load.LoadStory]) -> ledger.Ledger:
    """Waits until all is settled, then compares the desk's account with the arrivals; fails where they differ."""
    wait_until_settled(desk, PATIENCE)
    found = ledger.read(desk, outlet, stories)
    ledger.assert_nothing_is_lost(found, stories, desk.endpoints)
    ledger.assert_nothing_is_stale(found)
    ledger.assert_every_delivery_is_settled(found)
    ledger.assert_repeats_are_the_same(found)
    assert outlet.refused == []
    return found


def seen_workers(desk: RunningDesk) -> list[dict[str, Any]]:
    answer = desk.get("/status.json")
    answer.raise_for_status()
    return list(answer.json()["pipeline"]["workers"])


def wait_until_all_is_well(desk: RunningDesk) -> None:
    """Waits until the web answers, every worker runs and reaches Redis, and no delivery is under way."""

    def well() -> bool:
        try:
            running = [each for each in seen_workers(desk) if each["running"]]
            unsettled = ledger.unsettled(desk)
        except requests.ConnectionError:
            return False
        except requests.HTTPError as error:
            if error.response.status_code != 503:  # that is for a moment after the record is back
                raise
            return False
        names = sorted(each["name"].partition(".")[0] for each in running if each["broker"] == "up")
        return names == sorted(desk.children().keys() - {"web", "redis"}) and unsettled == 0

    try:
        eventually(well, within=PATIENCE, what="all well")
    except AssertionError as error:
        found = f"{ledger.unsettled(desk)} unsettled, workers {seen_workers(desk)}"
        raise AssertionError(f"{error}: {found}; {desk.log()[-3000:]}") from None


REPEATS = 3


def post_as_a_client(desk: RunningDesk, story: dict[str, Any]) -> dict[str, Any]:
    """Posts as content systems do: a 503 is sent again after its `Retry-After`, at the most three times.

    Each process of the web finds out by itself that the record is back, so that one may refuse while another accepts.
    """
    answer = desk.post(story)
    for _ in range(REPEATS):
        if answer.status_code != 503:
            break
        time.sleep(int(answer.headers["Retry-After"]))
        answer = desk.post(story)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def seconds_until_pushed(desk: RunningDesk, outlet: Outlet, story: dict[str, Any]) -> float:
    """The seconds from the 202 until the last endpoint has the story."""
    article = post_as_a_client(desk, story)["article"]
    accepted = time.time()
    pushes = eventually(
        lambda: len(found := outlet.of(article)) == len(desk.endpoints) and found,
        within=15,
        what="its pushes",
    )
    return max(each.at for each in pushes or ()) - accepted
