"""Parameters of a request's address: a route names the ones it reads, and every other is refused."""

from __future__ import annotations

from flask import request

from service.http.problems import Problem
from service.plain_text import printable

_NAMED_MAX = 10  # names in a refusal
_LETTERS_MAX = 60  # of each of them


def require_known(*known: str) -> None:
    """A 400 that names the parameters which the route does not read, or that stand twice.

    A parameter that is ignored does harm: `?dry_run=1` would publish.
    """
    unknown = [name for name in request.args if name not in known]
    if unknown:
        has = f"this address has {_listed(known)}" if known else "this address has none"
        raise Problem(400, "query", f"unknown parameter {_listed(unknown)}: {has}; nothing was changed")
    if twice := [name for name in known if len(request.args.getlist(name)) > 1]:
        raise Problem(400, "query", f"parameter {_listed(twice)} stands more than once: give one value")


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = [f"?{printable(name[:_LETTERS_MAX])}=" for name in names[:_NAMED_MAX]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
