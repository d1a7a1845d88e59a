"""A running desk with sections and a real partner, for a system that an adapter connects."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.desk import RunningDesk
from tests.outlet import Outlet
from tests.systems.partner_view import PartnerView

MAP = ("Business & Money=business", "中国=china")


class ConnectedDesk:
    """Runs within `with`."""

    def __init__(self, folder: Path) -> None:
        (folder / "desk").mkdir()
        self._open = contextlib.ExitStack()
        self._outlet = Outlet()
        self.running = RunningDesk(folder / "desk")
        self.partner = PartnerView(self._outlet)

    def __enter__(self) -> ConnectedDesk:
        with contextlib.ExitStack() as entered:
            entered.enter_context(self._outlet)
            entered.enter_context(self.running)
            self.running.furnish(self._outlet, "/hook")
            self.running.dateline("section", "add", "business", "--title", "Business", "--language", "en")
            self.running.dateline("section", "add", "china", "--title", "China", "--language", "zh-Hans")
            self._open = entered.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def add_source(self, slug: str, adapter: str, *options: str) -> dict[str, Any]:
        """Adds a source; returns what the command printed."""
        maps = [word for each in MAP for word in ("--map", each)]
        return self.running.dateline("source", "add", slug, "--adapter", adapter, *options, *maps)
