"""The receiver of content systems' own webhooks: verified on the raw bytes, kept, and answered 2xx whatever they say.

A refusal would be worse than useless: Ghost deletes its hook at a 410, and no system tries again.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import replace

from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from service import logs
from service.http import credentials, parameters
from service.http.auth import unauthenticated
from service.http.problems import Problem
from service.intake.adapters import registry
from service.intake.adapters.adapter import Adapter, HookRequest
from service.intake.authenticate import SourceAuthenticator, no_such_source
from service.intake.hook_intake import HookIntake
from service.intake.refusal_counter import count_nothing, name_source
from service.intake.story_intake import StoryIntake
from service.store.articles.hooks import HookResult

log = logs.get("intake")

HOOK_MAX_BYTES = 8 * 1024 * 1024
_EITHER = 32 + zlib.MAX_WBITS  # the head of gzip or of zlib
_WINDOWS = {"gzip": _EITHER, "x-gzip": _EITHER, "deflate": _EITHER}


class HookReceiver:
    """Answers a source's hook by the source's adapter."""

    def __init__(self, stories: StoryIntake, authenticator: SourceAuthenticator) -> None:
        self._stories = stories
        self._hooks = HookIntake(stories)
        self._authenticator = authenticator

    def receive(self, slug: str) -> Response | None:
        """The answer; None for a source that posts Dateline's own JSON, and for whoever comes with a key of ours or a
        Standard Webhooks signature to one that is not there. A 401 for a content system that does."""
        source = self._authenticator.find(slug)
        if source is None and not _is_in_our_own_way():
            parameters.require_known()
            raise unauthenticated(no_such_source(slug))
        if source is None or source.adapter == registry.NATIVE:
            return None
        name_source(source.slug)
        adapter = registry.ADAPTERS.get(source.adapter)
        if adapter is None:
            raise Problem(422, "adapter", registry.unknown_words(source.adapter))
        sent = _hook_request()
        hook = decompressed(sent)
        now = self._stories.clock()

        def fault(secrets: Sequence[str]) -> str | None:
            """Systems sign before they compress, or after it."""
            words = adapter.verify(hook, secrets, now)
            return words if words is None or hook is sent else adapter.verify(sent, secrets, now)

        verified = self._authenticator.verified(slug, fault)
        number, result = self._hooks.receive(verified.source, adapter, hook, verified.secrets)
        log.info(
            "hook.received",
            source=slug,
            hook=number,
            outcome=result.outcome,
            why=result.why,
            stories=len(result.articles),
        )
        return _answer(adapter, number, result)

    def has_file(self, slug: str) -> Response:
        """The answer to a system that asks for a picture's file before it sends a story: it is here, so that none is
        sent. Pictures are linked, wherever they are. A 404 where no system asks."""
        count_nothing()
        source = self._authenticator.find(slug)
        adapter = registry.ADAPTERS.get(source.adapter) if source else None
        if adapter is None or not adapter.asks_for_files:
            raise Problem(404, "not-found", f"the source {slug!r} is asked for no files")
        words = "pictures are linked, not kept: no file is wanted\n"
        return Response(words, 200, {"Cache-Control": "no-store"}, content_type="text/plain; charset=utf-8")


def _is_in_our_own_way() -> bool:
    """Whether the request is authenticated as a post of Dateline's own JSON is."""
    _, _, key = request.headers.get("Authorization", "").partition(" ")
    return "webhook-signature" in request.headers or credentials.read_api_key(key.strip()) is not None


def _hook_request() -> HookRequest:
    """The request as it came, or a 413."""
    request.max_content_length = HOOK_MAX_BYTES + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large() from None
    if len(body) > HOOK_MAX_BYTES:
        raise _too_large()
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    query = request.query_string.decode("latin-1")
    path = str(request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or "")
    target = path or request.path + (f"?{query}" if query else "")
    return HookRequest(request.method, target, headers, body)


def decompressed(hook: HookRequest) -> HookRequest:
    """The request with its body as it was before it was compressed; one that cannot be read so stays as it is. A 413
    for what would become too large."""
    coding = hook.headers.get("content-encoding", "").strip().lower()
    if coding not in _WINDOWS:
        return hook
    reader = zlib.decompressobj(_WINDOWS[coding])
    try:
        body = reader.decompress(hook.body, HOOK_MAX_BYTES + 1)
    except zlib.error:
        return hook
    if len(body) > HOOK_MAX_BYTES:
        raise _too_large()
    if not reader.eof:
        return hook
    headers = {name: value for name, value in hook.headers.items() if name != "content-encoding"}
    return replace(hook, headers=headers, body=body)


def _too_large() -> Problem:
    return Problem(413, "too-large", f"a hook may have {HOOK_MAX_BYTES:,} bytes, 8 MiB, at the most")


def _answer(adapter: Adapter, number: int, result: HookResult) -> Response:
    facts = {
        "outcome": result.outcome,
        "why": result.why,
        "articles": list(result.articles),
        "hook": number,
    }
    return Response(
        json.dumps(facts),
        adapter.answer_status,
        {"Cache-Control": "no-store"},
        content_type="application/json",
    )
