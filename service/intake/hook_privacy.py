"""Hooks without what the record may not keep: credentials, and what is no part of a story."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from service.intake import text
from service.intake.adapters.adapter import HookRequest

HEADERS_MOST = 40
HEADER_LETTERS = 2_000
# Of no use to a reader of the body; the first group would let others in.
_DROPPED_HEADERS = frozenset((
    "authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-auth-token", "x-access-token",
    "host", "connection", "content-length", "transfer-encoding", "accept", "accept-encoding", "accept-language",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via", "date", "te",
    "traceparent", "tracestate", "sentry-trace", "baggage",
))  # fmt: skip
# Parts of content systems' records that no story is made of: former revisions with their text, addresses of staff.
_DROPPED_KEYS = frozenset((
    "post_revisions", "email", "user_email", "author_email", "user_pass", "user_activation_key",
    "mail", "init",  # of a user in Drupal
))  # fmt: skip
_HIDDEN = "[not kept]"
_TELLING = 12  # characters: a shorter secret may be a word of a story, and is taken out where it is a whole value only


def stored_request(request: HookRequest, secrets: Sequence[str]) -> HookRequest:
    """The request as the record keeps it. It can still be read by its adapter."""
    hidden = [each for each in secrets if each]
    headers = {
        name: _without(value, hidden)[:HEADER_LETTERS]
        for name, value in list(request.headers.items())[:HEADERS_MOST]
        if name not in _DROPPED_HEADERS and "signature" not in name
    }
    return replace(
        request,
        target=text.line(_without(request.target, hidden))[:HEADER_LETTERS],
        headers=headers,
        body=_stored_body(request.body, hidden),
    )


def _stored_body(body: bytes, secrets: Sequence[str]) -> bytes:
    for secret in secrets:
        for written in _as_json(secret):
            body = body.replace(written.encode("utf-8", "surrogatepass"), f'"{_HIDDEN}"'.encode())
        if len(secret) >= _TELLING:
            body = body.replace(secret.encode("utf-8", "surrogatepass"), _HIDDEN.encode())
    if not any(b'"' + key.encode() + b'"' in body for key in _DROPPED_KEYS):
        return body
    try:
        value = json.loads(body)
        return json.dumps(_pruned(value), separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # nobody can read it: it is kept as it came
        return body


def _as_json(secret: str) -> set[str]:
    """A secret as a value in JSON: with its letters as they are or escaped, its slashes too, as PHP writes them."""
    written = {json.dumps(secret), json.dumps(secret, ensure_ascii=False)}
    return written | {each.replace("/", "\\/") for each in written}


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _pruned(part) for name, part in value.items() if name not in _DROPPED_KEYS}
    if isinstance(value, list):
        return [_pruned(part) for part in value]
    return value


def _without(value: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        value = value.replace(secret, _HIDDEN) if len(secret) >= _TELLING or value == secret else value
    return value
