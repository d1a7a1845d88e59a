"""Routes of the intake: POST /v1/articles, and /v1/hooks/SOURCE for a content system's own webhook.

A 202 means committed: from then on no crash loses the article. The workers are woken afterwards, best effort.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, request

from service import logs
from service.http import parameters
from service.http.problems import Problem
from service.intake.adapters import native, registry
from service.intake.adapters.json_body import NotJson
from service.intake.adapters.native import Reading
from service.intake.adapters.posted_fields import Note
from service.intake.authenticate import AuthenticatedSource, SourceAuthenticator
from service.intake.hook_receiver import HookReceiver
from service.intake.section_map import KnownSections, map_reading
from service.intake.story_intake import StoryIntake
from service.store.articles import accept
from service.store.articles.idempotency import Answer
from service.store.articles.posts import Post
from service.store.articles.sources import Source
from service.store.database.record import Record
from service.store.errors import ContentMissing, KeyReused, UnknownSections
from service.store.feeds import sections

log = logs.get("intake")

MAX_BYTES = 1024 * 1024
MAX_KEY = 200


def create_blueprint(
    record: Record,
    authenticator: SourceAuthenticator,
    *,
    authority: str,
    wake: Callable[[], None],
    clock: Callable[[], datetime],
) -> Blueprint:
    """`wake` is called after each commit; it must not block, and may fail without harm."""
    blueprint = Blueprint("intake", __name__)
    receiver = HookReceiver(StoryIntake(record, authority=authority, clock=clock, wake=wake), authenticator)

    def mapped(source: Source, reading: Reading) -> Reading:
        options = authenticator.options(source)
        if options is None:
            return reading
        try:
            return map_reading(reading, options, KnownSections.of(sections.titles(record)))
        except native.Invalid as error:
            raise _invalid([(each.pointer, each.detail) for each in error.errors]) from None

    def take(slug: str | None) -> Response:
        body = _body()
        authenticated = authenticator.authenticate(body, slug)
        source, key = authenticated.source, _key(authenticated)
        reading = mapped(source, _read(source, body))
        body_hash = hashlib.sha256(body).hexdigest()
        post = Post(source, reading.posted, key, body_hash, authority, clock())
        answer = _accept(record, post, reading)
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
        return _answer(answer, (*reading.warnings, *native.date_warnings(post.article, post.now)))

    @blueprint.post("/v1/articles")
    def post_article() -> Response:
        """The article's current state."""
        parameters.require_known("source")
        return take(request.args.get("source"))

    @blueprint.post("/v1/hooks/<source>")
    def post_hook(source: str) -> Response:
        """The content system's own webhook."""
        answer = receiver.receive(source)
        if answer is not None:
            return answer
        parameters.require_known()
        return take(source)

    return blueprint


def _body() -> bytes:
    mimetype = request.mimetype
    if mimetype != "application/json" and not (
        mimetype.startswith("application/") and mimetype.endswith("+json")
    ):
        raise Problem(415, "media-type", f"send application/json, not {mimetype or 'a body without a type'}")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8"}:
        raise Problem(415, "media-type", f"send UTF-8, not {charset}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "media-type", "send the body as it is, without Content-Encoding")
    too_large = Problem(413, "too-large", f"an article may have {MAX_BYTES:,} bytes, 1 MiB, at the most")
    if request.content_length is not None and request.content_length > MAX_BYTES:
        raise too_large
    body = request.get_data(cache=False)
    if len(body) > MAX_BYTES:
        raise too_large
    return body


def _key(authenticated: AuthenticatedSource) -> str | None:
    headers = request.headers
    key = authenticated.message_id or headers.get("Idempotency-Key", headers.get("webhook-id"))
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise Problem(
            400, "idempotency-key", f"an idempotency key has 1 to {MAX_KEY} printable ASCII characters"
        )
    if key is not None and key != key.strip():
        raise Problem(400, "idempotency-key", "an idempotency key has no blanks at its ends")
    return key


def _read(source: Source, body: bytes) -> Reading:
    """The article in Dateline's own JSON, which a source of any adapter may post here."""
    if source.adapter not in registry.names():
        raise Problem(422, "adapter", registry.unknown_words(source.adapter))
    try:
        return native.read(body)
    except NotJson as error:
        raise Problem(400, "not-json", error.detail) from None
    except native.Invalid as error:
        raise _invalid([(each.pointer, each.detail) for each in error.errors]) from None


def _invalid(errors: list[tuple[str, str]]) -> Problem:
    count = "one thing is" if len(errors) == 1 else f"{len(errors)} things are"
    return Problem(422, "invalid", f"{count} wrong with the article: see errors", errors=errors)


def _accept(record: Record, post: Post, reading: Reading) -> Answer:
    try:
        return accept.accept(record, post)
    except KeyReused as error:
        raise Problem(409, "key-reused", f"{error}; give each new body a key of its own") from None
    except UnknownSections as error:
        known = f"this desk has: {', '.join(error.known) or 'none yet'}"
        raise _invalid(
            [
                (f"/sections/{reading.section_places[slug]}", f"there is no section {slug!r}; {known}")
                for slug in error.slugs
            ]
        ) from None
    except ContentMissing:
        words = f"this source has no article {post.article.external_id!r}, so there is nothing to take down"
        raise _invalid([("/id", words)]) from None


def _answer(answer: Answer, warnings: tuple[Note, ...]) -> Response:
    body: dict[str, Any] = {**vars(answer)}
    if warnings:
        body["warnings"] = [{"pointer": each.pointer, "detail": each.detail} for each in warnings]
    return Response(
        json.dumps(body, ensure_ascii=False),
        202,
        {"Location": f"/v1/articles/{quote(answer.article, safe=':,/')}", "Cache-Control": "no-store"},
        content_type="application/json",
    )
