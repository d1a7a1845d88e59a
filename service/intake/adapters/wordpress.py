"""WordPress: webhooks of plug-ins and of a newsroom's own code, since its core has none, and its REST API.

Three bodies are read: a post as the REST API shows it, WP Webhooks' (a post as PHP has it, with its terms), and Webhook
Actions' (the arguments of a WordPress hook). What a body leaves out is asked for, where there is an address to ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from service.intake.adapters import signed_bodies, wordpress_api, wordpress_posts
from service.intake.adapters.adapter import (
    Adapter,
    Event,
    Gone,
    Hint,
    HookRequest,
    Ignore,
    Reconciliation,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.json_values import an_id, an_object, decoded, objects, part, words
from service.intake.article import TAKEDOWN_STATUSES
from service.webhooks import signatures
from service.webhooks.signatures import BadSecret, BadSignature

_WP_WEBHOOKS = "x-wp-webhook-signature"
# Headers with sha256=HEX, and that of the time that is signed along, before a full stop and the body.
_SIGNED = (
    ("x-wp-signature", "x-wp-timestamp"),
    ("x-sow-signature", "x-sow-timestamp"),
    ("x-webhook-signature", "x-webhook-timestamp"),
    ("x-hub-signature-256", ""),
)
_NO_STORIES = ("revision", "attachment", "page", "nav_menu_item", "customize_changeset", "wp_template")
_DELETES = ("delete", "trash")

_SETUP = """With Dateline's own plug-in there is nothing to set up here: it speaks Dateline's own JSON.
With WP Webhooks: Settings → Send Data, for each of post_create, post_update, post_trash and post_delete add {url}
  and, as its secret under its settings, {secret}
With Webhook Actions: add {url} with the header Authorization: Bearer {secret}
  for wp_after_insert_post, trashed_post and before_delete_post.
With code of your own: post the REST API's post, signed as docs/connect/wordpress.md says, from wp_after_insert_post.
WordPress calls public addresses at the ports 80, 443 and 8080 only. --base-url wants the site's address."""


def _verify(request: HookRequest, secrets: Sequence[str], now: datetime) -> str | None:
    headers = request.headers
    if sent := headers.get(_WP_WEBHOOKS):
        fits = signed_bodies.fits(signed_bodies.from_base64(sent.strip()), secrets, request.body)
        return None if fits else "the X-WP-Webhook-Signature does not match the source's secret"
    for name, clock in _SIGNED:
        if sent := headers.get(name):
            at = headers.get(clock)
            message = request.body if at is None else at.strip().encode() + b"." + request.body
            digest = signed_bodies.from_hex(sent.strip().removeprefix("sha256="))
            fits = signed_bodies.fits(digest, secrets, message)
            return None if fits else f"the {name} does not match the source's secret"
    if "webhook-signature" in headers:
        return _standard(request, secrets, now)
    if sent := headers.get("authorization"):
        return None if signed_bodies.bears(sent, secrets) else "the bearer token is not the source's secret"
    return "it is not signed: give the plug-in the source's secret, or send it as Authorization: Bearer …"


def _standard(request: HookRequest, secrets: Sequence[str], now: datetime) -> str | None:
    reason = "the webhook-signature does not match the source's secret"
    for each in secrets:
        try:
            signatures.verify([each], request.headers, request.body, now)
        except BadSecret:  # the system gave it, and it makes none of these signatures
            continue
        except BadSignature as error:
            reason = error.reason
        else:
            return None
    return reason


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    post = an_object(hook, "post")
    if isinstance(hook.get("args"), list):
        return [_action(hook, settings)]
    if "ID" in post:
        return [_plugin(hook, post, request.headers.get("x-wp-webhook-name", ""), settings)]
    if post:
        return [_rest(hook, post, settings)]
    if isinstance(hook.get("title"), dict) and "id" in hook:
        return [_rest({}, hook, settings)]
    if "id" in hook and ("headline" in hook or hook.get("status") in TAKEDOWN_STATUSES):
        return [StoryRead(hook)]  # Dateline's own JSON
    if post_id := an_id(hook, "post_id") or an_id(hook, "ID"):
        return [_named(post_id, words(hook, "event"), settings)]
    raise Unreadable("it is no body that a plug-in known here sends: there is no post in it")


