"""Drupal 10 and 11: hooks of its Webhooks module, and the nodes themselves from JSON:API, which is in its core.

A webhook has the node as it was saved, which may be a draft over the published one, and not the names of its
sections. So with the site's address the node is asked for, as everybody may read it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from service.intake.adapters import signed_bodies
from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    Event,
    Gone,
    Hint,
    HookRequest,
    Ignore,
    SourceSettings,
    StoryRead,
    Unreadable,
)
from service.intake.adapters.drupal_nodes import Node, from_entity, from_resource, included_paths, story
from service.intake.adapters.json_values import an_object, decoded, objects, words

_BUNDLE = "article"  # the content type of Drupal's standard profile
_HIDDEN = (403,)  # of a node that is not published, or not for everybody
_SIGNATURES = ("x-hub-signature-256", "x-hub-signature")
_SIGNED = re.compile(r"\s*(sha1|sha256|sha384|sha512)=([0-9a-fA-F]+)\s*", re.ASCII)
# States of Drupal's workflows in which a node lies beside the published one.
_DRAFTS = ("draft", "needs_review", "review", "in_review", "needs_work", "ready_for_review")

_SETUP = """1. Extend: install Webhooks (drupal.org/project/webhooks), and enable JSON:API, which is in the core.
2. Configuration → Web services → Webhooks → Add: type outgoing, payload URL {url}, content type application/json,
   secret {secret}, and of the events: node create, node update, node delete.
3. If sections or pictures are in other fields than those of the article of Drupal's standard profile:
   --field sections=/relationships/field_section, --field images=/relationships/field_hero/field_media_image"""


def _verify(request: HookRequest, secrets: Sequence[str], _now: datetime) -> str | None:
    name = next((each for each in _SIGNATURES if request.headers.get(each)), None)
    if name is None:
        return "there is no X-Hub-Signature-256: give the webhook the source's secret in Drupal"
    found = _SIGNED.fullmatch(request.headers[name])
    if found is None:
        return f"the {name} is not sha256=…"
    if signed_bodies.fits(signed_bodies.from_hex(found[2]), secrets, request.body, digest=found[1]):
        return None
    return f"the {name} does not match the source's secret"


def _read(request: HookRequest, settings: SourceSettings) -> Sequence[Event]:
    hook = decoded(request.body)
    event = words(hook, "event") or request.headers.get("x-drupal-event", "")
    if event and not event.startswith("entity:node"):
        return [Ignore(f"{event[:60]} is no event of a node")]
    node = from_resource(hook) or from_entity(an_object(hook, "entity"))
    if node is None:
        raise Unreadable("there is no node with a uuid in it: the webhook's payload is to have the entity")
    wanted = settings.content_type or (_BUNDLE if settings.base_url else node.bundle)
    if node.bundle != wanted:
        return [Ignore(f"a {node.bundle[:60] or 'node'} is no {wanted}: see --content-type")]
    return [_event(node, event, settings)]


def _event(node: Node, event: str, settings: SourceSettings) -> Event:
    if event.endswith(":delete"):
        return Gone(node.id)
    state = words(node.attributes, "moderation_state")
    if node.is_published or state:
        # What was saved under a workflow need not be what readers see.
        if settings.base_url:
            return Hint([node.id])
        if not node.is_published and state in _DRAFTS:
            return Ignore(f"it is a draft ({state})")
    return story(node, settings) if node.is_published else Gone(node.id, updated_at=node.changed_at)


def _fetch(story_id: str, settings: SourceSettings) -> ApiRequest:
    bundle = quote(settings.content_type or _BUNDLE, safe="")
    include = ",".join(quote(each, safe=".") for each in included_paths(settings))
    url = f"{settings.base_url}/jsonapi/node/{bundle}/{quote(story_id, safe='')}?include={include}"
    return ApiRequest(url, headers={"Accept": "application/vnd.api+json"}, expected=_HIDDEN)


def _fetched(answer: ApiAnswer, story_id: str, settings: SourceSettings) -> StoryRead | Gone:
    document = _json(answer)
    faults = [words(each, "detail") for each in objects(document, "errors")]
    if (
        answer.status in (404, *_HIDDEN)
        and faults
        and not any(each.startswith("No route") for each in faults)
    ):
        return Gone(story_id)
    if answer.status != 200:
        words_of_it = f": {faults[0][:200]}" if faults and faults[0] else ""
        raise Unreadable(f"answered {answer.status}{words_of_it} (see --content-type and --field)")
    node = from_resource(document)
    if node is None or node.id != story_id:
        raise Unreadable("answered with another node than the one that was asked for")
    return story(node, settings) if node.is_published else Gone(story_id, updated_at=node.changed_at)


def _json(answer: ApiAnswer) -> dict[str, Any]:
    try:
        return decoded(answer.body)
    except Unreadable:
        raise Unreadable(
            f"answered {answer.status} without JSON: is JSON:API enabled, and --base-url right?"
        ) from None


ADAPTER = Adapter(
    name="drupal",
    title="Drupal",
    verify=_verify,
    read=_read,
    wants=("base-url",),
    setup=_SETUP,
    fetch=_fetch,
    fetched=_fetched,
)
