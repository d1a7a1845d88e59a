"""Addresses in a story: made absolute, without what tracks readers and without a user's name or password."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urljoin, urlsplit, urlunsplit

_TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|mc_cid|mc_eid|igshid|twclid|ttclid|yclid", re.I
)
_MAY_TRACK = re.compile(r"[?&;](?:utm_|fbclid|g?clid|gcls|dclid|[gw]braid|ms|mc_|ig|tw|tt|yc)", re.I)
_ABSOLUTE = re.compile(r"(?:https?://[^\s/?#\\]|mailto:[^\s])", re.I)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_USER = re.compile(r"(https?:[/\\]{2,})[^/?#\\]*@", re.I)
_CANDIDATE = re.compile(r"([^\s,]\S*[^\s,]|[^\s,])(?:\s+([0-9.]{1,12})([wxh]))?[^,]*(?:,|$)")
_CANDIDATES_MAX = 50
USER_PART = "user name or password in an address"


def without_user(address: str) -> str:
    """The address without `user:password@`: a story must not carry anyone's credentials to every outlet."""
    return _USER.sub(r"\1", address, count=1) if "@" in address else address


def may_track(markup: str) -> bool:
    """False for markup in which no address has a parameter that tracks readers."""
    return _MAY_TRACK.search(markup) is not None


def link(name: str, value: str, base: str | None, removed: Counter[str]) -> str | None:
    """The address of a link (`href`) or picture (`src`) as the story carries it; None, and counted, for none."""
    found = absolute(value, base)
    if found is None or (name == "src" and found[:7].lower() == "mailto:"):
        relative = not _SCHEME.match(value.strip())
        removed[f"attribute {name} with a relative address" if relative else f"attribute {name}"] += 1
        return None
    bare = without_user(found)
    removed[USER_PART] += bare != found
    return _untracked(bare, removed) if name == "href" else bare


def of_media(value: str, base: str | None, removed: Counter[str]) -> str | None:
    """The address of a picture, frame, video or sound; None for one that leads nowhere, and nothing is counted."""
    found = absolute(value, base)
    if found is None or found[:7].lower() == "mailto:":
        return None
    bare = without_user(found)
    removed[USER_PART] += bare != found
    return bare


def absolute(address: str, base: str | None) -> str | None:
    """The address with scheme and host, or None. Without a base, `//host/…` is taken for https."""
    address = address.strip()
    if not _SCHEME.match(address):
        try:
            address = urljoin(base or "https:", address)
        except ValueError:
            return None
    return address if _ABSOLUTE.match(address) else None


def largest(srcset: str) -> str | None:
    """The picture of a srcset with the greatest width or density: the first of several."""
    best, most = None, -1.0
    for place, candidate in enumerate(_CANDIDATE.finditer(srcset)):
        if place >= _CANDIDATES_MAX:
            break
        try:
            size = float(candidate[2] or 1)
        except ValueError:
            continue
        if size > most:
            best, most = candidate[1], size
    return best


def _untracked(address: str, removed: Counter[str]) -> str:
    """Without the parameters that track readers; the rest of the query stays as it was written."""
    if not _MAY_TRACK.search(address):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    pairs = parts.query.split("&")
    wanted = [pair for pair in pairs if not _TRACKING.fullmatch(pair.partition("=")[0])]
    if len(wanted) == len(pairs):
        return address
    removed["tracking parameter"] += len(pairs) - len(wanted)
    return urlunsplit(parts._replace(query="&".join(wanted)))
