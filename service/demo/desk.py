"""The demo desk of `dateline up --demo`: sections, a source, two partners with real receivers, wire stories.

All of it goes through the front door, as a newsroom's would. What was done is kept in the data directory
(`demo.json`), so that a second `up --demo` adds nothing twice and an interrupted one goes on.
"""

from __future__ import annotations

import heapq
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import click

from service import settings
from service.cli import articles
from service.cli.command import Failed
from service.runtime import supervise
from service.runtime.supervise import Part
from service.settings import Settings
from service.store.articles import sources
from service.store.database.record import Record, open_record
from service.store.errors import AlreadyExists
from service.store.feeds import sections
from service.store.partners import partners
from service.webhooks import signatures

STATE_FILE = "demo.json"
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
SECTIONS = (("world", "World", "en"), ("business", "Business", "en"), ("china", "China", "zh-Hans"),
            ("lifestyle", "Lifestyle", "en"))  # fmt: skip
SOURCE, SOURCE_NAME = "wire", "The Demo Wire"
OUTLETS = (("harbour-herald", "Harbour Herald", False), ("flaky-times", "Flaky Times", True))
BETWEEN_STORIES = 0.8


@dataclass(frozen=True)
class Outlet:
    """A demo partner's receiver. `flaky`: it answers 503 now and then."""

    slug: str
    name: str
    port: int
    flaky: bool
    secret_file: str


@dataclass
class Plan:
    """What the demo desk is made of and how far it got: `done` are the names of the steps taken."""

    outlets: list[Outlet] = field(default_factory=list)
    done: list[str] = field(default_factory=list)


def adapted(chosen: Settings) -> Settings:
    """The settings of a demo: its partners are on this machine, its terminal is for the story told there."""
    missing = tuple(network for network in LOOPBACK if network not in chosen.allow_networks)
    quiet = {} if "log_level" in chosen.model_fields_set else {"log_level": "warning"}
    return chosen.model_copy(update={"allow_networks": (*chosen.allow_networks, *missing)} | quiet)


def prepare(record: Record, keyed: Settings, now: datetime) -> Plan:
    """Makes what is missing of the desk; run twice, it changes nothing."""
    plan = _read(keyed.data_dir)
    held = {one.slug for one in sections.all_sections(record)}
    for slug, title, language in SECTIONS:
        if slug not in held:
            sections.add(record, slug, title, language, now)
    if SOURCE not in {one.slug for one in sources.active(record)}:
        key = signatures.new_api_key()
        secret = signatures.new_secret()
        sources.add(
            record,
            SOURCE,
            SOURCE_NAME,
            "native",
            key_id=key.key_id,
            key_hash=key.hash,
            secret=secret,
            now=now,
        )
    known = {one.slug for one in plan.outlets}
    for slug, name, flaky in OUTLETS:
        if slug not in known:
            plan.outlets.append(_add_outlet(record, keyed.data_dir, slug, name, flaky=flaky, now=now))
            _write(keyed.data_dir, plan)
    return plan


def receivers(plan: Plan) -> list[Part]:
    """The partners' receivers, as processes of their own; ended last, for deliveries still on the way."""
    return [
        Part(
            outlet.slug,
            partial(
                supervise.dateline, "receive", "--listen", f"127.0.0.1:{outlet.port}", "--name", outlet.name,
                "--secret-file", outlet.secret_file, *(["--flaky"] if outlet.flaky else []),
            ),
            last=True,
        )
        for outlet in plan.outlets
    ]  # fmt: skip


def poster(keyed: Settings) -> Part:
    """The newsroom: posts the stories, once, in a process of its own."""
    return Part(
        "newsroom",
        lambda: [sys.executable, "-P", "-m", "service.demo.desk"],
        settings.environment(keyed),
        once=True,
    )


def _add_outlet(
    record: Record, data_dir: Path, slug: str, name: str, *, flaky: bool, now: datetime
) -> Outlet:
    key, secret, port = signatures.new_api_key(), signatures.new_secret(), _free_port()
    secret_file = data_dir / f"demo-{slug}.secret"
    _write_private(secret_file, secret)
    with suppress(AlreadyExists):  # of an `up` that ended before it could note it
        partners.add_partner(record, slug, name, key_id=key.key_id, key_hash=key.hash, now=now)
    partners.add_endpoint(
        record, slug, f"http://127.0.0.1:{port}/dateline", secret=secret, sections=None, now=now
    )
    return Outlet(slug, name, port, flaky, str(secret_file))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _read(data_dir: Path) -> Plan:
    try:
        kept = json.loads((data_dir / STATE_FILE).read_text())
    except FileNotFoundError:
        return Plan()
    return Plan([Outlet(**outlet) for outlet in kept["outlets"]], kept["done"])


def _write(data_dir: Path, plan: Plan) -> None:
    _write_private(data_dir / STATE_FILE, json.dumps(asdict(plan), indent=2))


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    draft.replace(path)


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
    keyed = settings.ensure_keys(settings.load())
    plan = _read(keyed.data_dir)
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
        _write(keyed.data_dir, plan)


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
    answer = articles.post(f"http://{keyed.listen}", secret, sent, message_id=message_id, at=now)
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
    except (Failed, articles.Refused, settings.SettingsError) as error:
        click.echo(f"demo: {error}", err=True)
        sys.exit(1)
