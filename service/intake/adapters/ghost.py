"""Ghost 5 and 6: webhooks of an integration, and its Content API.

A hook's post says by its status and its visibility whether readers see it; the event's name says nothing more, and
Ghost 5 does not send it. A bulk action fires `site.changed` alone and leaves `updated_at` as it was: that hook is the
bell, upon which all ids are compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from service import times
from service.intake.adapters import signed_bodies
from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    ChangedPage,
    Event,
    Gone,
    Hint,
    HookRequest,
    IdsPage,
    Ignore,
    Reconciliation,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.json_values import (
    a_moment,
    an_id,
    an_object,
    decoded,
    filled,
    objects,
    part,
    plain,
    words,
)

_SIGNATURE = re.compile(r"\s*sha256=([0-9a-fA-F]{64})\s*(?:,\s*t=([0-9]{1,20}))?\s*", re.ASCII)
_POSTS = "/ghost/api/content/posts/"
PAGE_POSTS = 100  # the most that Ghost gives since version 6
_KEY = "&key={token}"

_SETUP = """1. Settings → Integrations → Add custom integration: call it Dateline.
2. Add webhooks to it, each with the target URL {url} and the secret {secret}
   for these events: Post published, Published post updated, Post unpublished, Post deleted, Tag added to post,
   Tag removed from post, and Site changed (rebuild): bulk actions fire only that.
