"""Parameters of a request's address: a route names the ones it reads, and every other is refused."""

from __future__ import annotations

from flask import request

from service.http.problems import Problem
from service.plain_text import printable

NUMBER_MAX = 2**53  # in an address: what every reader of JSON holds exactly
_NAMED_MAX = 10  # names in a refusal
_LETTERS_MAX = 60  # of each of them
_DIGITS_MAX = 19


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


def whole_number(name: str, default: int = 0, most: int = NUMBER_MAX) -> int:
    """The value of a parameter; `default` if it is left out. Raises a 400 for all but a number from 0 to `most`."""
    text = request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX or int(text) > most:
        raise wrong_value(name, f"a whole number from 0 to {most}")
    return int(text)


def wrong_value(name: str, right: str) -> Problem:
    """A 400 that names the parameter, says in words what it is, and shows the value that it has."""
    value = request.args.get(name, "")
    more = "…" if len(value) > _LETTERS_MAX else ""
    return Problem(400, "query", f"?{name}= is {right}: {printable(value[:_LETTERS_MAX]) + more!r} is none")


def _listed(names: list[str] | tuple[str, ...]) -> str:
    shown = [f"?{printable(name[:_LETTERS_MAX])}=" for name in names[:_NAMED_MAX]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more > 0 else "")
