"""Types of the commands' parameters: each reads a word of the command line, or says how to write it."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from service import times
from service.intake import article
from service.plain_text import is_a_line, printable
from service.store.deliveries import rates
from service.store.deliveries.attempts import CAUSES
from service.store.feeds import slugs

ATTEMPTS_MAX = 50
WAIT_MAX = timedelta(days=3)  # between two attempts
OVERLAP_MAX = timedelta(days=90)
DEFAULT = "default"
NAME_LENGTH = 200


class Slug(click.ParamType[str]):
    """The short name of a source or a partner: small letters, digits and hyphens."""

    name = "slug"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", str(value)):
            self.fail(
                f"{value!r} does not work as a name: use small letters, digits and hyphens, 64 at most",
                param,
                ctx,
            )
        return str(value)


class SectionSlug(click.ParamType[str]):
    """A section's name for URLs, in any script; it is read in its one form: `Ελλάδα` is `ελλάδα`."""

    name = "slug"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        slug = slugs.fold(str(value))
        if reason := slugs.fault(slug):
            words = f"{printable(str(value))!r} does not work as a name: {reason}. {_SLUG_RULE}"
            self.fail(words, param, ctx)
        return slug


_SLUG_RULE = "Use letters and digits of any script, and hyphens between them."


class HostPort(click.ParamType[str]):
    """The address of a server."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        host, _, port = str(value).rpartition(":")
        if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
            self.fail(f"{value!r} is not HOST:PORT; write for example 127.0.0.1:8600", param, ctx)
        return str(value)


class Cause(click.Choice[str]):
    """Why deliveries were given up. The record's words, in which _ may be written as -."""

    name = "cause"

    def __init__(self) -> None:
        super().__init__([each.replace("_", "-") for each in CAUSES])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(str(value).replace("_", "-"), param, ctx).replace("-", "_")


LISTEN = click.option(
    "--listen", type=HostPort(), metavar="HOST:PORT", help="Where the web answers (port 0: any free one)."
)


class Text(click.ParamType[str]):
    """Words for people: trimmed, on one line, not empty, not long, and all of them seen."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        words = " ".join(str(value).split())
        if not words:
            self.fail("write a name that people see, such as 'World'", param, ctx)
        if len(words) > NAME_LENGTH or not is_a_line(words):
            self.fail(f"write at most {NAME_LENGTH} characters, none of them a control character", param, ctx)
        return words


class Language(click.ParamType[str]):
    """A language tag, as in an article."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(TypeAdapter(article.Language).validate_python(value))
        except ValidationError as error:
            self.fail(f"{value!r} is none: {error.errors()[0]['msg']}", param, ctx)


class Moment(click.ParamType[datetime]):
    """A time: ISO 8601 (UTC unless it says otherwise), or how long ago: 30m, 2h, 3d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if str(value)[-1:] in tuple("smhd"):
                return times.now() - times.parse_span(value)
            return times.from_iso(value)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time; write 2026-01-02T08:00:00Z, or 2h for two hours ago", param, ctx
            )


class Overlap(click.ParamType[timedelta]):
    """A span for which something old still works: 30m, 12h, 7d, or 0."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            span = times.parse_span(str(value))
        except ValueError:
            span = None
        if span is None or span > OVERLAP_MAX:
            words = (
                f"{value!r} does not work; write 30m, 12h or 7d, up to {OVERLAP_MAX.days}d, or 0 for at once"
            )
            self.fail(words, param, ctx)
        return span


class Schedule(click.ParamType[tuple[float, ...]]):
    """The seconds before each attempt, separated by commas. The first attempt is at once."""

    name = "schedule"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if not isinstance(value, str):
            return tuple(value)
        try:
            waits = tuple(float(int(each)) for each in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is no schedule; write whole seconds, such as 0,5,30,120", param, ctx)
        if waits[0] != 0:
            self.fail("a schedule begins with 0: the first attempt is at once", param, ctx)
        if min(waits) < 0 or max(waits) > WAIT_MAX.total_seconds() or len(waits) > ATTEMPTS_MAX:
            words = (
                f"each wait is from 0 to {WAIT_MAX.total_seconds():.0f} s, in {ATTEMPTS_MAX} attempts at most"
            )
            self.fail(words, param, ctx)
        return waits


class ScheduleOrDefault(Schedule):
    """A schedule, or the word default, which is the empty one."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        return () if value == DEFAULT else super().convert(value, param, ctx)


class Rate(click.FloatRange):
    """Pushes per second."""

    def __init__(self) -> None:
        super().__init__(rates.LOWEST, rates.HIGHEST)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        rate: float = super().convert(value, param, ctx)
        if math.isnan(rate):  # it is neither below nor above anything
            self.fail(f"{value!r} is no number", param, ctx)
        return rate


RATE = Rate()


class PackageName(click.ParamType[str]):
    """A package, as articles name it."""

    name = "slug"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(TypeAdapter(article.Slug).validate_python(value))
        except ValidationError as error:
            self.fail(
                f"{printable(str(value)[:NAME_LENGTH])!r} does not work as a name: {error.errors()[0]['msg']}",
                param,
                ctx,
            )


class RateOrNone(click.ParamType[float]):
    """Pushes per second, or the word none, which is 0."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return 0.0 if value == "none" else RATE.convert(value, param, ctx)
