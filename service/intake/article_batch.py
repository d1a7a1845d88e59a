"""A batch of articles, one a line (NDJSON): each is taken, or refused, by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from service.http.problems import Problem
from service.intake.article_intake import ArticlePost, ArticleResult
from service.store.errors import RecordUnavailable

LINES_MOST = 1_000
TAKEN_FOR = 20.0  # seconds, after which what is left is to be sent again: whoever asks waits no longer
_AWAY = "the record cannot be reached or is busy; nothing of this line was accepted: send it again"
_LATE = "the lines before it took too long; nothing of this line was accepted: send it again"


def take_lines(
    posted: ArticlePost, take: Callable[[ArticlePost], ArticleResult], count: Callable[[str | None], None]
) -> bytes:
    """An answer for each line that is not empty, in their order. Raises Problem for more than LINES_MOST.

    `count` is called for each line that was looked at, with the kind of its refusal, if it was refused.
    """
    lines = [(number, line) for number, line in enumerate(posted.body.split(b"\n"), 1) if line.strip()]
    if len(lines) > LINES_MOST:
        words = f"a batch may have {LINES_MOST:,} lines at the most, and this has {len(lines):,}"
        raise Problem(413, "too-large", words)
    return b"".join(
        json.dumps({"line": number, **facts}, ensure_ascii=False).encode() + b"\n"
        for number, facts in _answers(posted, lines, take, count)
    )


def _answers(
    posted: ArticlePost,
    lines: list[tuple[int, bytes]],
    take: Callable[[ArticlePost], ArticleResult],
    count: Callable[[str | None], None],
) -> Iterator[tuple[int, dict[str, Any]]]:
    until = time.monotonic() + TAKEN_FOR
    stopped: Problem | None = None
    for number, line in lines:
        if stopped is None and time.monotonic() > until:
            stopped = Problem(503, "overloaded", _LATE)
        if stopped is None:
            try:
                yield number, {"status": 202, **_taken(posted, number, line, take).facts()}
                count(None)
                continue
            except Problem as problem:
                yield number, _refusal(problem)
                count(problem.kind)
                continue
            except RecordUnavailable:
                stopped = Problem(503, "record-unavailable", _AWAY)
        yield number, _refusal(stopped)


def _taken(
    posted: ArticlePost, number: int, line: bytes, take: Callable[[ArticlePost], ArticleResult]
) -> ArticleResult:
    key = None if posted.key is None else f"{posted.key}:{number}"
    return take(ArticlePost(posted.source, posted.options, line.strip(), key, posted.validate))


def _refusal(problem: Problem) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(problem.response().get_data())
    return facts
