"""The balance of a round: accepted, recorded, delivered and arrived must be the same, or its figures mean nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load import PostingResult
from service.store import names


@dataclass(frozen=True)
class Balance:
    """A round's account: its events, its deliveries by state. `void` says in words what does not balance."""

    events: int
    states: dict[str, int]
    started: float
    settled: float
    void: str

    @property
    def delivered(self) -> int:
        return self.states.get("delivered", 0)


def imbalance(
    events: int, states: dict[str, int], accepted: int, endpoints: int, arrived: int, *, all_delivered: bool
) -> str:
    """Says in words what does not balance; empty if all does."""
    if events != accepted:
        return f"{accepted} were accepted, but the record has {events} events"
    owed = accepted * endpoints
    if sum(states.values()) != owed:
        return f"{owed} deliveries were owed, but the record has {json.dumps(states)}"
    delivered = states.get("delivered", 0)
    if all_delivered and delivered != owed:
        return f"{owed} were owed, {json.dumps(states)}"
    if arrived < delivered or (all_delivered and arrived != delivered):
        return f"{delivered} stand as delivered, but {arrived} arrived"
    return ""


def latencies(posting: PostingResult, arrivals: Sequence[tuple[float, str, int]]) -> list[float]:
    """The seconds from the time each post was due to its first arrival at each partner that took it."""
    first: dict[str, float] = {}
    for at, name, status in arrivals:
        if status == 200:
            first[name] = min(at, first.get(name, at))
    return [
        at - due
        for name, at in first.items()
        if (read := names.read_delivery_id(name)) and (due := posting.accepted.get(read.event)) is not None
    ]
