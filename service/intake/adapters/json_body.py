"""A request's body as one JSON object (RFC 8259), stricter than Python reads it."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

import orjson

from service.intake import text

DEPTH = 50  # levels of lists and objects in each other


class NotJson(ValueError):
    """The body is not one JSON object. `detail` says why."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def decode(raw: bytes) -> dict[str, Any]:
    """The object in `raw`. Raises NotJson."""
    try:
        value = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
        )
    except UnicodeDecodeError as error:
        raise NotJson(f"The body is not UTF-8: byte {error.start} does not belong there.") from error
    except RecursionError as error:
        raise NotJson(_too_deep()) from error
    except json.JSONDecodeError as error:
        raise NotJson(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except NotJson:
        raise
    except ValueError as error:  # Python reads no integer of more than 4,300 digits
        raise NotJson("The body has a number that is too long to be read.") from error
    if not isinstance(value, dict):
        raise NotJson("The body must be one JSON object: {…}.")
    if _is_deeper(value, DEPTH):
        raise NotJson(_too_deep())
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson(
            f"The name {text.shown(_first_twice(pairs))!r} is twice in one object: leave one of them out."
        )
    return found


def _first_twice(pairs: list[tuple[str, Any]]) -> str:
    """The first of the names that stand twice: counted at once, for a body may have a hundred thousand names."""
    names = [name for name, _ in pairs]
    counts = Counter(names)
    return next(name for name in names if counts[name] > 1)


def _no_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not JSON: write a number or null.")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJson("The body has a number that is too large to be read.")
    return number


def _too_deep() -> str:
    return f"The body is nested deeper than {DEPTH} levels."


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for part in level
            if isinstance(part, (dict, list))
            for child in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return False
    return any(isinstance(part, (dict, list)) for part in level)


def decoded_size(value: object) -> int:
    """The bytes of JSON without its blanks and escapes: some systems write six for a letter of two."""
    try:
        return len(orjson.dumps(value))
    except (
        orjson.JSONEncodeError
    ):  # a number beyond 64 bits, half of a character: the standard library takes them
        whole = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return len(whole.encode("utf-8", "surrogatepass"))
