"""Pages of lists that may be long: what comes after a key, which the address has, and the key of the next page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flask import request

from service.http import parameters

Each = TypeVar("Each")
ROWS_SHOWN = 25


@dataclass(frozen=True)
class ListPage(Generic[Each]):
    """A part of a list that may be long. `after`: the key in the address of the next page; None on the last."""

    shown: Sequence[Each]
    before: int  # of it on the pages before
    total: int
    after: object | None


def list_page(
    every: Sequence[Each], key: Callable[[Each], object], parameter: str, size: int = ROWS_SHOWN
) -> ListPage[Each]:
    """The page that the address asks for: what comes after the item of that key. Raises a 400 for a key of no item."""
    wanted = request.args.get(parameter)
    places = (number for number, each in enumerate(every, 1) if str(key(each)) == wanted)
    start = 0 if wanted is None else next(places, None)
    if start is None:
        raise parameters.wrong_value(parameter, "the last item of a page of this list")
    shown = every[start : start + size]
    more = start + size < len(every)
    return ListPage(shown, start, len(every), key(shown[-1]) if more else None)
