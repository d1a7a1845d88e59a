"""What was sent to a partner, for an operator to see and repeat: its signature masked, nothing secret in it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime

from service.store.views.deliveries import DeliveryNow, DeliveryPage

MASKED = "v1,(masked)"
BODY_SHOWN = 32 * 1024  # bytes; a longer one does not go into a command line to copy
BODY_FILE = "push.json"


@dataclass(frozen=True)
class Request:
    """The headers of one attempt; for the newest one a command that sends the same, but for its signature."""

    headers: tuple[tuple[str, str], ...]
    curl: str | None


def requests_of(page: DeliveryPage, body: bytes | None) -> list[Request]:
    """One per attempt, in the page's order. `body`: None if it may not be shown; the command then reads a file."""
    made = [headers_of(page.delivery, each.started_at) for each in page.attempts]
    return [
        Request(headers, None if number else curl(page.delivery.url, headers, body))
        for number, headers in enumerate(made)
    ]


def headers_of(delivery: DeliveryNow, sent_at: datetime) -> tuple[tuple[str, str], ...]:
    """What the attempt begun at `sent_at` said above its body."""
    return (
        ("Content-Type", "application/json"),
        ("webhook-id", delivery.id),
        ("webhook-timestamp", str(int(sent_at.timestamp()))),
        ("webhook-signature", MASKED),
        ("dateline-sequence", str(delivery.sequence)),
    )


def curl(url: str, headers: tuple[tuple[str, str], ...], body: bytes | None) -> str:
    """A command for a shell. Nothing in it is run by the shell or moves the cursor, whatever a story contains."""
    told = body is not None and len(body) <= BODY_SHOWN
    data = shlex.quote(_printable(body.decode())) if told and body is not None else f"@{BODY_FILE}"
    lines = [
        f"curl -i {shlex.quote(url)}",
        *(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers),
        f"--data-binary {data}",
    ]
    return " \\\n  ".join(lines)


def _printable(text: str) -> str:
    """The same JSON: what cannot be seen stands in its strings alone, and may be written as an escape there."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
