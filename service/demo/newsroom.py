"""The demo's newsroom: its stories, posted one after another."""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources
from typing import Any

import click

from service import settings, times
from service.demo import blog
from service.demo.desk import BLOG, SECTIONS, SOURCE, DemoState, read_state, write_state
from service.runtime import key_files, programs
from service.settings import Settings
from service.store.articles import sources
from service.store.database.record import open_record
from service.webhooks import client
from service.webhooks.client import IntakeUnreachable, PostRefused

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
    """A step of the newsroom, taken `at` so many seconds from the start."""

    at: float
    name: str
    story: dict[str, Any] = field(compare=False)


def steps(wire: list[dict[str, Any]]) -> list[Step]:
    """Each story's first post, its change, and the end of its embargo; a heap, the earliest first."""
    found: list[Step] = []
    for number, story in enumerate(wire):
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
    article["published_at"] = article["updated_at"] = times.to_iso(now, timespec="seconds")
    match step.name.partition(":")[2]:
        case "posted":
            if seconds := step.story.get("embargo_seconds"):
                article["embargo_until"] = times.to_iso(now + timedelta(seconds=seconds), timespec="seconds")
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
    """The newsroom's process: takes the open steps, each at its time, with a line for each."""
    programs.end_with_parent()
    config = key_files.ensure_keys(settings.load())
    state = read_state(config.data_dir)
    open_steps = _open_steps(state)
    if open_steps:
        record = open_record(config.database_url, config.secret_key)
        secrets = {each: sources.by_slug(record, each).secret for each in (SOURCE, BLOG)}
        record.close()
        _play(config, state, open_steps, secrets)
    else:
        _say("the demo stories are all posted already")
        _where_to_look(config)
    return 0


def _open_steps(state: DemoState) -> list[Step]:
    """The steps that were not taken yet, as a heap; without the end of an embargo that an earlier run set, because it
    ends by that run's clock."""
    earlier = {name.replace(":posted", ":embargo over") for name in state.done}
    return sorted(step for step in steps(stories()) if step.name not in earlier.union(state.done))


def _play(config: Settings, state: DemoState, open_steps: list[Step], secrets: dict[str, str]) -> None:
    started = time.monotonic() - open_steps[0].at
    all_posted = False
    while open_steps:
        if not all_posted and not any(step.name.endswith(":posted") for step in open_steps):
            _where_to_look(config)
            all_posted = True
        step = heapq.heappop(open_steps)
        time.sleep(max(0.0, started + step.at - time.monotonic()))
        _take(config, step, secrets)
        state.done.append(step.name)
        write_state(config.data_dir, state)


def _take(config: Settings, step: Step, secrets: dict[str, str]) -> None:
    now = times.now()
    title = step.story["article"]["headline"]
    short = title if len(title) <= 48 else f"{title[:47]}…"
    action = step.name.partition(":")[2]
    if step.story.get("from") == "ghost":
        hook = blog.webhook(step.story, action, now)
        signed = {"X-Ghost-Signature": blog.signature(hook, secrets[BLOG], now)}
        answer = client.post_hook(f"http://{config.listen}", BLOG, hook, signed)
        _say(f"{action:<9}  “{short}” ({step.story['step']}) → {answer['outcome']}")
        return
    body = body_of(step, now)
    if body is None:
        _say(f"{action:<9}  “{short}” → feeds and partners get it now")
        return
    message = json.dumps(body, ensure_ascii=False).encode()
    message_id = f"msg_demo_{step.name.replace(':', '_')}_{int(now.timestamp())}"
    answer = client.post(f"http://{config.listen}", secrets[SOURCE], message, message_id=message_id, at=now)
    note = f" ({step.story['step']})" if action == "posted" else ""
    _say(
        f"{action:<9}  “{short}”{note} → {answer['outcome']}, {answer['type']}, revision {answer['revision']}"
    )


def _where_to_look(config: Settings) -> None:
    for line in where_to_look(config):
        click.echo(line)


def where_to_look(config: Settings) -> Iterator[str]:
    url = config.public_url
    yield ""
    yield "Where to look:"
    for slug, title, _ in (*SECTIONS, ("all", "Everything", "")):
        yield f"  {title:<14} {url}/feeds/{slug}.rss   .atom   .json"
    yield f"  Status page    {url}/status"
    yield f"    log in with  {_token_words(config)}"
    yield f"  API            {url}/docs   {url}/openapi.json"
    yield "  Ctrl-C ends it; all data stays in " + str(config.data_dir)
    yield ""


def _token_words(config: Settings) -> str:
    """The token for a person at a terminal; for a log, which others may read, the place of it."""
    if sys.stdout.isatty():
        return config.operator_token
    file = config.data_dir / key_files.TOKEN_FILE
    return f"the token in {file}" if file.exists() else "DATELINE_OPERATOR_TOKEN"


def _say(line: str) -> None:
    click.echo(f"{times.now():%H:%M:%S}  newsroom  {line}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (IntakeUnreachable, PostRefused, settings.SettingsError) as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(1)
