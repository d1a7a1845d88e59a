"""A Drupal node as a story, out of its two forms: JSON:API's resource, and the serialised entity of a webhook."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urljoin

from service import times
from service.intake.adapters.adapter import SourceSettings, StoryRead
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

SECTIONS_FIELD = "field_tags"  # of the article of Drupal's standard profile
IMAGE_FIELD = "field_image"
_NO_LANGUAGE = ("und", "zxx")
_TEXTS = ("headline", "summary", "correction_note", "ednote", "original_headline", "original_author")


@dataclass(frozen=True)
class Node:
    """A node in JSON:API's form. `included`: what it refers to, by type and id."""

    id: str
    bundle: str
    attributes: dict[str, Any]
    relationships: dict[str, Any]
    included: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @property
    def is_published(self) -> bool:
        return self.attributes.get("status", True) in (True, 1, "1")

    @property
    def changed_at(self) -> datetime | None:
        return _moment(self.attributes.get("changed"))


def from_resource(document: dict[str, Any]) -> Node | None:
    """The node in an answer of JSON:API; None if it has none."""
    data = an_object(document, "data")
    kind, _, bundle = words(data, "type").partition("--")
    if kind != "node" or not an_id(data, "id"):
        return None
    found = {(words(each, "type"), words(each, "id")): each for each in objects(document, "included")}
    return Node(
        an_id(data, "id"), bundle, an_object(data, "attributes"), an_object(data, "relationships"), found
    )


def from_entity(entity: dict[str, Any]) -> Node | None:
    """The node in a webhook: each field is a list of values, and what it refers to has no name."""
    node_id = an_id(entity, "uuid", 0, "value")
    if not node_id:
        return None
    attributes: dict[str, Any] = {}
    relationships: dict[str, Any] = {}
    for name in entity:
        items = objects(entity, name)
        if items and "target_id" in items[0]:
            relationships[name] = {"data": [_reference(each) for each in items]}
        elif items:
            attributes[name] = items[0].get("value") if set(items[0]) <= {"value", "format"} else items[0]
    return Node(node_id, words(entity, "type", 0, "target_id"), attributes, relationships)


def _reference(item: dict[str, Any]) -> dict[str, Any]:
    meta = {"drupal_internal__target_id": item["target_id"], "alt": item.get("alt")}
    return {
        "type": words(item, "target_type"),
        "id": words(item, "target_uuid"),
        "url": words(item, "url"),
        "meta": meta,
    }


def included_paths(settings: SourceSettings) -> list[str]:
    """The fields whose records are to come along."""
    steps = (_steps(settings, "sections", SECTIONS_FIELD), _steps(settings, "images", IMAGE_FIELD), ["uid"])
    return list(dict.fromkeys(".".join(each) for each in steps if each))


def _steps(settings: SourceSettings, name: str, default: str) -> list[str]:
    """The names of the references on the way to a field of ours; none if it is switched off by an empty pointer."""
    rule = settings.fields.get(name)
    if rule is None:
        return [default]
    return [each for each in rule.pointer.split("/") if each not in ("", "relationships", "attributes")]


def story(node: Node, settings: SourceSettings) -> StoryRead:
    fields = {
        "id": node.id,
        "headline": words(node.attributes, "title"),
        "summary": plain(words(node.attributes, "body", "summary")),
        "body_html": _markup(node.attributes.get("body")),
        "sections": _sections(node, _steps(settings, "sections", SECTIONS_FIELD)),
        "images": _images(node, _steps(settings, "images", IMAGE_FIELD), settings.base_url),
        "authors": _authors(node),
        "url": _url(node, settings.base_url),
        "language": _language(node),
        "published_at": _time(node.attributes.get("created")),
        "updated_at": _time(node.attributes.get("changed")),
    }
    for name, rule in settings.fields.items():
        value = part({"attributes": node.attributes}, *rule.pointer.strip("/").split("/"))
        if name == "body_html":
            fields[name] = _markup(value)
        elif name in _TEXTS:
            fields[name] = plain(_markup(value))
        elif name == "authors":
            byline = plain(_markup(value))
            fields[name] = [{"name": byline}] if byline else fields[name]
    return StoryRead(filled(fields))


def _markup(value: Any) -> str:
    """A text of Drupal's as readers see it: after its format's filters, if they are told."""
    return value if isinstance(value, str) else words(value, "processed") or words(value, "value")


def _references(node: Node, name: str) -> list[dict[str, Any]]:
    data = part(node.relationships, name, "data")
    listed = data if isinstance(data, list) else [data]
    return [each for each in listed if isinstance(each, dict)]


def _target(node: Node, reference: dict[str, Any]) -> dict[str, Any]:
    return node.included.get((words(reference, "type"), words(reference, "id")), {})


def _sections(node: Node, steps: Sequence[str]) -> list[list[str]]:
    """Each by its term's name, the last part of its address, the address, and its number."""
    found = []
    for reference in _references(node, steps[0]) if steps else []:
        term = _target(node, reference)
        address = words(term, "attributes", "path", "alias") or words(reference, "url")
        number = an_id(reference, "meta", "drupal_internal__target_id")
        names = [words(term, "attributes", "name"), unquote(address.rpartition("/")[2]), address, number]
        found.append([each for each in dict.fromkeys(names) if each])
    return [each for each in found if each]


def _images(node: Node, steps: Sequence[str], base_url: str) -> list[dict[str, str]]:
    """The first picture, through its medium if it is one."""
    reference: dict[str, Any] = {}
    at = node
    for step in steps:
        reference = next(iter(_references(at, step)), {})
        target = _target(node, reference)
        at = Node(node.id, "", {}, an_object(target, "relationships"), node.included)
    address = words(_target(node, reference), "attributes", "uri", "url")
    if not address and words(reference, "type") == "file":
        address = words(reference, "url")
    url = _full(address, base_url)
    return [filled({"url": url, "alt": words(reference, "meta", "alt")})] if url else []


def _authors(node: Node) -> list[dict[str, str]]:
    users = [an_object(_target(node, each), "attributes") for each in _references(node, "uid")]
    names = [words(each, "display_name") or words(each, "name") for each in users]
    return [{"name": each} for each in names if each]


def _url(node: Node, base_url: str) -> str:
    number = an_id(node.attributes, "drupal_internal__nid") or an_id(node.attributes, "nid")
    path = words(node.attributes, "path", "alias") or (f"/node/{number}" if number else "")
    return _full(quote(path, safe="/%", errors="replace"), base_url)


def _full(address: str, base_url: str) -> str:
    try:
        url = urljoin(f"{base_url}/", address) if address else ""
    except ValueError:
        return ""
    return url if url.startswith(("https://", "http://")) else ""


def _language(node: Node) -> str:
    code = words(node.attributes, "langcode")
    return "" if code in _NO_LANGUAGE else code


def _moment(value: Any) -> datetime | None:
    """A time of Drupal's, in ISO 8601 or, in its older versions, in seconds."""
    seconds = str(value) if isinstance(value, str | int) else ""
    if re.fullmatch(r"[0-9]{1,11}", seconds, re.ASCII):
        return datetime.fromtimestamp(int(seconds), UTC)
    return a_moment(value)


def _time(value: Any) -> str:
    found = _moment(value)
    return times.to_iso(found) if found else ""
