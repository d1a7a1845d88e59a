"""Paper's webhooks as they are sent to a desk, its answers, and what the record keeps of them."""

from __future__ import annotations

import json
from typing import Any

from service.store.articles import hooks
from service.store.articles.hooks import Hook
from service.store.database.record import Record
from tests.paper_system import PAPER_SECRET, signed
from tests.web import OPERATOR, WebDesk


def send(desk: WebDesk, hook: Any, *, secret: str = PAPER_SECRET, **headers: str) -> Any:
    body = hook if isinstance(hook, bytes) else json.dumps(hook).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return desk.client.post("/v1/hooks/paper", data=body, headers={**signed(body, secret), **named})


def told(answer: Any, outcome: str) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    assert answer.content_type == "application/json"
    facts: dict[str, Any] = answer.json
    assert facts["outcome"] == outcome, facts
    return facts


def kept(record: Record) -> list[Hook]:
    with record.reading() as connection:
        return hooks._read(
            connection, [number for (number,) in hooks.Statement("SELECT id FROM hook").rows(connection)]
        )


def status_of(desk: WebDesk, story: str = "7") -> str:
    answer = desk.get(f"/v1/articles?source=paper&external_id={story}", OPERATOR)
    return str(answer.json["status"]) if answer.status_code == 200 else "none"
