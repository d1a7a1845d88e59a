"""The parameters that each page below /status reads, and the values that they may have. A wrong one is a 400 that
names it and shows how to write it: shown as if it were not there, the page would tell of other things than were asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flask import request

from service import times
from service.console.login import own_path
from service.http import parameters
from service.store import names
from service.store.views.history import HistoryPart
from service.store.views.holdings import read_place

_ANY_PARAMETER = {
    "pages.nothing",
    "pages.style",
}  # of a page that is not there, and the style sheet, whose stamp is one


@dataclass(frozen=True)
class PageParameter:
    """`is_right` of a value; its meaning in words, and a value as it should be."""

    is_right: Callable[[str], bool]
    words: str
    example: str


def _is_row(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19 and names.is_row(int(text))


def _is_revision(text: str) -> bool:
    return _is_row(text) and int(text) < HistoryPart.before


def _is_moment(text: str) -> bool:
    try:
        times.from_iso(text)
    except ValueError:
        return False
    return True


def _is_slug(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isascii() and text.replace("-", "").isalnum()


_ENDPOINT = PageParameter(_is_row, "the number of an endpoint", "3")
_FEED = PageParameter(_is_row, "the number of a partner's feed", "3")
_REVISION = PageParameter(_is_revision, "the number of a revision", "12")
_HOLDER = PageParameter(lambda text: read_place(text) is not None, "a place in the list of holders", "0.3.7")
_PARTNER = PageParameter(_is_slug, "the name of a partner", "herald")
_ARTICLE = PageParameter(
    names.is_article, "the id of an article, or its last part", "01KDYH8H7ZJ4T0M4YQ2W9S5E6C"
)
_DELIVERY = PageParameter(
    lambda text: names.read_delivery_id(text) is not None,
    "the id of a delivery",
    "dlv_01KDYH8H80V7N2B3D4F5G6H7J8_1",
)
_MOMENT = PageParameter(_is_moment, "a time", "2026-01-02T08:00:00Z")
_WORDS = PageParameter(lambda _: True, "any words", "harbour")
_OFF = PageParameter(lambda text: text == "off", "the word off, or left out", "off")
_OWN_PAGE = PageParameter(
    lambda text: own_path(text) == text, "a page of this site below /status", "/status/articles"
)

PAGE_PARAMETERS: Mapping[str, Mapping[str, PageParameter]] = {
    "pages.overview": {"after": _PARTNER, "refresh": _OFF},
    "pages.partner": {"after": _ENDPOINT, "feeds_after": _FEED},
    "pages.articles": {"q": _WORDS, "after": _ARTICLE, "before": _MOMENT},
    "pages.article": {"revisions": _REVISION, "holdings": _HOLDER, "after": _ENDPOINT},
    "pages.event": {"after": _DELIVERY},
    "pages.dead": {"endpoint": _ENDPOINT},
    "pages.login": {"next": _OWN_PAGE},
}


def refuse_wrong() -> None:
    """Raises a 400 for a parameter that this page does not read, or whose value is none that it may have."""
    page = request.endpoint or ""
    if page in _ANY_PARAMETER:
        return
    known = PAGE_PARAMETERS.get(page, {})
    parameters.require_known(*known)
    for name, value in request.args.items():
        if not known[name].is_right(value):
            raise parameters.wrong_value(name, f"{known[name].words}, such as ?{name}={known[name].example}")
