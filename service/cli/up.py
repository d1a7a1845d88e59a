"""The commands that run Dateline's parts: all of them together (`up`), or one of them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

import click

from service import settings
from service.cli.command import Desk, HostPort, Told, now, operation
from service.demo import desk as demo
from service.runtime import embedded_redis, key_files, ports, supervise
from service.runtime.celery_app import QUEUES, tasks_of
from service.runtime.parts import parts, processes
from service.runtime.supervise import CannotRun, Part, Supervisor
from service.settings import Settings
from service.store import migrations
from service.store.database.record import Record, open_record
from service.store.views import checkup

# Said once in a while until all parts answer, so that nobody waits in the dark.
IMPATIENT_AFTER = 10.0
LISTEN = click.option(
    "--listen", type=HostPort(), metavar="HOST:PORT", help="Where the web answers (port 0: any free one)."
)


@click.command()
@LISTEN
@click.option("--demo", "with_demo", is_flag=True, help="With a demo desk: sections, partners, wire stories.")
@operation
def up(desk: Desk, listen: str | None, with_demo: bool) -> Told | None:
    """Run all of Dateline here: web, workers and, unless their URLs are set, Redis and SQLite."""
    started = now()
    chosen = settings.load(data_dir=desk.settings.data_dir, listen=listen)
    lock = supervise.Lock(chosen.data_dir)
    try:
        chosen = ports.with_feeds_port(ports.with_port(chosen))
        chosen = demo.adapted(chosen) if with_demo else chosen
        new_token = not chosen.operator_token and not (chosen.data_dir / key_files.TOKEN_FILE).exists()
        keyed = key_files.ensure_keys(chosen)
        record = open_record(keyed.database_url, keyed.secret_key)
        try:
            migrations.migrate(record)
            plan = demo.prepare(record, keyed, started) if with_demo else None
            supervisor = Supervisor(
                [*parts(chosen), *(demo.receivers(plan) if plan else ())],
                state_file=chosen.data_dir / supervise.STATE_FILE,
                facts=_facts(keyed),
                say=desk.say,
                stdout=sys.stderr if desk.as_json else None,
            )
            if new_token:
                desk.say(f"operator token, made for this desk: {keyed.operator_token}")
            _run(desk, supervisor, keyed, record, started, demo.poster(keyed) if plan else None)
        finally:
            record.close()
    finally:
        lock.release()
    return None


def _run(
    desk: Desk, supervisor: Supervisor, keyed: Settings, record: Record, started: datetime, after: Part | None
) -> None:
    supervisor.catch_signals()
    try:
        if not keyed.redis_url:
            supervisor.start("redis")
            embedded_redis.wait_until_answers(embedded_redis.socket_path(keyed), seconds=10)
        if supervisor.run_until(_ready(desk, keyed, record, started)):
            _say_ready(desk, keyed)
            if after:
                supervisor.add(after)
            supervisor.run_until(lambda: False)
        desk.say("ending all parts")
    finally:
        supervisor.stop()


def _say_ready(desk: Desk, keyed: Settings) -> None:
    kept = keyed.data_dir / key_files.TOKEN_FILE
    token = f"the token in {kept}" if kept.exists() else "DATELINE_OPERATOR_TOKEN"
    if keyed.feeds_listen:
        desk.say(f"feeds server {settings.url_of(keyed.feeds_listen)}/feeds")
    desk.say(f"status page  {keyed.public_url}/status  (log in with {token})")
    url = f"http://{keyed.listen}"
    if desk.as_json:
        click.echo(
            json.dumps(
                {"ready": url, **_feeds_url(keyed), "public_url": keyed.public_url, "pid": os.getpid()}
            )
        )
    else:
        click.echo(f"ready {url}")


def _facts(keyed: Settings) -> dict[str, str]:
    url = f"http://{keyed.listen}"
    return {"url": url, **_feeds_url(keyed), "public_url": keyed.public_url, "started_at": now().isoformat()}


def _feeds_url(keyed: Settings) -> dict[str, str]:
    return {"feeds_url": f"http://{keyed.feeds_listen}"} if keyed.feeds_listen else {}


def _ready(desk: Desk, keyed: Settings, record: Record, started: datetime) -> Callable[[], bool]:
    """Whether the servers say that all parts answer, and every worker was seen since the start."""
    next_word = time.monotonic() + IMPATIENT_AFTER

    def ready() -> bool:
        nonlocal next_word
        seen = sum(beat.seen_at >= started for beat in checkup.beats(record))
        wanted = len(processes(keyed))
        missing = "" if seen >= wanted else f"{wanted - seen} workers have not been seen"
        trouble = _trouble("the web", keyed.listen, keyed)
        if keyed.feeds_listen:
            trouble = trouble or _trouble("the feeds server", keyed.feeds_listen, keyed)
        trouble = trouble or missing
        if trouble and time.monotonic() > next_word:
            desk.say(f"not ready yet: {trouble}")
            next_word = time.monotonic() + IMPATIENT_AFTER
        return not trouble

    return ready


def _trouble(name: str, listen: str, keyed: Settings) -> str:
    """What a server's /readyz says is wrong; empty when it is content."""
    host, port = settings.host_and_port(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Host": urlsplit(keyed.public_url).netloc})
        response = connection.getresponse()
        body = response.read(2000).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"{name} does not answer ({error})"
    else:
        return "" if response.status == 200 else f"{name} answers {response.status}: {body}"
    finally:
        connection.close()


@click.command()
@LISTEN
@operation
def web(desk: Desk, listen: str | None) -> None:
    """Run the web process alone: intake, feeds, status page."""
    from service import wsgi  # noqa: PLC0415 - the other commands need neither Flask nor granian

    chosen = ports.with_port(settings.load(data_dir=desk.settings.data_dir, listen=listen))
    with desk.record():
        pass  # says in words what is wrong with the record, before granian's processes do it in theirs
    os.environ.update(settings.environment(chosen))
    wsgi.serve(chosen)


@click.command("serve")
@click.option("--listen", type=HostPort(), metavar="HOST:PORT",
              help=f"Where it answers (default: DATELINE_FEEDS_LISTEN, else {settings.FEEDS_LISTEN}).")  # fmt: skip
@operation
def feeds_serve(desk: Desk, listen: str | None) -> None:
    """Run the feeds server alone: the public feeds and nothing else, twice as fast as from the web."""
    from service import asgi  # noqa: PLC0415 - the other commands need neither Flask nor uvicorn

    asked = listen or desk.settings.feeds_listen or settings.FEEDS_LISTEN
    chosen = ports.with_feeds_port(settings.load(data_dir=desk.settings.data_dir, feeds_listen=asked))
    with desk.record():
        pass  # says in words what is wrong with the record
    asgi.serve(chosen)


@click.command()
@click.option("--name", default=None, help="What the status page calls it (default: host and process id).")
@click.option(
    "--tasks",
    default=",".join(QUEUES.values()),
    show_default=True,
    help="What it does; publish is building the feeds. Every worker sweeps, too.",
)
@operation
def worker(desk: Desk, name: str | None, tasks: str) -> None:
    """Run one worker alone."""
    try:
        tasks_of(tasks)
    except ValueError as error:
        raise CannotRun(str(error)) from None
    chosen = name or f"{socket.gethostname()}-{os.getpid()}"
    with desk.record():
        pass
    os.environ.update(settings.environment(desk.settings))
    # Replaces this process: the service does not import the workers, they import it.
    command = [sys.executable, "-P", "-m", "workers", "--name", chosen, "--tasks", tasks]
    os.execv(sys.executable, command)  # noqa: S606


@click.command()
@operation
def migrate(desk: Desk) -> Told:
    """Bring the record to the newest schema. Run twice, it changes nothing."""
    keyed = key_files.ensure_keys(desk.settings)
    record = open_record(keyed.database_url, keyed.secret_key)
    try:
        before, _ = migrations.schema_state(record)
        after = migrations.migrate(record)
    finally:
        record.close()
    words = (
        f"The record was at schema {after} already."
        if before == after
        else f"The record is at schema {after} now."
    )
    return Told({"before": before, "schema": after}, [words])