def _rest(hook: dict[str, Any], post: dict[str, Any], settings: SourceSettings) -> Event:
    """A post as an anonymous reader gets it, or the refusal that such a reader gets."""
    if hook.get("revision") is True or hook.get("autosave") is True:
        return Ignore("it is a revision, not the story")
    post_id = an_id(hook, "post_id") or an_id(post, "id")
    if not post_id:
        raise Unreadable("its post has no id")
    if "content" not in post or "code" in post:
        if part(post, "data", "status") in (401, 403, 404, 410) or words(hook, "event") in _DELETES:
            return Gone(post_id)
        return _named(post_id, "", settings)
    if why := _no_story(words(post, "type"), settings):
        return Ignore(why)
    if words(hook, "event") in _DELETES:
        return Gone(post_id)
    read = wordpress_posts.shown({**post, "id": post_id})
    unsorted = isinstance(read, StoryRead) and not wordpress_posts.has_sections(post)
    return Hint([post_id]) if unsorted and settings.base_url else read


def _plugin(hook: dict[str, Any], post: dict[str, Any], name: str, settings: SourceSettings) -> Event:
    """WP Webhooks: revisions come as posts of their own, and a deleted post says that it is published."""
    if why := _no_story(words(post, "post_type"), settings):
        return Ignore(why)
    read = wordpress_posts.stored(hook, post)
    if isinstance(read, Gone):
        return read
    post_id = str(read.fields["id"])
    if name in ("post_delete", "post_trash"):
        return Gone(post_id)
    return Hint([post_id]) if settings.base_url else read


def _action(hook: dict[str, Any], settings: SourceSettings) -> Event:
    """Webhook Actions: the arguments of a WordPress hook as they were when it ran, which may be minutes ago."""
    arguments = hook["args"]
    name = words(hook, "hook") or words(hook, "trigger") or words(hook, "action") or words(hook, "event")
    # With wp_after_insert_post the post as it was before comes last.
    post = next((each for each in objects(arguments) if "post_status" in each), {})
    if post and (why := _no_story(words(post, "post_type"), settings)):
        return Ignore(why)
    ids = [an_id(post, "ID"), *(an_id(arguments, place) for place in range(len(arguments)))]
    ids += [an_id(each, "id") for each in objects(arguments)]
    post_id = next((each for each in ids if each.isdigit()), "")
    if not post_id:
        raise Unreadable("its arguments name no post: send wp_after_insert_post and before_delete_post")
    if settings.base_url:
        return Hint([post_id])
    if any(word in name for word in _DELETES) and "untrash" not in name:
        return Gone(post_id)
    return wordpress_posts.stored({}, post) if post else _named(post_id, name, settings)


def _named(post_id: str, event: str, settings: SourceSettings) -> Event:
    """A post of which nothing but the id is known."""
    return Gone(post_id) if event in _DELETES and not settings.base_url else Hint([post_id])


def _no_story(kind: str, settings: SourceSettings) -> str | None:
    """Says why a post of this type is none; its REST name is the type's, mostly in the plural."""
    wanted = settings.content_type
    stories = {"", wanted, wanted.removesuffix("s")} if wanted not in ("", "posts") else {"", "post"}
    if kind in stories and kind not in _NO_STORIES:
        return None
    return f"its type is {kind[:60]!r}, and the source's stories are {wanted or 'posts'}"


ADAPTER = Adapter(
    name="wordpress",
    title="WordPress",
    verify=_verify,
    read=_read,
    wants=("base-url",),
    setup=_SETUP,
    fetch=wordpress_api.fetch,
    fetched=wordpress_api.fetched,
    reconciliation=Reconciliation(
        wordpress_api.changed, wordpress_api.changed_page, wordpress_api.all_ids, wordpress_api.ids_page
    ),
)
