"""Values out of a system's JSON, of which nothing is certain: each read gives what is asked for, or nothing."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service import times
from service.intake import text
from service.intake.adapters.adapter import Unreadable
from service.intake.article import LIMITS

_TAG = re.compile(r"<[^<>]{0,2000}>")


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises Unreadable."""
    value = _loaded(body)
    if not isinstance(value, dict):
        raise Unreadable("the body is not a JSON object")
    return value


def decoded_list(body: bytes) -> list[dict[str, Any]]:
    """The objects of the JSON list in a body. Raises Unreadable."""
    value = _loaded(body)
    if not isinstance(value, list):
        raise Unreadable("the body is not a JSON list")
    return objects(value)


def _loaded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None


def part(value: Any, *names: str | int) -> Any:
    """The value at a place within objects and lists; None if it is not there."""
    for name in names:
        if isinstance(name, int):
            value = value[name] if isinstance(value, list) and -len(value) <= name < len(value) else None
        else:
            value = value.get(name) if isinstance(value, Mapping) else None
    return value


def at_pointer(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer (RFC 6901). Through a list without a number: that part of each of its items."""
    tokens = [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]
    for place, token in enumerate(tokens):
        if isinstance(value, list) and not (token.isascii() and token.isdigit()):
            rest = "".join(f"/{each.replace('~', '~0').replace('/', '~1')}" for each in tokens[place:])
            return [
                found
                for found in (at_pointer(each, rest) for each in value if isinstance(each, dict))
                if found is not None
            ]
        value = part(value, int(token) if isinstance(value, list) and len(token) < 10 else token)
    return value


def an_object(value: Any, *names: str | int) -> dict[str, Any]:
    found = part(value, *names)
    return found if isinstance(found, dict) else {}


def objects(value: Any, *names: str | int) -> list[dict[str, Any]]:
    """The objects of the list there."""
    found = part(value, *names)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def words(value: Any, *names: str | int) -> str:
    """The text there, empty if there is none."""
    found = part(value, *names)
    return found if isinstance(found, str) else ""


def a_moment(value: Any, *names: str | int) -> datetime | None:
    """The time there in ISO 8601, read as UTC unless it says otherwise; None if there is none."""
    try:
        return times.from_iso(words(value, *names))
    except ValueError:
        return None


def an_id(value: Any, *names: str | int) -> str:
    """The id there, a text or a number; empty if there is none that an article may have."""
    found = part(value, *names)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= LIMITS["version"]:
        return str(found)
    usable = isinstance(found, str) and found == found.strip() and found == text.line(found)
    return found if usable and len(found) <= LIMITS["id"] else ""


def plain(markup: str) -> str:
    """One line of text out of a little HTML: without its tags, its entities decoded."""
    try:
        return text.line(html.unescape(_TAG.sub("", markup)))
    except ValueError:  # a reference of more than 4,300 digits
        return text.line(markup)


def filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}
