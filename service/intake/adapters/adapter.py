"""Adapter: one content system's way of telling us of a story. Pure: it reads and writes nothing, and knows no clock.

Each system has one module beside this one with an `ADAPTER`, and `registry.py` lists them. What an adapter gives is in
the words of `POST /v1/articles` (docs/api.md); the names of sections are still the system's own, and the source's map
turns them into ours. Requests to a system's own API are built here and sent by a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class HookRequest:
    """A content system's request as it came. `target`: the path with its query. Names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)  # some of them let others in
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class FieldRule:
    """Where a field of ours stands in the system's own record (a JSON pointer, RFC 6901), and what makes it ours."""

    pointer: str
    converter: str = ""  # a name from `rich_text.converters.CONVERTERS`; empty: as it is


@dataclass(frozen=True)
class SourceSettings:
    """A source's settings, as its adapter sees them: no secret is among them."""

    base_url: str = ""  # of the system, with scheme, without a slash at the end
    language: str | None = None
    content_type: str = ""  # the name of the system's own type of stories, where it has several
    fields: Mapping[str, FieldRule] = field(
        default_factory=dict
    )  # ours → theirs, of systems without a fixed schema
    has_token: bool = False  # the source has an API token: `{token}` stands for something


@dataclass(frozen=True)
class StoryRead:
    """A story's present state: `fields` as they are posted to /v1/articles (`id`, `headline`, `body_html` …).

    One of `sections` may be a list of the names that it has in the system (its title, its slug): any of them finds it.
    """

    fields: Mapping[str, Any]
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Gone:
    """A story that is not public any more. `updated_at`: when it went, if the system says so and means it."""

    id: str
    status: Literal["unpublished", "killed", "withheld"] = "unpublished"
    updated_at: datetime | None = None
    version: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Hint:
    """Something has changed: these stories are to be fetched; without ids, the system is to be compared as a whole.

    `sweep`: ids that the system no longer shows may be gone, so that the list of all ids is to be looked through.
    """

    ids: Sequence[str] = ()
    sweep: bool = False


@dataclass(frozen=True)
class Ignore:
    """Nothing that concerns readers: a draft, a test ping, another type of content. `why` is shown to operators."""

    why: str


Event = StoryRead | Gone | Hint | Ignore


class Unreadable(ValueError):
    """An authenticated request that cannot be mapped: it is held, with these words as its reason."""


@dataclass(frozen=True)
class ApiRequest:
    """A request to the system's API. `headers` and `url` may contain `{token}`, which the worker fills in with the
    source's API token (percent-encoded in the address); nothing else of it is secret. `body` is JSON, sent as such.
    `expected`: statuses that the adapter reads itself, though they mostly say that the system may not be asked."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    expected: Sequence[int] = ()


@dataclass(frozen=True)
class ApiAnswer:
    """The system's answer, whole. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class ChangedPage:
    """A page of what has changed since: stories, or hints where the list does not carry them whole."""

    events: Sequence[Event]
    next: ApiRequest | None = None


@dataclass(frozen=True)
class IdsPage:
    """A page of the ids of all that is public now, in the source's own words (`StoryRead.fields["id"]`)."""

    ids: Sequence[str]
    next: ApiRequest | None = None


@dataclass(frozen=True)
class Reconciliation:
    """How a system is compared with the record. Nothing is taken down by a list alone: a missing id is fetched."""

    changed: Callable[[datetime, SourceSettings], ApiRequest]
    changed_page: Callable[[ApiAnswer, ApiRequest, SourceSettings], ChangedPage]
    all_ids: Callable[[SourceSettings], ApiRequest]
    ids_page: Callable[[ApiAnswer, ApiRequest, SourceSettings], IdsPage]


Verify = Callable[[HookRequest, Sequence[str], datetime], str | None]
"""(request, secrets that work now, now) → None if one of the secrets made it, else why not, in a developer's words."""

Read = Callable[[HookRequest, SourceSettings], Sequence[Event]]
"""Every event of an authenticated request, in its order. Raises Unreadable."""

Fetch = Callable[[str, SourceSettings], ApiRequest]
Fetched = Callable[[ApiAnswer, str, SourceSettings], StoryRead | Gone | ApiRequest]
"""(answer, id, settings) → the story, or that it is gone, or the request that this answer leads to: where a system is
first asked for its newest edition, or for what a story names. Raises Unreadable, also for an answer that proves
nothing."""


@dataclass(frozen=True)
class Adapter:
    """All that Dateline knows of one content system. `needs`: settings without which it cannot work, by the names of
    the options of `dateline source add` (`secret`, `base-url`, `api-token`, `content-type`, `field`). `wants`: those
    without which it only takes what the hooks bring."""

    name: str
    title: str  # the system's own name, for operators
    verify: Verify
    read: Read
    needs: Sequence[str] = ("secret",)
    wants: Sequence[str] = ()
    setup: str = ""  # what to paste where in the system's own screens; {url} and {secret} are filled in
    fetch: Fetch | None = None
    fetched: Fetched | None = None
    reconciliation: Reconciliation | None = None
    answer_status: int = 202  # of every authenticated hook; a few systems take nothing but a 200
    asks_for_files: bool = (
        False  # before it sends a story it asks below its address for each file of its pictures
    )
