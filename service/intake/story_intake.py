"""A story that an adapter read, or its end, into the record: the one way for hooks, fetches and comparisons alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service import logs
from service.intake import language_tags, leniency, text
from service.intake.adapters import native
from service.intake.adapters.adapter import Gone, StoryRead
from service.intake.adapters.json_body import NotJson
from service.intake.adapters.native import Reading
from service.intake.adapters.posted_fields import Note
from service.intake.article import LIMITS, TAKEDOWN_STATUSES, Slug
from service.intake.section_map import KnownSections, SectionNames, map_sections
from service.store.articles import accept, hooks, preview, source_settings
from service.store.articles.idempotency import NOTHING_TO_DO, TAKEN_DOWN_BEFORE, Answer
from service.store.articles.posts import Post, PostedArticle
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.errors import KeyReused, UnknownSections
from service.store.feeds import sections

log = logs.get("intake")

HELD_WORDS = hooks.WHY_MOST
_TAKEDOWN_FIELDS = ("id", "status", "version", "updated_at", "reason", "kill_reason")


NEVER_HERE = "it was never here: there is nothing to take down"
TAKEDOWN_CAME = "its takedown came before it, and nothing says that the story is newer"


@dataclass(frozen=True)
class Stamp:
    """How a story came: its idempotency key and the hash of its request, and how late it is worked on
    (`Post.received_at`, `Post.of_revision`)."""

    key: str | None
    body_hash: str
    received_at: datetime | None = None
    of_revision: int | None = None


@dataclass(frozen=True)
class StoryResult:
    """The end of a story's way in: accepted, repeat, stale, ignored or held, and why."""

    external_id: str
    outcome: str
    why: str | None = None
    answer: Answer | None = None
    warnings: tuple[Note, ...] = ()
    takedown: bool = False

    def facts(self) -> dict[str, Any]:
        """For answers and for the record."""
        facts: dict[str, Any] = {"id": self.external_id, **(self.answer.facts() if self.answer else {})}
        facts["outcome"] = self.outcome
        if self.why:
            facts["why"] = self.why
        if self.warnings:
            facts["warnings"] = [{"pointer": each.pointer, "detail": each.detail} for each in self.warnings]
        return facts


@dataclass(frozen=True)
class StorySource:
    """A source with its settings and the sections of the desk, as they are while its stories are taken in."""

    source: Source
    options: SourceOptions
    known: KnownSections


@dataclass(frozen=True)
class ReadyStory:
    """A story that was read by the native rules and is ready to be accepted, with the warnings that came of it."""

    post: Post
    notes: tuple[Note, ...]

    def result(self, answer: Answer) -> StoryResult:
        """The end of its way in, by the record's answer."""
        posted, warnings = self.post.article, self.notes
        takedown = posted.status in TAKEDOWN_STATUSES
        if answer == NOTHING_TO_DO:
            why = f"{NEVER_HERE} ({posted.reason})"[:HELD_WORDS] if posted.reason else NEVER_HERE
            return StoryResult(posted.external_id, "ignored", why, warnings=warnings, takedown=True)
        if answer == TAKEN_DOWN_BEFORE:
            return StoryResult(posted.external_id, "stale", TAKEDOWN_CAME, warnings=warnings)
        warnings += native.date_warnings(posted, self.post.now)
        return StoryResult(posted.external_id, answer.outcome, None, answer, warnings, takedown)

    def held(self, why: Exception) -> StoryResult:
        """The same where the record does not take it."""
        posted = self.post.article
        takedown = posted.status in TAKEDOWN_STATUSES
        return StoryResult(posted.external_id, "held", str(why), warnings=self.notes, takedown=takedown)


