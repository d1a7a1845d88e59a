"""The demo desk of `dateline up --demo`: sections, two sources (one runs Ghost), two partners with real
receivers, wire stories.

Its stories go through the intake, as a newsroom's do. The steps that were taken are kept in the data directory
(`demo.json`), so that a second `up --demo` adds nothing twice and an interrupted one goes on.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from ipaddress import ip_network
from pathlib import Path

from service import settings
from service.http import credentials
from service.runtime import files
from service.runtime.programs import Program
from service.runtime.supervise import Part
from service.settings import Settings
from service.store import operations
from service.store.articles import sources
from service.store.database.record import Record
from service.store.errors import AlreadyExists
from service.store.feeds import sections
from service.store.operations import OPERATOR
from service.store.partners import endpoints, partners
from service.webhooks import signatures

DEMO_STATE_FILE = "demo.json"
LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
SECTIONS = (("world", "World", "en"), ("business", "Business", "en"), ("china", "China", "zh-Hans"),
            ("lifestyle", "Lifestyle", "en"))  # fmt: skip
SOURCE, BLOG = "wire", "notes"
SOURCES = ((SOURCE, "The Demo Wire", "native"), (BLOG, "Notes from Voss", "ghost"))
OUTLETS = (("harbour-herald", "Harbour Herald", False), ("flaky-times", "Flaky Times", True))


@dataclass(frozen=True)
class DemoPartner:
    """A demo partner and its receiver. `flaky`: it answers 503 now and then."""

    slug: str
    name: str
    port: int
    flaky: bool
    secret_file: str


@dataclass
class DemoState:
    """The partners of the demo desk, and its progress: `done` are the names of the steps that were taken."""

    outlets: list[DemoPartner] = field(default_factory=list)
    done: list[str] = field(default_factory=list)


def demo_settings(config: Settings) -> Settings:
    """The settings of a demo: its partners are on this machine, and its terminal shows the newsroom's lines."""
    missing = tuple(network for network in LOOPBACK if network not in config.allow_networks)
    quiet = {} if "log_level" in config.model_fields_set else {"log_level": "warning"}
    return config.model_copy(update={"allow_networks": (*config.allow_networks, *missing)} | quiet)


def prepare(record: Record, config: Settings, now: datetime) -> DemoState:
    """Adds the sections, source and partners that are missing; run twice, it changes nothing."""
    state = read_state(config.data_dir)
    there = {one.slug for one in sections.all_sections(record)}
    for slug, title, language in SECTIONS:
        if slug not in there:
            operations.add_section(record, slug, title, language, actor=OPERATOR, now=now)
    known_sources = {one.slug for one in sources.active(record)}
    for slug, name, adapter in SOURCES:
        if slug in known_sources:
            continue
        key = credentials.new_api_key()
        secret = signatures.new_secret()
        operations.add_source(
            record,
            sources.NewSource(slug, name, adapter, key_id=key.key_id, key_hash=key.hash, secret=secret),
            actor=OPERATOR,
            now=now,
        )
    known = {one.slug for one in state.outlets}
    for slug, name, flaky in OUTLETS:
        if slug not in known:
            state.outlets.append(_add_partner(record, config.data_dir, slug, name, flaky=flaky, now=now))
            write_state(config.data_dir, state)
    return state


def receivers(state: DemoState) -> list[Part]:
    """The partners' receivers, as processes of their own; ended last, for deliveries still on the way."""
    return [Part(outlet.slug, partial(_receiver, outlet), last=True) for outlet in state.outlets]


def _receiver(outlet: DemoPartner) -> Program:
    listen, flaky = f"127.0.0.1:{outlet.port}", ("--flaky",) if outlet.flaky else ()
    words = (
        "receive",
        "--listen",
        listen,
        "--name",
        outlet.name,
        "--secret-file",
        outlet.secret_file,
        *flaky,
    )
    return Program("service.cli.main", words, loads=("service.cli.receive",))


def newsroom_part(config: Settings) -> Part:
    """The newsroom, which posts the stories, once, in a process of its own."""
    return Part(
        "newsroom",
        lambda: Program("service.demo.newsroom", command="newsroom"),
        settings.environment(config),
        once=True,
    )


def _add_partner(
    record: Record, data_dir: Path, slug: str, name: str, *, flaky: bool, now: datetime
) -> DemoPartner:
    key, secret, port = credentials.new_api_key(), signatures.new_secret(), _free_port()
    secret_file = data_dir / f"demo-{slug}.secret"
    files.write_whole(secret_file, f"{secret}\n".encode(), mode=files.OWNER_ONLY)
    with suppress(AlreadyExists):  # added by an `up` that ended before it wrote its state
        operations.add_partner(
            record,
            partners.NewPartner(slug, name, key_id=key.key_id, key_hash=key.hash),
            actor=OPERATOR,
            now=now,
        )
    operations.add_endpoint(
        record,
        endpoints.NewEndpoint(slug, f"http://127.0.0.1:{port}/dateline", secret=secret),
        actor=OPERATOR,
        now=now,
    )
    return DemoPartner(slug, name, port, flaky, str(secret_file))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_state(data_dir: Path) -> DemoState:
    try:
        fields = json.loads((data_dir / DEMO_STATE_FILE).read_text())
    except FileNotFoundError:
        return DemoState()
    return DemoState([DemoPartner(**outlet) for outlet in fields["outlets"]], fields["done"])


def write_state(data_dir: Path, state: DemoState) -> None:
    text = json.dumps(asdict(state), indent=2)
    files.write_whole(data_dir / DEMO_STATE_FILE, f"{text}\n".encode(), mode=files.OWNER_ONLY)
