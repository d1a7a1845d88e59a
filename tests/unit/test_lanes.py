"""The turns of senders in a lane, and the address that a client counts as."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from queue import SimpleQueue

import pytest

from service.serving.server.lanes import AHEAD, KnownSenders, ThreadLane
from service.serving.server.limits import Limits
from service.serving.server.refusals import OVER_SHARE, OVERLOADED, Refusal
from service.serving.server.wsgi_bridge import Job

THREADS = 2


@dataclass
class QueuedPost:
    """A request of a sender that notes what became of it."""

    sender: str
    begun: list[str]
    queued_at: float = 0.0
    gone: bool = False
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def flow(self) -> tuple[str]:
        return (self.sender,)

    def start(self) -> Job | None:
        if self.gone:
            return None
        self.begun.append(self.sender)
        return Job({}, lambda _answer: None)

    def refuse(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)


def a_lane(queue: int = 4) -> ThreadLane:
    return ThreadLane(SimpleQueue(), THREADS, queue)


def put(lane: ThreadLane, begun: list[str], senders: str) -> list[QueuedPost]:
    posts = [QueuedPost(sender, begun) for sender in senders]
    for each in posts:
        lane.put(each)
    return posts


def test_senders_take_turns_however_many_each_has() -> None:
    lane, begun = a_lane(100), list[str]()
    put(lane, begun, "a" * (THREADS + AHEAD))
    put(lane, begun, "a" * 10 + "b" * 2 + "c")
    begun.clear()
    for _ in range(6):
        lane.finished()
    assert "".join(begun) == "abcaba"


def test_full_lane_refuses_the_only_sender_and_says_that_too_much_came() -> None:
    lane, begun = a_lane(), list[str]()
    *_, last = put(lane, begun, "a" * (THREADS + AHEAD + 5))
    assert last.refusals == [OVERLOADED]
    assert lane.waiting == 4


def test_newcomer_of_a_full_lane_takes_the_place_of_the_newest_of_the_sender_that_has_most() -> None:
    lane, begun = a_lane(), list[str]()
    *_, newest = put(lane, begun, "a" * (THREADS + AHEAD + 4))
    [other] = put(lane, begun, "b")
    assert (other.refusals, newest.refusals) == ([], [OVER_SHARE])
    assert lane.refusal(("a",)) == OVER_SHARE
    assert lane.refusal(("c",)) is None
    assert lane.waiting == 4


def test_request_that_waited_too_long_is_refused_and_its_place_is_free() -> None:
    lane, begun = a_lane(), list[str]()
    put(lane, begun, "a" * (THREADS + AHEAD))
    old, new = QueuedPost("a", begun, queued_at=1), QueuedPost("a", begun, queued_at=3)
    lane.put(old)
    lane.put(new)
    lane.expire(before=2)
    assert (old.refusals, new.refusals, lane.waiting) == ([OVERLOADED], [], 1)


def test_request_whose_client_has_gone_takes_no_thread() -> None:
    lane, begun = a_lane(), list[str]()
    put(lane, begun, "a" * (THREADS + AHEAD))
    lane.put(QueuedPost("b", begun, gone=True))
    put(lane, begun, "c")
    begun.clear()
    lane.finished()
    assert begun == ["c"]
    assert (lane.waiting, lane.running) == (0, THREADS + AHEAD)


def test_known_senders_are_bounded() -> None:
    known = KnownSenders(most=3)
    for number in range(10):
        known.add(number)
    assert 9 in known
    assert sum(number in known for number in range(10)) <= 3


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "rubbish", "rubbish"),
    ],
)
def test_client_behind_a_trusted_proxy_is_the_last_address_that_is_none_of_ours(
    peer: str, forwarded: str, client: str
) -> None:
    assert Limits(trusted=(ip_network("10.0.0.0/8"),)).client_of(peer, forwarded) == client