class StoryIntake:
    """Takes stories in. `authority` is the host name in new public ids, `wake` is called after each change."""

    def __init__(
        self,
        record: Record,
        *,
        authority: str,
        clock: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
        dry_run: bool = False,
    ) -> None:
        """With `dry_run` nothing is recorded, and the results say what would be."""
        self.dry_run = dry_run
        self._accept_post = preview.preview if dry_run else accept.accept
        self.record = record
        self.clock = clock
        self._authority = authority
        self._wake = wake

    def source_now(self, source: Source) -> StorySource:
        """A source with its settings and the desk's sections as they are now."""
        with self.record.reading() as connection:
            options = source_settings.options_within(connection, self.record.keyring, source.id)
            titles = sections.titles_within(connection)
        return StorySource(source, options, KnownSections.of(titles))

    def take(self, of: StorySource, event: StoryRead | Gone, stamp: Stamp) -> StoryResult:
        """Accepts a story or its end. Raises ChangedMeanwhile for a stamp with a revision."""
        ready = self.ready(of, event, stamp)
        if isinstance(ready, StoryResult):
            return ready
        try:
            answer = self._accept_post(self.record, ready.post)
        except (UnknownSections, KeyReused) as error:
            return ready.held(error)
        if not self.dry_run:
            self.announce(of.source, answer)
        return ready.result(answer)

    def ready(self, of: StorySource, event: StoryRead | Gone, stamp: Stamp) -> ReadyStory | StoryResult:
        """A story, or its end, as it is to be accepted; or why it is held. Nothing is asked of the record."""
        if isinstance(event, Gone):
            return self._gone(of, event, stamp)
        return self._story(of, event, stamp)

    def announce(self, source: Source, answer: Answer) -> None:
        """Logs an answer, and wakes the workers for a change. After its commit."""
        if answer.article:
            announce_answer(source, answer, self._wake)

    def _gone(self, of: StorySource, gone: Gone, stamp: Stamp) -> ReadyStory | StoryResult:
        if (fault := _fault_of_id(gone.id)) is not None:
            return StoryResult(text.shown(str(gone.id)), "held", fault, takedown=True)
        posted = PostedArticle(
            external_id=gone.id,
            content=None,
            sections=(),
            status=gone.status,
            version=gone.version
            if gone.version is not None and 0 <= gone.version <= LIMITS["version"]
            else None,
            updated_at=gone.updated_at,
            reason=text.prose(gone.reason)[: LIMITS["prose"]] or None if gone.reason else None,
        )
        return self._ready(of, posted, stamp, ())

    def _story(self, of: StorySource, story: StoryRead, stamp: Stamp) -> ReadyStory | StoryResult:
        external_id = text.shown(str(story.fields.get("id", "")))
        takedown = is_takedown(story)
        notes = tuple(Note("", each) for each in story.warnings)
        try:
            reading = read_story(story.fields, of)
        except Unusable as error:
            if not takedown:
                return StoryResult(external_id, "held", str(error), warnings=notes)
            # A takedown is never lost for what comes with it.
            notes += (Note("", f"taken down without its content: {error}"),)
            bare = {name: story.fields[name] for name in _TAKEDOWN_FIELDS if name in story.fields}
            try:
                reading = read_story(bare, of)
            except Unusable as still:
                return StoryResult(external_id, "held", str(still), warnings=notes, takedown=True)
        return self._ready(of, reading.posted, stamp, (*notes, *reading.warnings))

    def _ready(
        self, of: StorySource, posted: PostedArticle, stamp: Stamp, notes: tuple[Note, ...]
    ) -> ReadyStory:
        now = self.clock()
        received = native.as_received(Reading(posted, notes), now)
        post = Post(of.source, received.posted, authority=self._authority, now=now, **vars(stamp))
        return ReadyStory(post, received.warnings)


def is_takedown(event: StoryRead | Gone) -> bool:
    """Whether a system says that a story is not to be shown any more."""
    return isinstance(event, Gone) or event.fields.get("status") in TAKEDOWN_STATUSES


class Unusable(ValueError):
    """A story that cannot be taken as it is. The text says why, for an operator."""


def read_story(fields: Mapping[str, Any], of: StorySource) -> Reading:
    """An adapter's fields by the native rules, its sections mapped. Raises Unusable."""
    named = fields.get("sections")
    theirs = [named] if isinstance(named, str) else named if isinstance(named, list | tuple) else []
    changed = dict(fields)
    notes: list[Note] = []
    if "sections" in fields or fields.get("status") not in TAKEDOWN_STATUSES:
        mapped = map_sections([_names(each) for each in theirs if each is not None], of.options, of.known)
        if mapped.refusal:
            raise Unusable(mapped.refusal)
        changed["sections"] = list(mapped.sections)
        notes = [
            Note("/sections" if place is None else f"/sections/{place}", words)
            for place, words in mapped.warnings
        ]
    if (words := _fault_of_language(changed.get("language"))) is not None:
        notes.append(Note("/language", words))
        changed["language"] = None
    if changed.get("language") in (None, "") and of.options.language:
        changed["language"] = of.options.language
    try:
        reading = native.read(json.dumps(changed, default=str).encode())
    except NotJson as error:
        raise Unusable(error.detail) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise Unusable(_words(error)) from None
    return Reading(reading.posted, (*notes, *reading.warnings), reading.section_places)


def _fault_of_language(named: Any) -> str | None:
    """Says that what a system calls its language is no tag: a site may name its locales as it likes, and no story waits
    for that."""
    if named in (None, ""):
        return None
    try:
        language_tags.canonical(leniency.language(str(named).strip())[0])
    except language_tags.NoLanguageTag:
        return f"{text.shown(str(named))[:60]!r} is no language tag: it was left out"
    return None


def _names(section: Any) -> SectionNames:
    if isinstance(section, list | tuple):
        return [str(each) for each in section if each not in (None, "")]
    return str(section)


def _words(error: Exception) -> str:
    if isinstance(error, native.Invalid):
        words = "; ".join(f"{each.pointer or 'the story'}: {each.detail}" for each in error.errors)
    else:
        words = f"it cannot be read: {error}"
    return text.line(words)[:HELD_WORDS]


_ID: TypeAdapter[str] = TypeAdapter(Slug)


def _fault_of_id(value: object) -> str | None:
    try:
        _ID.validate_python(value, strict=True)
    except ValidationError as error:
        return f"/id: {error.errors()[0]['msg']}"
    return None


def announce_answer(source: Source, answer: Answer, wake: Callable[[], None]) -> None:
    """Logs an answer, and wakes the workers for a change. After its commit."""
    if answer.outcome == "accepted":
        wake()
    log.info(
        "event.accepted",
        source=source.slug,
        article=answer.article,
        revision=answer.revision,
        type=answer.type,
        outcome=answer.outcome,
    )
