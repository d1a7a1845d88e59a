"""Adapters by name: the only list of the content systems that Dateline knows, besides its own JSON."""

from __future__ import annotations

from service.intake.adapters import (
    arcxp,
    contentful,
    directus,
    drupal,
    ghost,
    hygraph,
    payload,
    prismic,
    sanity,
    storyblok,
    strapi,
    superdesk,
    wordpress,
)
from service.intake.adapters.adapter import Adapter

NATIVE = "native"

_MODULES: tuple[Adapter, ...] = (
    arcxp.ADAPTER,
    contentful.ADAPTER,
    directus.ADAPTER,
    drupal.ADAPTER,
    ghost.ADAPTER,
    hygraph.ADAPTER,
    payload.ADAPTER,
    prismic.ADAPTER,
    sanity.ADAPTER,
    storyblok.ADAPTER,
    strapi.ADAPTER,
    superdesk.ADAPTER,
    wordpress.ADAPTER,
)

ADAPTERS: dict[str, Adapter] = {each.name: each for each in _MODULES}


def names() -> list[str]:
    """Every name that a source's adapter may have, Dateline's own JSON first."""
    return [NATIVE, *ADAPTERS]


def unknown_words(name: str) -> str:
    """Says that there is no such adapter, and which there are."""
    return f"the source's adapter {name!r} is not in this version; it has {', '.join(names())}"
