"""The request that was sent to a partner, for an operator to see and repeat: its signature masked, no secret in it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime

from service.store.views.deliveries import DeliveryNow, DeliveryPage

MASKED = "v1,(masked)"
BODY_SHOWN = 32 * 1024  # bytes; a longer one does not go into a command line to copy
BODY_FILE = "push.json"


@dataclass(frozen=True)
class ShownRequest:
    """The headers of one attempt; for the newest one a command that sends the same, but for its signature."""

    headers: tuple[tuple[str, str], ...]
    curl: str | None


def requests_of(page: DeliveryPage, body: bytes | None) -> list[ShownRequest]:
    """One per attempt, in the page's order. `body`: None if it may not be shown; the command then reads a file."""
    all_headers = [headers_of(page.delivery, each.started_at) for each in page.attempts]
    return [
        ShownRequest(headers, None if number else curl(page.delivery.url, headers, body))
        for number, headers in enumerate(all_headers)
    ]


def headers_of(delivery: DeliveryNow, sent_at: datetime) -> tuple[tuple[str, str], ...]:
    """The headers of the attempt begun at `sent_at`."""
    return (
        ("Content-Type", "application/json"),
        ("webhook-id", delivery.id),
        ("webhook-timestamp", str(int(sent_at.timestamp()))),
        ("webhook-signature", MASKED),
        ("dateline-sequence", str(delivery.sequence)),
    )


def curl(url: str, headers: tuple[tuple[str, str], ...], body: bytes | None) -> str:
    """A command for a shell. Nothing in it is run by the shell or moves the cursor, whatever a story contains."""
    short = body if body is not None and len(body) <= BODY_SHOWN else None
    data = f"@{BODY_FILE}" if short is None else shlex.quote(_json_escaped(short.decode()))
    lines = [
        f"curl -i {shlex.quote(url)}",
        *(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers),
        f"--data-binary {data}",
    ]
    return " \\\n  ".join(lines)


def _json_escaped(text: str) -> str:
    """The same JSON. A character that cannot be seen stands in its strings alone, where it may be an escape."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
