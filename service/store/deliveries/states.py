"""States of a delivery, the transitions between them, and which delivery may go: the only place for these rules.

`state_writes` has the statements that change a state, `due_times` those that change only when a delivery is due. No
other module writes the table (tests/architecture/test_glossary.py).
The columns hold the values of these enums; the table's own CHECK names the same states (schema/deliveries.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum, StrEnum


class State(StrEnum):
    PENDING = "pending"  # due for its first attempt, or for the first since a replay
    WAITING = "waiting"  # due for a retry
    SENDING = "sending"  # on the wire: one worker has its lease
    DELIVERED = "delivered"
    DEAD = "dead"  # given up
    SUPERSEDED = "superseded"  # a newer revision goes instead
    CANCELLED = "cancelled"  # the story was taken down, and the endpoint holds nothing of it


class Priority(IntEnum):
    """The lower goes first. A takedown has this priority and nothing else has it: of a usable
    revision, it tells one endpoint to remove it."""

    TAKEDOWN = 0
    CORRECTION = 1  # also a restoration
    NEWS = 2
    BACKFILL = 3


UNSETTLED = (State.PENDING, State.WAITING)  # these wait to be sent, in the words of the table's partial index
TERMINAL = (State.DELIVERED, State.DEAD, State.SUPERSEDED, State.CANCELLED)


@dataclass(frozen=True)
class Transition:
    """An allowed change of state: from one of `sources` to one of `targets`. A new row comes from no state."""

    name: str
    sources: tuple[State, ...]
    targets: tuple[State, ...]

    def allows(self, before: State | None, after: State) -> bool:
        return after in self.targets and (before in self.sources if self.sources else before is None)

    def guard(self, delivery: str = "") -> str:
        """The SQL condition that a row, of the table or alias `delivery`, must meet to be changed."""
        return in_states(self.sources, delivery)


def in_states(states: Collection[State], delivery: str = "") -> str:
    column = f"{delivery}.state" if delivery else "state"
    names = [f"'{each.value}'" for each in states]
    return f"{column} = {names[0]}" if len(names) == 1 else f"{column} IN ({', '.join(names)})"


# A late router writes what is stale already as superseded.
ENQUEUE = Transition("enqueue", (), (State.PENDING, State.SUPERSEDED))
CLAIM = Transition("claim", UNSETTLED, (State.SENDING,))
SETTLE = Transition("settle", (State.SENDING,), (State.DELIVERED, State.WAITING, State.DEAD))
GIVE_BACK = Transition("give back", (State.SENDING,), UNSETTLED)
RECOVER = Transition("recover", (State.SENDING,), (State.WAITING,))
SUPERSEDE = Transition("supersede", UNSETTLED, (State.SUPERSEDED,))
CANCEL = Transition("cancel", (State.SUPERSEDED,), (State.CANCELLED,))
WITHDRAW = Transition(
    "withdraw", UNSETTLED, (State.CANCELLED,)
)  # a takedown of what turned out not to be held
REVIVE = Transition("revive", (State.DEAD,), (State.PENDING,))
REPEAT = Transition("repeat", (), (State.PENDING,))  # what was delivered goes again as a row of its own

TRANSITIONS = (ENQUEUE, CLAIM, SETTLE, GIVE_BACK, RECOVER, SUPERSEDE, CANCEL, WITHDRAW, REVIVE, REPEAT)


def overtakes(newer: str, older: str) -> str:
    """SQL: the delivery `newer` makes `older`, of the same article at the same endpoint, stale.

    Only an endpoint that wants every revision still gets the older one, and never once the story was taken down. The
    wish is written in each row: one that an operator has changed since holds for what is routed from then on.
    """
    return (
        f"({newer}.revision > {older}.revision"
        f" AND ({newer}.priority = {Priority.TAKEDOWN.value} OR NOT ({newer}.ordered AND {older}.ordered)))"
    )


def holds_back(other: str, this: str) -> str:
    """SQL: the delivery `other`, of the same article at the same endpoint, keeps `this` from being sent now.

    It is on the wire; or it overtakes `this`, whatever became of it (what was superseded or given up may have arrived);
    or, at an endpoint that wants every revision, it is older and waits. A takedown waits for nothing that waits.
    """
    in_turn = f"{this}.ordered AND {other}.ordered AND {this}.priority <> {Priority.TAKEDOWN.value}"
    return (
        f"({in_states([State.SENDING], other)} OR {overtakes(other, this)}"
        f" OR ({in_turn} AND {other}.revision < {this}.revision AND {in_states(UNSETTLED, other)}))"
    )


def may_hold(this: str) -> str:
    """SQL: the endpoint of the delivery `this` holds some revision of its article, or may.

    There is a receipt; or a push of it was sent and not refused; or one is on the wire now. Its takedown is owed then.
    """
    return (
        f"(EXISTS (SELECT 1 FROM delivery h WHERE h.article_id = {this}.article_id"
        f" AND h.endpoint_id = {this}.endpoint_id AND (h.reached OR {in_states([State.SENDING], 'h')}))"
        f" OR EXISTS (SELECT 1 FROM receipt p WHERE p.article_id = {this}.article_id"
        f" AND p.endpoint_id = {this}.endpoint_id))"
    )


def embargo(this: str) -> str:
    """SQL: until when the present embargo of its article keeps the delivery `this`, whichever revision it is of; 0 if
    nothing does. No takedown waits for an embargo."""
    return (
        f"(SELECT CASE WHEN {this}.priority > {Priority.TAKEDOWN.value} AND a.status = 'usable'"
        f" THEN coalesce(a.embargo_until, 0) ELSE 0 END FROM article a WHERE a.id = {this}.article_id)"
    )


def due(this: str) -> str:
    """SQL: now, or when the embargo of the delivery `this` ends."""
    until = embargo(this)
    return f"(CASE WHEN {until} > :now THEN {until} ELSE :now END)"


def claimable(this: str) -> str:
    """SQL: the delivery `this` may be sent at :now, if its own time has come and its endpoint takes it."""
    return f"{CLAIM.guard(this)} AND {may_go(this)} AND {embargo(this)} <= :now"


def may_go(this: str) -> str:
    """SQL: nothing of its article at its endpoint holds the unsettled delivery `this` back. Its time, and what holds
    the whole endpoint, are asked elsewhere."""
    return (
        f"NOT EXISTS (SELECT 1 FROM delivery o WHERE o.article_id = {this}.article_id"
        f" AND o.endpoint_id = {this}.endpoint_id AND {holds_back('o', this)})"
    )
