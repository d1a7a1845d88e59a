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

from service import settings, times
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.feeds import feeds
from service.cli.parameter_types import HostPort
from service.demo import desk as demo
from service.runtime import data_dir, embedded_redis, key_files, ports, supervise
from service.runtime.celery_app import QUEUES, tasks_of
from service.runtime.parts import parts, processes
from service.runtime.supervise import CannotRun, Part, Supervisor
from service.settings import Settings
from service.store import migrations
from service.store.database.record import Record, open_record
from service.store.errors import RecordUnavailable
from service.store.views.pipeline import workers_now

# A line once in a while until all parts answer, so that nobody waits in the dark.
IMPATIENT_AFTER = 10.0
LISTEN = click.option(
    "--listen", type=HostPort(), metavar="HOST:PORT", help="Where the web answers (port 0: any free one)."
)


@click.command()
@LISTEN
@click.option("--demo", "with_demo", is_flag=True, help="With a demo desk: sections, partners, wire stories.")
@with_context
def up(context: CommandContext, listen: str | None, with_demo: bool) -> CommandResult | None:
    """Run all of Dateline here: web, workers and, unless their URLs are set, Redis and SQLite."""
    started = times.now()
    config = settings.load(data_dir=context.settings.data_dir, listen=listen)
    if open_to_others := data_dir.make_private(config.data_dir):
        context.say(open_to_others)
    lock = supervise.Lock(config.data_dir)
    try:
        config = ports.with_feeds_port(ports.with_port(config))
        config = demo.demo_settings(config) if with_demo else config
        new_token = not config.operator_token and not (config.data_dir / key_files.TOKEN_FILE).exists()
        config_with_keys = key_files.ensure_keys(config)
        record = open_record(config_with_keys.database_url, config_with_keys.secret_key)
        try:
            migrations.migrate(record)
            demo_state = demo.prepare(record, config_with_keys, started) if with_demo else None
            supervisor = Supervisor(
                [*parts(config), *(demo.receivers(demo_state) if demo_state else ())],
                state_file=config.data_dir / supervise.SUPERVISOR_STATE_FILE,
                facts=_facts(config_with_keys),
                say=context.say,
                stdout=sys.stderr if context.as_json else None,
            )
            if new_token:
                context.say(_new_token_words(config_with_keys, as_json=context.as_json))
            _run(
                context,
                supervisor,
                config_with_keys,
                record,
                started,
                demo.newsroom_part(config_with_keys) if demo_state else None,
            )
        finally:
            record.close()
    finally:
        lock.release()
    return None


def _run(
    context: CommandContext,
    supervisor: Supervisor,
    config: Settings,
    record: Record,
    started: datetime,
    after: Part | None,
) -> None:
    supervisor.catch_signals()
    try:
        if not config.redis_url:
            supervisor.start("redis")
            embedded_redis.wait_until_answers(embedded_redis.socket_path(config), seconds=10)
        if supervisor.run_until(_ready(context, config, record, started)):
            _say_ready(context, config)
            if after:
                supervisor.add(after)
            supervisor.run_until(lambda: False)
        context.say("ending all parts")
    finally:
        supervisor.stop()


def _say_ready(context: CommandContext, config: Settings) -> None:
    token_file = config.data_dir / key_files.TOKEN_FILE
    token = f"the token in {token_file}" if token_file.exists() else "DATELINE_OPERATOR_TOKEN"
    if config.feeds_listen:
        context.say(f"feeds server {settings.url_of(config.feeds_listen)}/feeds")
    context.say(f"status page  {config.public_url}/status  (log in with {token})")
    url = f"http://{config.listen}"
    if context.as_json:
        click.echo(
            json.dumps(
                {"ready": url, **_feeds_url(config), "public_url": config.public_url, "pid": os.getpid()}
            )
        )
    else:
        click.echo(f"ready {url}")


def _new_token_words(config: Settings, *, as_json: bool) -> str:
    """The token for a person at a terminal; for a log, which others may read, the place of its file."""
    terminal = sys.stderr if as_json else sys.stdout
    if terminal.isatty():
        return f"operator token, made for this desk: {config.operator_token}"
    return f"operator token, made for this desk: in the file {config.data_dir / key_files.TOKEN_FILE}"


def _facts(config: Settings) -> dict[str, str]:
    url = f"http://{config.listen}"
    return {
        "url": url,
        **_feeds_url(config),
        "public_url": config.public_url,
        "started_at": times.now().isoformat(),
    }


