"""The demo's newsroom: its stories, posted one after another."""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import click

from service import settings
from service.demo.desk import SECTIONS, SOURCE, Plan, read, write
from service.runtime import key_files, supervise
from service.settings import Settings
from service.store.articles import sources
from service.store.database.record import open_record
from service.webhooks import client
from service.webhooks.client import Failed

BETWEEN_STORIES = 0.8


def stories() -> list[dict[str, Any]]:
    """The wire stories, in the order in which they are posted."""
    folder = resources.files("service.demo").joinpath("stories")
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda e: e.name
    )
    return [json.loads(entry.read_text(encoding="utf-8")) for entry in files]


@dataclass(frozen=True, order=True)
class Step:
    """Something that the newsroom does `at` so many seconds from the start."""

    at: float
    name: str
    story: dict[str, Any] = field(compare=False)


def steps(told: list[dict[str, Any]]) -> list[Step]:
    """When each story is first posted, changed, and free of its embargo; a heap, the earliest first."""
    found: list[Step] = []
    for number, story in enumerate(told):
        name, start = story["article"]["id"], number * BETWEEN_STORIES
        found.append(Step(start, f"{name}:posted", story))
        if "then" in story:
            found.append(
                Step(start + story["then"]["after_seconds"], f"{name}:{story['then']['did']}", story)
            )
        if "embargo_seconds" in story:
            found.append(Step(start + story["embargo_seconds"], f"{name}:embargo over", story))
    heapq.heapify(found)
    return found


def body_of(step: Step, now: datetime) -> dict[str, Any] | None:
    """The article as the newsroom posts it in this step; None for a step in which nothing is posted."""
    article: dict[str, Any] = dict(step.story["article"])
    article["published_at"] = article["updated_at"] = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    match step.name.partition(":")[2]:
        case "posted":
            if seconds := step.story.get("embargo_seconds"):
                article["embargo_until"] = (now + timedelta(seconds=seconds)).isoformat(timespec="seconds")
            return article
        case "corrected":
            for wrong, right in step.story["then"]["article"]["replace"].items():
                article["body_html"] = article["body_html"].replace(wrong, right)
            changed = {
                name: value for name, value in step.story["then"]["article"].items() if name != "replace"
            }
            return article | changed
        case "killed":
            return article | {"version": 2, "status": "killed", "kill_reason": step.story["then"]["kill"]}
        case _:
            return None


def main() -> int:
    """The newsroom's process: takes the steps that are not taken yet, each at its time, and says so."""
    supervise.end_with_parent()
    keyed = key_files.ensure_keys(settings.load())
    plan = read(keyed.data_dir)
    left = _left(plan)
    if left:
        record = open_record(keyed.database_url, keyed.secret_key)
        secret = sources.by_slug(record, SOURCE).secret
        record.close()
        _play(keyed, plan, left, secret)
    else:
        _say("the demo stories are all posted already")
        _where_to_look(keyed)
    return 0


def _left(plan: Plan) -> list[Step]:
    """The steps not taken yet, as a heap. An embargo set by an earlier run ends by that run's clock: not told."""
    open_steps = [step for step in steps(stories()) if step.name not in plan.done]
    earlier = {name.replace(":posted", ":embargo over") for name in plan.done}
    return sorted(step for step in open_steps if step.name not in earlier)


def _play(keyed: Settings, plan: Plan, left: list[Step], secret: str) -> None:
    started = time.monotonic() - left[0].at
    told = False
    while left:
        if not told and not any(step.name.endswith(":posted") for step in left):
            _where_to_look(keyed)
            told = True
        step = heapq.heappop(left)
        time.sleep(max(0.0, started + step.at - time.monotonic()))
        _take(keyed, step, secret)
        plan.done.append(step.name)
        write(keyed.data_dir, plan)


def _take(keyed: Settings, step: Step, secret: str) -> None:
    now = datetime.now(UTC)
    title = step.story["article"]["headline"]
    short = title if len(title) <= 48 else f"{title[:47]}…"
    body = body_of(step, now)
    what = step.name.partition(":")[2]
    if body is None:
        _say(f"{what:<9}  “{short}” → feeds and partners get it now")
        return
    sent = json.dumps(body, ensure_ascii=False).encode()
    message_id = f"msg_demo_{step.name.replace(':', '_')}_{int(now.timestamp())}"
    answer = client.post(f"http://{keyed.listen}", secret, sent, message_id=message_id, at=now)
    note = f" ({step.story['step']})" if what == "posted" else ""
    _say(f"{what:<9}  “{short}”{note} → {answer['outcome']}, {answer['type']}, revision {answer['revision']}")


def _where_to_look(keyed: Settings) -> None:
    for line in where_to_look(keyed):
        click.echo(line)


def where_to_look(keyed: Settings) -> Iterator[str]:
    url = keyed.public_url
    yield ""
    yield "Where to look:"
    for slug, title, _ in (*SECTIONS, ("all", "Everything", "")):
        yield f"  {title:<14} {url}/feeds/{slug}.rss   .atom   .json"
    yield f"  Status page    {url}/status"
    yield f"    log in with  {keyed.operator_token}"
    yield f"  API            {url}/docs   {url}/openapi.json"
    yield "  Ctrl-C ends it; what happened stays in " + str(keyed.data_dir)
    yield ""


def _say(line: str) -> None:
    click.echo(f"{datetime.now(UTC):%H:%M:%S}  newsroom  {line}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, client.Refused, settings.SettingsError) as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(1)