3. Its Content API key and the API URL are what --api-token and --base-url want."""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    sent = request.headers.get("x-ghost-signature")
    if not sent:
        return "there is no X-Ghost-Signature: give the webhook the source's secret in Ghost"
    found = _SIGNATURE.fullmatch(sent)
    if found is None:
        return "the X-Ghost-Signature is not sha256=…, t=…"
    # Ghost signs the time along since July 2024 (5.87); before, the body alone.
    messages = [request.body] if found[2] is None else [request.body + found[2].encode(), request.body]
    if signed_bodies.fits(signed_bodies.from_hex(found[1]), secrets, *messages):
        return None
    return "the X-Ghost-Signature does not match the source's secret"


def _read(request: HookRequest, _settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    event = words(hook, "event")
    if isinstance(hook.get("post"), dict):
        return [_post_event(hook["post"])]
    if event == "site.changed":
        return [Hint(sweep=True)]
    if event.startswith("tag.") or "tag" in hook:
        return [
            Hint()
        ]  # a tag has another name: that moves no story's updated_at, but is soon followed by one
    if event:
        return [Ignore(f"{event[:60]} is no event of a story")]
    other = [name for name in ("page", "member") if name in hook]
    if other:
        return [Ignore(f"a {other[0]} is no story")]
    raise Unreadable("it is no webhook of Ghost: there is neither a post in it nor an event")


def _post_event(hook: dict[str, Any]) -> StoryRead | Gone:
    current = an_object(hook, "current")
    if current:
        return _story(current)
    story_id = an_id(hook, "previous", "id")  # of a post that was deleted
    if not story_id:
        raise Unreadable("its post has no id")
    return Gone(story_id)


def _story(post: dict[str, Any]) -> StoryRead | Gone:
    story_id = an_id(post, "id")
    if not story_id:
        raise Unreadable("its post has no id")
    # The Content API shows published posts alone, and need not say so.
    if post.get("status", "published") != "published" or post.get("visibility", "public") != "public":
        return Gone(story_id, updated_at=a_moment(post, "updated_at"))
    tags = [each for each in objects(post, "tags") if _is_public(each)]
    return StoryRead(
        filled(
            {
                "id": story_id,
                "headline": words(post, "title"),
                "summary": words(post, "custom_excerpt"),
                "body_html": words(post, "html") or _picture(post),
                "sections": [[words(each, "name"), words(each, "slug")] for each in tags],
                "keywords": list(dict.fromkeys(words(each, "name") for each in tags if words(each, "name"))),
                "url": words(post, "url"),
                "authors": [filled({"name": words(each, "name"), "url": words(each, "url")})
                            for each in objects(post, "authors") if words(each, "name")],
                "images": [_image(post)] if words(post, "feature_image") else [],
                "language": words(post, "locale"),
                "published_at": words(post, "published_at"),
                "updated_at": words(post, "updated_at"),
            }
        )
    )  # fmt: skip


def _is_public(tag: dict[str, Any]) -> bool:
    """Internal tags (#urgent) are for the theme, not for readers."""
    return tag.get("visibility", "public") == "public" and not words(tag, "name").startswith("#")


def _image(post: dict[str, Any]) -> dict[str, str]:
    caption = plain(words(post, "feature_image_caption"))
    return filled(
        {"url": words(post, "feature_image"), "alt": words(post, "feature_image_alt"), "caption": caption}
    )


def _picture(post: dict[str, Any]) -> str:
    """The body of a post that is nothing but its picture."""
    image = words(post, "feature_image")
    return (
        f'<p><img src="{quote(image, safe=":/?&=%#+,;@!~", errors="replace")}" alt=""></p>' if image else ""
    )


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    return _request(settings, f"{quote(story_id, safe='')}/", {"include": "tags,authors"})


def _fetched(answer: ApiAnswer, story_id: str, _settings: SourceSettings) -> StoryRead | Gone:
    if answer.status == 404:
        kinds = [words(each, "type") for each in objects(_json(answer), "errors")]
        if "NotFoundError" not in kinds:
            raise Unreadable("answered 404, but not as Ghost's Content API does: is --base-url right?")
        return Gone(story_id)
    posts = _posts(answer)
    if len(posts) != 1 or an_id(posts[0], "id") != story_id:
        raise Unreadable("answered with another post than the one that was asked for")
    return _story(posts[0])


def _changed(since: datetime, settings: SourceSettings) -> ApiRequest:
    return _changes(since, 1, settings)


def _changes(since: datetime, page: int, settings: SourceSettings) -> ApiRequest:
    # As the database keeps it: SQLite compares texts, and every time of a day is before one that has a T.
    moment = since.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
    query = {
        "filter": f"updated_at:>='{moment}'",
        "order": "updated_at asc",
        "fields": "id,updated_at",
        "limit": str(PAGE_POSTS),
        "page": str(page),
    }
    return _request(settings, "", query)


def _changed_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> ChangedPage:
    """The posts are named only, and each is asked for: a hundred whole ones may be too large for an answer.

    The next page begins at this one's last time: by number alone, a post that changes meanwhile moves another out
    of what is still to be read."""
    posts = _posts(answer)
    events = [Hint([each for each in (an_id(post, "id") for post in posts) if each])]
    if not part(an_object(_json(answer), "meta", "pagination"), "next"):
        return ChangedPage(events)
    query = parse_qs(urlsplit(request.url).query)
    since = times.from_iso(query["filter"][0].partition("'")[2].rstrip("'"))
    last = a_moment(posts[-1], "updated_at") if posts else None
    if last is not None and last.replace(microsecond=0) > since:
        return ChangedPage(events, _changes(last, 1, settings))
    return ChangedPage(events, _changes(since, int(query["page"][0]) + 1, settings))


def _all_ids(settings: SourceSettings) -> ApiRequest:
    return _ids(1, settings)


def _ids(page: int, settings: SourceSettings) -> ApiRequest:
    query = {
        "filter": "visibility:public",
        "fields": "id,visibility",
        "order": "id asc",
        "limit": str(PAGE_POSTS),
        "page": str(page),
    }
    return _request(settings, "", query)


def _ids_page(answer: ApiAnswer, request: ApiRequest, settings: SourceSettings) -> IdsPage:
    posts = _posts(answer)
    ids = [an_id(each, "id") for each in posts if each.get("visibility", "public") == "public"]
    more = part(an_object(_json(answer), "meta", "pagination"), "next")
    page = int(parse_qs(urlsplit(request.url).query)["page"][0])
    return IdsPage([each for each in ids if each], _ids(page + 1, settings) if more else None)


def _request(settings: SourceSettings, path: str, query: dict[str, str]) -> ApiRequest:
    url = f"{settings.base_url}{_POSTS}{path}?{urlencode(query, quote_via=quote)}{_KEY}"
    return ApiRequest(url, headers={"Accept": "application/json", "Accept-Version": "v5.0"})


def _json(answer: ApiAnswer) -> dict[str, Any]:
    try:
        return decoded(answer.body)
    except Unreadable:
        raise Unreadable(
            f"answered {answer.status} without JSON: --base-url is to be Ghost's API URL"
        ) from None


def _posts(answer: ApiAnswer) -> list[dict[str, Any]]:
    if answer.status != 200:
        raise Unreadable(f"answered {answer.status}")
    value = _json(answer)
    if not isinstance(value.get("posts"), list):
        raise Unreadable("answered without posts: --base-url is to be Ghost's API URL")
    return objects(value, "posts")


ADAPTER = Adapter(
    name="ghost",
    title="Ghost",
    verify=_verify,
    read=_read,
    wants=("base-url", "api-token"),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
    reconciliation=Reconciliation(_changed, _changed_page, _all_ids, _ids_page),
)
