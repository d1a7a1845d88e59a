"""WordPress's REST API, as an anonymous reader asks it: one post, the changes, and the ids of all that is public.

A post that comes due by its schedule is not modified then: the changes are two lists, what was modified and what was
published since. Both name posts only, and each is asked for: a page of whole posts may be too large for an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from service import times
from service.intake.adapters import wordpress_posts
from service.intake.adapters.adapter import (
    ApiAnswer,
    ApiRequest,
    ChangedPage,
    Gone,
    Hint,
    IdsPage,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.json_values import a_moment, an_id, decoded, decoded_list, words

PER_PAGE = 100  # the most that WordPress gives
_NOT_PUBLIC = (401, 403)
_GONE = ("rest_post_invalid_id", "rest_forbidden", "rest_cannot_read")
_MODIFIED, _PUBLISHED = "modified_after", "after"
_SECOND = timedelta(seconds=1)


def fetch(post_id: str, settings: SourceSettings) -> ApiRequest:
    query = {"_embed": "author,wp:term,wp:featuredmedia"}
    return replace(_request(settings, f"/{quote(post_id, safe='')}", query), expected=_NOT_PUBLIC)


def fetched(answer: ApiAnswer, post_id: str, _settings: SourceSettings) -> StoryRead | Gone:
    """404 is a deleted post, 401 one that is not public; but only in WordPress's own words."""
    if answer.status in (404, 410, *_NOT_PUBLIC):
        if words(_object(answer), "code") not in _GONE:
            raise Unreadable(
                f"answered {answer.status}, but not of this post: is --base-url right, and its REST API public?"
            )
        return Gone(post_id)
    if answer.status != 200:
        raise Unreadable(f"answered {answer.status}")
    post = _object(answer)
    if an_id(post, "id") != post_id:
        raise Unreadable("answered with another post than the one that was asked for")
    return wordpress_posts.shown(post)


def changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    return _changes(_MODIFIED, since, 1, since, settings)


def changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    """The next page begins at this one's last time: by number alone, a post that changes meanwhile moves another out
    of what is still to be read. After what was modified comes what was published."""
    posts = _posts(answer)
    query = {name: value[0] for name, value in parse_qs(urlsplit(request.url).query).items()}
    since = times.from_iso(query["dateline_since"])
    which = _MODIFIED if _MODIFIED in query else _PUBLISHED
    found = ChangedPage([Hint([each for each in (an_id(post, "id") for post in posts) if each])])
    if _is_followed(answer, posts, int(query["page"])):
        begun = times.from_iso(query[which])
        last = a_moment(posts[-1], "modified_gmt" if which == _MODIFIED else "date_gmt")
        if last is not None and last - _SECOND > begun:
            return ChangedPage(found.events, _changes(which, last - _SECOND, 1, since, settings))
        page = int(query["page"]) + 1
        return ChangedPage(found.events, _changes(which, begun, page, since, settings))
    if which == _MODIFIED:
        return ChangedPage(found.events, _changes(_PUBLISHED, since, 1, since, settings))
    return found


def _changes(which: str, begin: datetime, page: int, since: datetime, settings: SourceSettings) -> ApiRequest:
    """Times go with their Z: without it, WordPress takes them for the site's own time."""
    query = {
        which: times.to_iso(begin, timespec="seconds"),
        "orderby": "modified" if which == _MODIFIED else "date",
        "order": "asc",
        "per_page": str(PER_PAGE),
        "page": str(page),
        "_fields": "id,date_gmt,modified_gmt",
        "dateline_since": times.to_iso(since, timespec="seconds"),  # for the list that follows
    }
    return _request(settings, "", query)


def all_ids(settings: SourceSettings) -> ApiRequest:
    return _ids(1, settings)


def ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    posts = _posts(answer)
    page = int(parse_qs(urlsplit(request.url).query)["page"][0])
    ids = [each for each in (an_id(post, "id") for post in posts) if each]
    return IdsPage(ids, _ids(page + 1, settings) if _is_followed(answer, posts, page) else None)


def _is_followed(answer: ApiAnswer, posts: Sequence[Any], page: int) -> bool:
    """Whether there is a page after this one. One with fewer posts than were asked for need not be the last: plug-ins
    leave out members' posts and other languages after WordPress has counted them."""
    pages = answer.headers.get("x-wp-totalpages", "").strip()
    counted = pages.isascii() and pages.isdigit() and len(pages) < 10 and page < int(pages)
    return counted or len(posts) >= PER_PAGE


def _ids(page: int, settings: SourceSettings) -> ApiRequest:
    query = {
        "_fields": "id",
        "orderby": "id",
        "order": "asc",
        "per_page": str(PER_PAGE),
        "page": str(page),
    }
    return _request(settings, "", query)


def _request(settings: SourceSettings, path: str, query: dict[str, str]) -> ApiRequest:
    kind = quote(settings.content_type or "posts", safe="")
    url = f"{settings.base_url}/wp-json/wp/v2/{kind}{path}?{urlencode(query, quote_via=quote)}"
    return ApiRequest(url, headers={"Accept": "application/json"})


def _object(answer: ApiAnswer) -> dict[str, Any]:
    try:
        return decoded(answer.body)
    except Unreadable:
        raise Unreadable(f"answered {answer.status} without JSON: {_WHERE}") from None


def _posts(answer: ApiAnswer) -> list[dict[str, Any]]:
    """The posts of a list. WordPress refuses a page behind the last one."""
    if answer.status == 400 and words(_object(answer), "code") == "rest_post_invalid_page_number":
        return []
    if answer.status != 200:
        raise Unreadable(f"answered {answer.status}")
    try:
        return decoded_list(answer.body)
    except Unreadable:
        raise Unreadable(f"answered without a list of posts: {_WHERE}") from None


_WHERE = "--base-url is to be the site's address, and its permalinks not the plain ones"
