"""Transactions that several threads share: what came while one was committed is written by the next, all together.

A commit on SQLite costs as much processor time as half a dozen small statements, and a wait for the disk, whatever was
written. No timer gathers acts: the first one begins at once, and those that come until it ends share the next.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from service.store.database.sql import Statement
from service.store.errors import RecordUnavailable

_Written = TypeVar("_Written")

ACTS_MAX = 32  # in one transaction: the first of them waits for the last
WAIT_SECONDS = 30.0  # a transaction waits ten for the file's lock, and two may be ahead

_KEEP, _BACK, _GO_ON = (
    Statement(words) for words in ("SAVEPOINT act", "ROLLBACK TO SAVEPOINT act", "RELEASE SAVEPOINT act")
)


_FAILED = "the transaction that others of this process shared failed: {}"


class _Act(Generic[_Written]):
    """An act of one thread, which sleeps until `wake`: then it leads, or its act has ended."""

    def __init__(self, write: Callable[[Connection], _Written]) -> None:
        self._write = write
        self._asleep = threading.Lock()
        self._asleep.acquire()
        self.leads = False
        self.has_ended = False
        self._result: _Written
        self._error: BaseException | None = None

    def run(self, connection: Connection) -> None:
        """In a part of the transaction of its own: an act that fails leaves nothing, and harms no other."""
        _KEEP.run(connection, {})
        try:
            self._result = self._write(connection)
        except Exception as error:
            try:
                _BACK.run(connection, {})
            except DBAPIError:  # the database ended the transaction, as it does when the disk is full
                raise error from None
            self._error = error
        _GO_ON.run(connection, {})

    def end(self, error: BaseException | None = None) -> None:
        """`error`: the transaction failed, and so did all in it."""
        self._error = error or self._error
        self.has_ended = True
        self.wake()

    def wake(self) -> None:
        self._asleep.release()

    def sleep(self, seconds: float) -> bool:
        return self._asleep.acquire(timeout=seconds)

    def result(self) -> _Written:
        if self._error is not None:
            raise self._error
        return self._result


class SharedWriting:
    """Runs acts in transactions that they share. `begin` opens one, and commits it when its block ends."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._waiting: deque[_Act[Any]] = deque()
        self._is_led = False

    def run(self, write: Callable[[Connection], _Written]) -> _Written:
        """Returns what `write` returned, once it is committed; passes on what it raised, and then nothing of it stands.

        Raises what `begin` and its commit raise, RecordUnavailable if that was in another thread, or after 30 s
        without an answer.
        """
        act = _Act(write)
        with self._lock:
            self._waiting.append(act)
            act.leads, self._is_led = not self._is_led, True
        if not act.leads and not act.sleep(WAIT_SECONDS):
            self._give_up(act)
        if act.leads:
            self._lead()
        return act.result()

    def _give_up(self, act: _Act[Any]) -> None:
        with self._lock:
            if act.leads or act.has_ended:
                return  # it was woken at this very moment
            if act in self._waiting:
                self._waiting.remove(act)
        raise RecordUnavailable(
            f"others of this process have been writing to the record for {WAIT_SECONDS:.0f} s"
        )

    def _lead(self) -> None:
        """Writes what waits, one's own act among it, and lets the first of those that came meanwhile lead."""
        with self._lock:
            acts = [self._waiting.popleft() for _ in range(min(ACTS_MAX, len(self._waiting)))]
        error: BaseException | None = None
        try:
            self._write(acts)
        except BaseException as failure:
            error = failure
            raise
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].wake()
                else:
                    self._is_led = False
            for act in acts:
                # Each its own: an error that several threads raise grows by the path of each.
                act.end(None if error is None else RecordUnavailable(_FAILED.format(error)[:300]))

    def _write(self, acts: Iterable[_Act[Any]]) -> None:
        with self._begin() as connection:
            for act in acts:
                act.run(connection)
