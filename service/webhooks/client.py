"""A client of the intake: posts an article as a content system does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import requests

from service.webhooks import signatures


class IntakeUnreachable(Exception):
    """Dateline does not answer there. The text says why and what to do."""


class PostRefused(Exception):
    """The intake refused a post: the HTTP status and its problem document, in words."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        title = problem.get("detail") or problem.get("title") or "no reason given"
        faults = [f"{one.get('pointer', '')}: {one.get('detail', '')}" for one in problem.get("errors", [])]
        super().__init__("\n  ".join([f"refused with {status}: {title}", *faults]))
        self.status, self.problem = status, problem


def post(url: str, secret: str, body: bytes, *, message_id: str, at: datetime) -> dict[str, Any]:
    """Posts an article to Dateline at `url`, signed with a source's secret; returns the answer.

    Raises PostRefused for a 4xx or 5xx, and IntakeUnreachable when nothing answers there, or another program.
    """
    timestamp = int(at.timestamp())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures.sign([secret], message_id, timestamp, body),
    }
    return _sent(url, "/v1/articles", body, headers)


def post_hook(url: str, source: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Posts a content system's own webhook, with the headers that sign it; returns the answer.

    Raises PostRefused and IntakeUnreachable.
    """
    return _sent(url, f"/v1/hooks/{source}", body, {"Content-Type": "application/json", **headers})


def _sent(url: str, path: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
    try:
        response = requests.post(f"{url}{path}", data=body, headers=headers, timeout=30)
        answer: dict[str, Any] = response.json()
    except requests.JSONDecodeError:
        raise IntakeUnreachable(
            f"{url} answered {response.status_code}, but not as Dateline does; see DATELINE_PUBLIC_URL"
        ) from None
    except requests.RequestException as error:
        reason = "nothing answers there" if isinstance(error, requests.ConnectionError) else str(error)
        raise IntakeUnreachable(f"cannot reach {url}: {reason}. Is 'dateline up' running?") from None
    if response.status_code != 202:
        raise PostRefused(response.status_code, answer)
    return answer
