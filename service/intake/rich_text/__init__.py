"""Rich texts of content systems as HTML: all that is text in them is escaped, the unknown loses its tags alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from service.intake.rich_text import hygraph, prismic, storyblok

CONVERTERS: Mapping[str, Callable[[Any], str]] = {
    "hygraph": hygraph.to_html,
    "prismic": prismic.to_html,
    "storyblok": storyblok.to_html,
}
