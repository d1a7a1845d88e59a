"""WordPress's posts as stories: as its REST API shows them to an anonymous reader, and as PHP has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from service import times
from service.intake import text
from service.intake.adapters.adapter import Gone, StoryRead, Unreadable
from service.intake.adapters.json_values import (
    a_moment,
    an_id,
    an_object,
    filled,
    objects,
    part,
    plain,
    words,
)

NOT_RENDERED = (
    "this plug-in sends the post as it is stored, without its author: blocks and shortcodes are not rendered; with"
    " --base-url Dateline asks WordPress for it"
)


def shown(post: dict[str, Any]) -> StoryRead | Gone:
    """The story that the REST API shows: a post with a password says that it is published, and has no content."""
    post_id = an_id(post, "id")
    if not post_id:
        raise Unreadable("its post has no id")
    protected = part(post, "content", "protected") or part(post, "excerpt", "protected")
    if post.get("status", "publish") != "publish" or protected:
        return Gone(post_id)
    body, terms = words(post, "content", "rendered"), _terms(post)
    return StoryRead(
        filled(
            {
                "id": post_id,
                "headline": plain(words(post, "title", "rendered")),
                "summary": _summary(plain(words(post, "excerpt", "rendered")), body),
                "body_html": body,
                "sections": [_names(each) for each in terms if each.get("taxonomy") == "category"],
                "keywords": _keywords(each for each in terms if each.get("taxonomy") == "post_tag"),
                "url": words(post, "link"),
                "authors": [
                    filled({"name": plain(words(each, "name")), "url": words(each, "link")})
                    for each in objects(post, "_embedded", "author")
                    if plain(words(each, "name"))
                ],
                "images": [
                    _image(each)
                    for each in objects(post, "_embedded", "wp:featuredmedia")
                    if words(each, "source_url")
                ],
                **_times(words(post, "date_gmt"), words(post, "modified_gmt")),
            }
        )
    )


def has_sections(post: dict[str, Any]) -> bool:
    """Whether a post has another category than the one that WordPress gives to all that have none yet: two of its
    hooks run before the categories are stored."""
    slugs = [words(each, "slug") for each in _terms(post) if each.get("taxonomy") == "category"]
    return any(each != "uncategorized" for each in slugs)


def stored(hook: dict[str, Any], post: dict[str, Any]) -> StoryRead | Gone:
    """The story of a post as PHP has it (WP_Post), with what a plug-in adds to it."""
    post_id = an_id(post, "ID")
    if not post_id:
        raise Unreadable("its post has no ID")
    if words(post, "post_status") != "publish" or words(post, "post_password"):
        return Gone(post_id)
    raw = words(post, "post_content")
    body = raw if "<p" in raw or "<!-- wp:" in raw else _paragraphs(raw)
    categories, tags = _of(hook, "category"), _of(hook, "post_tag")
    picture = words(hook, "post_thumbnail")
    fields = {
        "id": post_id,
        "headline": plain(words(post, "post_title")),
        "summary": plain(words(post, "post_excerpt")),
        "body_html": body,
        "sections": [_names(each) for each in categories],
        "keywords": _keywords(tags),
        "url": words(hook, "post_permalink"),
        "images": [{"url": picture}] if picture else [],
        **_times(words(post, "post_date_gmt"), words(post, "post_modified_gmt")),
    }
    return StoryRead(filled(fields), (NOT_RENDERED,))


def _terms(post: dict[str, Any]) -> list[dict[str, Any]]:
    groups = part(post, "_embedded", "wp:term")
    return [each for group in groups for each in objects(group)] if isinstance(groups, list) else []


def _of(hook: dict[str, Any], taxonomy: str) -> list[dict[str, Any]]:
    """The terms of a taxonomy, by slug; PHP writes an empty object as a list."""
    found = an_object(hook, "taxonomies", taxonomy)
    return [each for each in found.values() if isinstance(each, dict)]


def _names(term: dict[str, Any]) -> list[str]:
    return [plain(words(term, "name")), unquote(words(term, "slug"))]


def _keywords(terms: Iterable[dict[str, Any]]) -> list[str]:
    names = (plain(words(each, "name")) for each in terms)
    return list(dict.fromkeys(each for each in names if each))


def _summary(excerpt: str, body: str) -> str:
    """The excerpt, unless WordPress has made it from the first words of the body."""
    made = excerpt.endswith(("[…]", "[...]")) or plain(body).startswith(excerpt)
    return "" if made else excerpt


def _image(media: dict[str, Any]) -> dict[str, Any]:
    details = an_object(media, "media_details")
    sizes = {
        name: details[name]
        for name in ("width", "height")
        if isinstance(details.get(name), int) and details[name] > 0
    }
    return filled(
        {
            "url": words(media, "source_url"),
            "alt": words(media, "alt_text"),
            "caption": plain(words(media, "caption", "rendered")),
            **sizes,
        }
    )


def _times(created: str, modified: str) -> dict[str, str]:
    """The times, which are UTC though they do not say it; a draft's are zero. When a scheduled post comes due only its
    date says so: it is the later one then."""
    both = [a_moment({"at": each.replace(" ", "T", 1)}, "at") for each in (created, modified)]
    known = [each for each in both if each is not None]
    found = {"updated_at": times.to_iso(max(known))} if known else {}
    return found | ({"published_at": times.to_iso(both[0])} if both[0] else {})


def _paragraphs(raw: str) -> str:
    """The body of an old editor's post: empty lines are between its paragraphs."""
    parts = (each.strip() for each in text.prose(raw).split("\n\n"))
    return "".join(f"<p>{each}</p>" for each in parts if each)
