"""Routes of the intake: POST /v1/articles, and /v1/hooks/SOURCE for a content system's own webhook.

A 202 means committed: from then on no crash loses the article. The workers are woken afterwards, best effort.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

from flask import Blueprint, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from service.http import parameters
from service.http.problems import Problem
from service.intake.adapters.native import ARTICLE_BYTES
from service.intake.adapters.posted_fields import Note
from service.intake.article_batch import take_lines
from service.intake.article_intake import ArticleIntake, ArticlePost, ArticleResult, is_takedown
from service.intake.authenticate import AuthenticatedSource, SourceAuthenticator
from service.intake.hook_receiver import HookReceiver
from service.intake.refusal_counter import count_nothing, count_part
from service.intake.story_intake import StoryIntake
from service.store.database.record import Record

MAX_BYTES = ARTICLE_BYTES  # of an article, decoded
REQUEST_BYTES = 8 * 1024 * 1024  # an article's letters may be written as escapes, six bytes each
MAX_KEY = 200
NDJSON = "application/x-ndjson"


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
    articles = ArticleIntake(record, authority=authority, wake=wake, clock=clock)

    def posted(slug: str | None, *, validate: bool = False, batch: bool = False) -> ArticlePost:
        body = _body(NDJSON if batch else None)
        authenticated = authenticator.authenticate(body, slug)
        source = authenticated.source
        key: str | None = None
        notes: tuple[Note, ...] = ()
        try:
            key = _key(authenticated)
        except Problem as problem:
            if batch or not is_takedown(body):
                raise
            # A takedown is never lost for what comes with it, and twice the same changes nothing.
            notes = (Note("", f"The takedown was taken without its idempotency key: {problem.detail}."),)
        return ArticlePost(source, authenticator.options(source), body, key, validate, notes)

    @blueprint.post("/v1/articles")
    def post_article() -> Response:
        """The article's current state, or those of many, one a line."""
        parameters.require_known("source", "validate")
        validate = _is_validation()
        batch = request.mimetype == NDJSON
        post = posted(request.args.get("source"), validate=validate, batch=batch)
        if validate:
            count_nothing()
        if not batch:
            return _answer(articles.take(post))
        answers = take_lines(post, articles.take, count_part)
        return Response(answers, 200, {"Cache-Control": "no-store"}, content_type=NDJSON)

    @blueprint.post("/v1/hooks/<source>", strict_slashes=False)
    def post_hook(source: str) -> Response:
        """The content system's own webhook."""
        answer = receiver.receive(source)
        if answer is not None:
            return answer
        parameters.require_known()
        return _answer(articles.take(posted(source)))

    @blueprint.get("/v1/hooks/<source>/<path:file>")
    def get_file(source: str, file: str) -> Response:  # noqa: ARG001 - every file is answered alike
        """Whether a picture's file is here, for the content systems that ask before they send a story."""
        parameters.require_known()
        return receiver.has_file(source)

    return blueprint


def _is_validation() -> bool:
    value = request.args.get("validate", "0")
    if value not in ("0", "1"):
        raise parameters.wrong_value("validate", "1 to try a post without keeping it, or 0")
    return value == "1"


def _body(kind: str | None) -> bytes:
    mimetype = request.mimetype
    if mimetype not in (kind, "application/json") and not (
        mimetype.startswith("application/") and mimetype.endswith("+json")
    ):
        raise Problem(415, "media-type", f"send application/json, not {mimetype or 'a body without a type'}")
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in {"utf-8", "utf8"}:
        raise Problem(415, "media-type", f"send UTF-8, not {charset}")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "media-type", "send the body as it is, without Content-Encoding")
    words = f"a request may have {REQUEST_BYTES:,} bytes, 8 MiB, at the most, and an article in it 1 MiB"
    longer = Problem(413, "too-large", words)
    if request.content_length is not None and request.content_length > REQUEST_BYTES:
        raise longer
    request.max_content_length = REQUEST_BYTES + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise longer from None
    if len(body) > REQUEST_BYTES:
        raise longer
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


def _answer(result: ArticleResult) -> Response:
    facts = result.facts()
    headers = {"Cache-Control": "no-store"}
    if facts["article"] and not result.validated:
        headers["Location"] = f"/v1/articles/{quote(facts['article'], safe=':,/')}"
    body = json.dumps(facts, ensure_ascii=False)
    return Response(body, 200 if result.validated else 202, headers, content_type="application/json")
