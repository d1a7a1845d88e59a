"""Dates in request headers that no calendar has. RFC 9110 (13.1.3) has them ignored; Werkzeug fails on some of them."""

from __future__ import annotations

from flask import Flask, request
from werkzeug.http import parse_date

_DATE_HEADERS = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE")


def register(app: Flask) -> None:
    """Drops such headers before any route sees them."""
    app.before_request(_drop)


def _drop() -> None:
    for name in _DATE_HEADERS:
        value = request.environ.get(name)
        if value is not None and not _is_readable(value):
            del request.environ[name]
            if name == "HTTP_IF_RANGE":  # its condition is not met: the whole is to be sent
                request.environ.pop("HTTP_RANGE", None)


def _is_readable(value: str) -> bool:
    """False for a value that `parse_date` raises at, such as a time zone of 14 digits. It returns None for no date."""
    try:
        parse_date(value)
    except (OverflowError, ValueError):
        return False
    return True
