"""An article in Dateline's own JSON into the record: read, its sections mapped, accepted; or a refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from service.http.problems import Problem
from service.intake.adapters import native, registry
from service.intake.adapters.json_body import NotJson, decode
from service.intake.adapters.native import ARTICLE_BYTES, Reading
from service.intake.adapters.posted_fields import Note
from service.intake.article import TAKEDOWN_STATUSES
from service.intake.refusal_counter import name_takedown
from service.intake.section_map import KnownSections, map_reading
from service.intake.story_intake import NEVER_HERE, announce_answer
from service.store.articles import accept, idempotency, preview
from service.store.articles.idempotency import NOTHING_TO_DO, Answer
from service.store.articles.posts import Post
from service.store.articles.source_settings import SourceOptions
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.errors import KeyReused, UnknownSections
from service.store.feeds import sections

VALID = "valid"
_KEY_LEFT_OUT = Note("", "Its idempotency key is that of another body: the takedown was taken without it.")


@dataclass(frozen=True)
class ArticlePost:
    """A request's article. `validate`: it is only tried, and nothing of it stays. `notes`: warnings of the request."""

    source: Source
    options: SourceOptions | None
    body: bytes
    key: str | None
    validate: bool = False
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class ArticleResult:
    """The answer to a posted article, and what was changed or left out."""

    answer: Answer
    warnings: tuple[Note, ...]
    validated: bool = False

    def facts(self) -> dict[str, Any]:
        """As it is sent. What is not there, or would be there only if it were posted, has no name."""
        facts: dict[str, Any] = {name: value or None for name, value in self.answer.facts().items()}
        if self.validated:
            facts |= {"event": None, "outcome": VALID, "would_be": self.answer.outcome}
            if self.answer.revision == 1 and self.answer.outcome == "accepted":
                facts["article"] = None
        if self.warnings:
            facts["warnings"] = [{"pointer": each.pointer, "detail": each.detail} for each in self.warnings]
        return facts


class ArticleIntake:
    """`wake` is called after each commit; it must not block, and may fail without harm."""

    def __init__(
        self, record: Record, *, authority: str, wake: Callable[[], None], clock: Callable[[], datetime]
    ) -> None:
        self._record = record
        self._authority = authority
        self._wake = wake
        self._clock = clock

    def take(self, posted: ArticlePost) -> ArticleResult:
        """Raises Problem for what cannot be taken; then nothing was changed."""
        try:
            return self._taken(posted)
        except Problem:
            if is_takedown(posted.body):
                name_takedown()
            raise

    def _taken(self, posted: ArticlePost) -> ArticleResult:
        as_sent, notes = _read(posted.source, posted.body), posted.notes
        now = self._clock()
        body_hash = hashlib.sha256(posted.body).hexdigest()
        post = Post(posted.source, as_sent.posted, posted.key, body_hash, self._authority, now)
        try:
            reading, answer = self._answered(posted, post, as_sent)
        except KeyReused as error:
            if as_sent.posted.status not in TAKEDOWN_STATUSES:
                raise Problem(409, "key-reused", f"{error}; give each new body a key of its own") from None
            # A takedown is never lost for what comes with it, and twice the same changes nothing.
            notes = (*notes, _KEY_LEFT_OUT)
            reading, answer = self._answered(posted, replace(post, key=None), as_sent)
        if answer.given_at is not None:
            now, reading = answer.given_at, self._as_read_first(as_sent, posted.options, answer.given_at)
        warnings = (*reading.warnings, *notes, *native.date_warnings(reading.posted, now))
        if answer == NOTHING_TO_DO:
            warnings = (*warnings, Note("/id", f"{NEVER_HERE[0].upper()}{NEVER_HERE[1:]}."))
        if not posted.validate:
            announce_answer(posted.source, answer, self._wake)
        return ArticleResult(answer, warnings, posted.validate)

    def _answered(self, posted: ArticlePost, post: Post, as_sent: Reading) -> tuple[Reading, Answer]:
        """The article as it was taken, and the answer. Raises KeyReused."""
        mapped = as_sent
        if posted.options is not None:
            try:
                mapped = self._mapped(as_sent, posted.options)
            except Problem:  # the source's settings may be others than when its key got the first answer
                if (first := idempotency.first_answer(self._record, post)) is None:
                    raise
                return as_sent, first
        reading = native.as_received(mapped, post.now)
        try:
            return reading, self._accept(replace(post, article=reading.posted), validate=posted.validate)
        except UnknownSections as error:
            reading = native.as_received(self._with_known_sections(mapped, error), post.now)
            return reading, self._accept(replace(post, article=reading.posted), validate=posted.validate)

    def _as_read_first(self, as_sent: Reading, options: SourceOptions | None, then: datetime) -> Reading:
        """As it was read when its key got the first answer: by the clock and the sections of that moment."""
        titles = sections.titles(self._record, until=then)
        known = KnownSections.of_slugs(titles) if options is None else KnownSections.of(titles)
        reading = as_sent
        if options is not None or not known.slugs.issuperset(as_sent.posted.sections):
            with suppress(native.Invalid):
                reading = map_reading(as_sent, options or SourceOptions(), known)
        return native.as_received(reading, then)

    def _accept(self, post: Post, *, validate: bool) -> Answer:
        taken_by = preview.preview if validate else accept.accept
        return taken_by(self._record, post)

    def _mapped(self, reading: Reading, options: SourceOptions) -> Reading:
        try:
            return map_reading(reading, options, KnownSections.of(sections.titles(self._record)))
        except native.Invalid as error:
            raise _invalid([(each.pointer, each.detail) for each in error.errors]) from None

    def _with_known_sections(self, reading: Reading, error: UnknownSections) -> Reading:
        """With those that are known, and a warning for each that is not; none being known, a 422."""
        try:
            return map_reading(reading, SourceOptions(), KnownSections.of_slugs(error.known))
        except native.Invalid:
            names = f"this desk has: {', '.join(error.known) or 'none yet'}"
            raise _invalid(
                [
                    (f"/sections/{reading.section_places[slug]}", f"there is no section {slug!r}; {names}")
                    for slug in error.slugs
                ]
            ) from None


def is_takedown(body: bytes) -> bool:
    """Whether the body says that its story is to be taken down, whatever else of it is wrong."""
    try:
        return decode(body).get("status") in TAKEDOWN_STATUSES
    except (NotJson, TypeError):
        return False


def _read(source: Source, body: bytes) -> Reading:
    """The article in Dateline's own JSON, which a source of any adapter may post here."""
    if source.adapter not in registry.names():
        raise Problem(422, "adapter", registry.unknown_words(source.adapter))
    try:
        return native.read(body)
    except NotJson as error:
        if len(body) > ARTICLE_BYTES:
            raise too_large() from None
        raise Problem(400, "not-json", error.detail) from None
    except native.TooLong:
        raise too_large() from None
    except native.Invalid as error:
        raise _invalid([(each.pointer, each.detail) for each in error.errors]) from None


def too_large() -> Problem:
    words = f"an article may have {ARTICLE_BYTES:,} bytes, 1 MiB, at the most"
    return Problem(413, "too-large", words)


def _invalid(errors: list[tuple[str, str]]) -> Problem:
    count = "one thing is" if len(errors) == 1 else f"{len(errors)} things are"
    return Problem(422, "invalid", f"{count} wrong with the article: see errors", errors=errors)