def _feeds_url(config: Settings) -> dict[str, str]:
    return {"feeds_url": f"http://{config.feeds_listen}"} if config.feeds_listen else {}


def _ready(
    context: CommandContext, config: Settings, record: Record, started: datetime
) -> Callable[[], bool]:
    """Tells whether the servers report that all parts answer, and every worker was seen since the start."""
    next_line = time.monotonic() + IMPATIENT_AFTER

    def ready() -> bool:
        nonlocal next_line
        missing = _missing_workers(config, record, started)
        trouble = _trouble("the web", config.listen, config)
        if config.feeds_listen:
            trouble = trouble or _trouble("the feeds server", config.feeds_listen, config)
        trouble = trouble or missing
        if trouble and time.monotonic() > next_line:
            context.say(f"not ready yet: {trouble}")
            next_line = time.monotonic() + IMPATIENT_AFTER
        return not trouble

    return ready


def _missing_workers(config: Settings, record: Record, started: datetime) -> str:
    """The trouble with the workers; empty when each was seen since the start."""
    try:
        seen = sum(each.seen_at >= started for each in workers_now(record))
    except RecordUnavailable as error:
        return f"the record does not answer ({error})"
    wanted = len(processes(config))
    return "" if seen >= wanted else f"{wanted - seen} workers have not been seen"


def _trouble(name: str, listen: str, config: Settings) -> str:
    """The trouble that a server's /readyz reports; empty if there is none."""
    host, port = settings.host_and_port(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/readyz", headers={"Host": urlsplit(config.public_url).netloc})
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
@with_context
def web(context: CommandContext, listen: str | None) -> None:
    """Run the web process alone: intake, feeds, status page."""
    from service import wsgi  # noqa: PLC0415 - the other commands need neither Flask nor the server

    config = ports.with_port(settings.load(data_dir=context.settings.data_dir, listen=listen))
    with context.record(make=False):
        pass  # fails with a sentence if the record is not ready, before the web's processes fail with a traceback
    os.environ.update(settings.environment(config))
    supervise.write_web_state(config.data_dir, settings.url_of(config.listen))
    wsgi.serve(config)


@feeds.command("serve")
@click.option("--listen", type=HostPort(), metavar="HOST:PORT",
              help=f"Where it answers (default: DATELINE_FEEDS_LISTEN, else {settings.FEEDS_LISTEN}).")  # fmt: skip
@with_context
def feeds_serve(context: CommandContext, listen: str | None) -> None:
    """Run the feeds server alone: the public feeds and nothing else, twice as fast as from the web."""
    from service import asgi  # noqa: PLC0415 - the other commands need neither Flask nor the server

    asked = listen or context.settings.feeds_listen or settings.FEEDS_LISTEN
    config = ports.with_feeds_port(settings.load(data_dir=context.settings.data_dir, feeds_listen=asked))
    with context.record(make=False):
        pass  # fails with a sentence if the record is not ready
    asgi.serve(config)


@click.command()
@click.option("--name", default=None, help="Its name on the status page (default: host and process id).")
@click.option(
    "--tasks",
    default=",".join(QUEUES.values()),
    show_default=True,
    help="Its tasks; publish is building the feeds. Every worker sweeps, too.",
)
@with_context
def worker(context: CommandContext, name: str | None, tasks: str) -> None:
    """Run one worker alone."""
    try:
        tasks_of(tasks)
    except ValueError as error:
        raise CannotRun(str(error)) from None
    worker_name = name or f"{socket.gethostname()}-{os.getpid()}"
    with context.record(make=False):
        pass
    os.environ.update(settings.environment(context.settings))
    # Replaces this process: the service does not import the workers, they import it.
    command = [sys.executable, "-P", "-m", "workers", "--name", worker_name, "--tasks", tasks]
    os.execv(sys.executable, command)  # noqa: S606


@click.command()
@with_context
def migrate(context: CommandContext) -> CommandResult:
    """Bring the record to the newest schema. Run twice, it changes nothing."""
    config = key_files.ensure_keys(context.settings)
    record = open_record(config.database_url, config.secret_key)
    try:
        before = migrations.schema_state(record).current
        after = migrations.migrate(record)
        newer = migrations.schema_state(record)
    finally:
        record.close()
    words = (
        f"The record was at schema {after} already."
        if before == after
        else f"The record is at schema {after} now."
    )
    if newer.is_newer:
        words = f"Nothing to do: {newer.words}."
    return CommandResult({"before": before, "schema": after}, [words])
