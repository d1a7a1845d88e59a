"""One run of the benchmarks: its size, its folder, its databases."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.databases import Databases
from bench.desk import BenchDesk
from bench.processes import Processes
from bench.sink import Sink

ROUNDS = 3
ROW_SECONDS = 25.0  # no further round is begun after this
Amount = TypeVar("Amount", int, float)


@dataclass
class Run:
    """A run; a `quick` one has one small round: it shows that everything works, and its figures are rough."""

    root: Path
    databases: Databases
    quick: bool
    most_rounds: int | None = None  # as many as asked for; otherwise three, or one if quick
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def rounds(self) -> Iterator[int]:
        """The rounds' numbers; fewer than wanted on a machine so slow that a row would not end."""
        started = time.monotonic()
        for number in range(self.most_rounds or (1 if self.quick else ROUNDS)):
            if number and time.monotonic() - started > ROW_SECONDS:
                return
            yield number

    def scaled(self, whole: Amount, quick: Amount) -> Amount:
        return quick if self.quick else whole

    def folder(self) -> Path:
        """A new, empty folder."""
        path = self.root / str(next(self._numbers))
        path.mkdir()
        return path

    @contextmanager
    def desk(self, database: str) -> Iterator[tuple[BenchDesk, Processes]]:
        """An empty desk and the processes to run it with; both end with the block."""
        folder = self.folder()
        with Processes(folder) as processes:
            desk = BenchDesk(processes, folder, self.databases.url(database, folder))
            try:
                yield desk, processes
            finally:
                desk.close()

    @contextmanager
    def desk_and_sink(
        self, database: str, *, misbehaving: bool = False
    ) -> Iterator[tuple[BenchDesk, Sink, Processes]]:
        """The same, with partners to push to."""
        with self.desk(database) as (desk, processes):
            yield desk, Sink(processes, self.folder(), misbehaving=misbehaving), processes
