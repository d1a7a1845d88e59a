"""The commands that run one process of Dateline: the web, the feeds server, a worker."""

from __future__ import annotations

import os
import socket
import sys

import click

from service import settings
from service.cli.command import CommandContext, with_context
from service.cli.feeds import feeds
from service.cli.parameter_types import LISTEN, HostPort
from service.runtime import ports, supervise
from service.runtime.celery_app import QUEUES, tasks_of
from service.runtime.supervise import CannotRun


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
