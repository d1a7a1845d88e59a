"""`dateline up`: the processes that it starts, and how it says that they are ready."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from functools import partial
from urllib.parse import urlsplit

import click

from service import settings, times
from service.cli.command import CommandContext, CommandResult, with_context
from service.cli.parameter_types import LISTEN
from service.demo import desk as demo
from service.runtime import data_dir, embedded_redis, key_files, ports, programs, supervise
from service.runtime.programs import Program
from service.runtime.supervise import CannotRun, Part, Supervisor
from service.settings import Settings
from service.store import migrations
from service.store.database.record import Record, open_record
from service.store.errors import RecordUnavailable
from service.store.views.pipeline import workers_now

# A line once in a while until all parts answer, so that nobody waits in the dark.
IMPATIENT_AFTER = 10.0

# By their names: the service does not import the workers, and no other command needs the servers. A module that is
# missing here is loaded by each process for itself.
_CELERY = ("celery.app.base", "celery.app.amqp", "kombu.transport.redis")
_WEB = programs.dateline("web", loads=("service.wsgi", "service.cli.serve", *_CELERY))
_FEEDS_SERVER = programs.dateline("feeds", "serve", loads=("service.asgi", "service.cli.serve"))
_WORKER_LOADS = ("workers.process", "workers.hints.consumer", *_CELERY)
_TASK_LOADS = {
    "publish": ("workers.publish.builder", "workers.publish.task", "service.serving.export"),
    "fetch": ("service.intake.story_intake", "workers.fetch.task", "workers.net.api_client"),
}


def parts(config: Settings) -> list[Part]:
    """Redis unless there is one, the web, the feeds server if it has an address, and the workers."""
    shared = settings.environment(config)
    result = [Part("web", lambda: _WEB, shared)]
    if config.feeds_listen:
        result.append(Part("feeds", lambda: _FEEDS_SERVER, shared))
    for name, tasks in processes(config):
        result.append(Part(name, partial(_worker, name, tasks), shared))
    if not config.redis_url:
        result.insert(0, Part("redis", partial(_redis_command, config), last=True))
    return result


def processes(config: Settings) -> list[tuple[str, str]]:
    """The workers, each with its tasks: as many as DATELINE_WORKERS says deliver, one builds the feeds, one fetches."""
    return [
        *((f"w{number}", "route,deliver") for number in range(1, config.workers + 1)),
        ("publisher", "publish"),
        ("fetcher", "fetch"),
    ]


def _worker(name: str, tasks: str) -> Program:
    """The program that `dateline worker` ends as: it loads a command less."""
    loads = (*_WORKER_LOADS, *_TASK_LOADS.get(tasks, ()))
    return Program("workers.__main__", ("--name", name, "--tasks", tasks), loads, command="dateline worker")


def _redis_command(config: Settings) -> Sequence[str]:
    try:
        return embedded_redis.command(config)
    except embedded_redis.RedisUnavailable as error:
        raise CannotRun(str(error)) from None


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
        with _record(config_with_keys) as record:
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
        newsroom = demo.newsroom_part(config_with_keys) if demo_state else None
        _run(context, supervisor, config_with_keys, started, newsroom)
    finally:
        lock.release()
    return None


def _record(config: Settings) -> closing[Record]:
    """The record, for a moment: the parts are forks of this process, and a fork may not have an open record."""
    return closing(open_record(config.database_url, config.secret_key))


def _run(
    context: CommandContext,
    supervisor: Supervisor,
    config: Settings,
    started: datetime,
    after: Part | None,
) -> None:
    supervisor.catch_signals()
    try:
        if not config.redis_url:
            supervisor.start("redis")
            embedded_redis.wait_until_answers(embedded_redis.socket_path(config), seconds=10)
        if supervisor.run_until(_ready(context, config, started)):
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


def _ready(context: CommandContext, config: Settings, started: datetime) -> Callable[[], bool]:
    """Tells whether the servers report that all parts answer, and every worker was seen since the start."""
    next_line = time.monotonic() + IMPATIENT_AFTER

    def ready() -> bool:
        nonlocal next_line
        trouble = _trouble("the web", config.listen, config)
        if config.feeds_listen:
            trouble = trouble or _trouble("the feeds server", config.feeds_listen, config)
        trouble = trouble or _missing_workers(config, started)
        if trouble and time.monotonic() > next_line:
            context.say(f"not ready yet: {trouble}")
            next_line = time.monotonic() + IMPATIENT_AFTER
        return not trouble

    return ready


def _missing_workers(config: Settings, started: datetime) -> str:
    """The trouble with the workers; empty when each was seen since the start."""
    try:
        with _record(config) as record:
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
