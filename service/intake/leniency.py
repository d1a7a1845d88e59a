"""Readings of what content systems write otherwise than asked for and mean without doubt. Pure.

Each returns the value as it is taken, and the words of a warning if that is not what was written.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

LEFT_OUT = "This is empty: it was read as left out."
_BARE_OFFSET = re.compile(r"(.*[0-9][+-][0-9]{2})([0-9]{2})", re.ASCII)
# The zero of .NET and Go, of MySQL, and of Unix: a system's way to say that there is no time.
_NO_MOMENT = re.compile(
    r"(0001-01-01|0000-00-00)([T ]00:00:00(\.0+)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    r"|1970-01-01T00:00:00(\.0+)?(Z|[+-]00:?00)",
    re.IGNORECASE | re.ASCII,
)
_MARKUP = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});|</?[A-Za-z][^<>]*>")
_RELATIVE = re.compile(r"""[^\s\\<>":/?#]*([/?#][^\s\\<>"]*)?""")
ID_MAX = 9 * 10**18  # a round number, which every reader of the schema has exactly


def moment(written: str) -> tuple[str, str | None]:
    """A time; an empty one is left out."""
    if _NO_MOMENT.fullmatch(written):
        return "", "This is a system's zero, and no time: it was read as left out."
    if found := _BARE_OFFSET.fullmatch(written):
        read = f"{found[1]}:{found[2]}"
        return read, f"The offset has no colon: it was read as {read[-6:]}."
    return written, None


def language(written: str) -> tuple[str, str | None]:
    """A language tag, which some systems write as names of locales."""
    if "_" not in written:
        return written, None
    read = written.replace("_", "-")
    return read, f"A language tag has hyphens: it was read as {read[:100]!r}."


def identifier(written: Any) -> tuple[Any, str | None]:
    """A story's id, which is a text."""
    if isinstance(written, float) and written.is_integer():
        written = int(written)
    if isinstance(written, int) and not isinstance(written, bool) and abs(written) <= ID_MAX:
        return str(written), f'This is a number: it was read as the text "{written}".'
    return written, None


def looks_like_html(headline: str) -> bool:
    """Whether a line that is plain text has an entity or a tag in it."""
    return ("&" in headline or "<" in headline) and _MARKUP.search(headline) is not None


def is_relative(address: str) -> bool:
    """Whether an address begins at another's: it has no scheme."""
    return _RELATIVE.fullmatch(address) is not None


def resolved(address: str, base: str | None) -> str | None:
    """A relative address as a whole one; None if there is nothing that it could begin at."""
    if base is None:
        return None
    try:
        return urljoin(base, address)
    except ValueError:
        return None
