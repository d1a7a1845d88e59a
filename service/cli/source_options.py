"""The options of a source's settings, the same for `source add` and `source set`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import click

from service.cli.parameter_types import Language
from service.intake.article import Article
from service.intake.rich_text.converters import CONVERTERS
from service.settings import Settings
from service.store.articles.source_settings import HOLD, KEEP, SourceOptions
from service.webhooks import endpoint_urls

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FIELD = re.compile(r"(?P<name>\w+)=(?P<pointer>(?:/[^:]*)?)(?::(?P<converter>[a-z][a-z0-9_-]*))?")
TAKEDOWN_LIMIT_MOST = 1_000_000


class SectionPair(click.ParamType[tuple[str, str]]):
    """A section of theirs and ours: THEIRS=OURS. Nothing behind the = leaves theirs out."""

    name = "theirs=ours"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        theirs, equals, ours = str(value).rpartition("=")
        if not equals or not theirs.strip():
            self.fail(f"{value!r} maps nothing; write THEIRS=OURS, such as Wirtschaft=business", param, ctx)
        return theirs.strip(), ours.strip()


class FieldPair(click.ParamType[tuple[str, tuple[str, str]]]):
    """A field of ours and the place of it in their record: NAME=/pointer[:converter]."""

    name = "name=/pointer[:converter]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[str, str]]:
        found = _FIELD.fullmatch(str(value))
        if found is None:
            self.fail(
                f"{value!r} names no field; write NAME=/pointer, such as body_html=/body:markdown", param, ctx
            )
        if found["name"] not in Article.model_fields:
            self.fail(
                f"{found['name']!r} is no field of an article; they are {', '.join(Article.model_fields)}",
                param,
                ctx,
            )
        if found["converter"] and found["converter"] not in CONVERTERS:
            self.fail(f"{found['converter']!r} is no converter; they are {', '.join(CONVERTERS)}", param, ctx)
        return found["name"], (found["pointer"], found["converter"] or "")


_OPTIONS = (
    click.option(
        "--base-url", metavar="URL", help="The system's own address, to which requests for stories go."
    ),
    click.option("--api-token", metavar="TOKEN", help="The key to the system's own API."),
    click.option(
        "--map", "section_map", type=SectionPair(), multiple=True, help="A section of theirs is ours."
    ),
    click.option("--default-section", metavar="SLUG", help="The section of a story that has no known one."),
    click.option(
        "--unknown-sections",
        type=click.Choice([KEEP, HOLD]),
        help="An unknown section is left out, or holds its story (default: keep the others).",
    ),
    click.option(
        "--language", type=Language(), help="The language of stories that do not say it: en, zh-Hans."
    ),
    click.option(
        "--content-type", metavar="TYPE", help="The system's name of the type that its stories have."
    ),
    click.option(
        "--field", "fields", type=FieldPair(), multiple=True, help="Where a field of ours is in theirs."
    ),
    click.option(
        "--takedown-limit",
        type=click.IntRange(0, TAKEDOWN_LIMIT_MOST),
        help="So many stories may one sweep take down without you (default: 20).",
    ),
)


def settings_options(command: _Command) -> _Command:
    """Gives a command the options of a source's settings."""
    for each in reversed(_OPTIONS):
        command = each(command)
    return command


@dataclass(frozen=True)
class Chosen:
    """The options that a command got; None for those it did not get."""

    base_url: str | None = None
    api_token: str | None = field(default=None, repr=False)
    section_map: tuple[tuple[str, str], ...] = ()
    default_section: str | None = None
    unknown_sections: str | None = None
    language: str | None = None
    content_type: str | None = None
    fields: tuple[tuple[str, tuple[str, str]], ...] = ()
    takedown_limit: int | None = None
    unmap: tuple[str, ...] = ()

    def changed(self, before: SourceOptions, config: Settings) -> SourceOptions:
        """The settings with what was chosen. Raises UrlRefused for an address that may not be called."""
        plain = {
            name: getattr(self, name)
            for name in ("api_token", "unknown_sections", "language", "content_type", "takedown_limit")
            if getattr(self, name) is not None
        }
        if self.default_section is not None:
            plain["default_section"] = self.default_section.strip() or None
        if self.base_url is not None:
            plain["base_url"] = _checked(self.base_url, config)
        kept = {theirs: ours for theirs, ours in before.section_map.items() if theirs not in self.unmap}
        return replace(
            before,
            **plain,
            section_map={**kept, **dict(self.section_map)},
            fields={**before.fields, **dict(self.fields)},
        )


def _checked(url: str, config: Settings) -> str:
    bare = url.strip().rstrip("/")
    if bare:
        endpoint_urls.check_url(bare, allow_http=config.allow_http, allowed=config.allow_networks)
    return bare
