"""The end of a run before its time: by SIGTERM as by Ctrl-C, so that nothing it started or wrote is left behind."""

from __future__ import annotations

import signal
import sys
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT)


def end_in_order() -> None:
    """Has both signals end this process through its `with` blocks. A second one does not disturb that."""
    for number in _ENDING:
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)
