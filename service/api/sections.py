"""`GET /v1/sections`: the sections of the desk, for the menus of whoever posts to it or reads of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from flask import Blueprint, Response
from pydantic import Field

from service.api.models import Body, json_response
from service.http import auth, parameters
from service.store.database.record import Record
from service.store.feeds import sections, slugs

SECTIONS_PATH = "/v1/sections"


SectionName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=slugs.CHARACTERS_MAX,
        pattern=slugs.SHAPE,
        examples=["world", "中国"],
        description="Letters and digits of any script, and hyphens; in addresses it is percent-encoded.",
    ),
]


class DeskSection(Body):
    """A section. A source names it by its slug."""

    slug: SectionName
    title: str
    language: str | None


class DeskSections(Body):
    """The open sections, in the order in which they were added."""

    sections: list[DeskSection]


def create_blueprint(record: Record, operator_token: str, clock: Callable[[], datetime]) -> Blueprint:
    blueprint = Blueprint("api_sections", __name__)

    @blueprint.get(SECTIONS_PATH)
    def get_sections() -> Response:
        """The sections. For the operator, a source or a partner."""
        parameters.require_known()
        if not auth.is_operator(operator_token) and auth.find_source(record, clock()) is None:
            auth.require_partner(record, clock())
        found = sections.all_sections(record)
        listed = [DeskSection(slug=each.slug, title=each.title, language=each.language) for each in found]
        return json_response(DeskSections(sections=listed))

    return blueprint
