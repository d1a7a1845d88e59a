"""Parts: the processes that `dateline up` runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from service import settings
from service.runtime import embedded_redis, supervise
from service.runtime.supervise import CannotRun, Part
from service.settings import Settings


def parts(chosen: Settings) -> list[Part]:
    """Redis unless there is one, the web, the feeds server if it has an address, and the workers."""
    shared = settings.environment(chosen)
    found = [Part("web", partial(supervise.dateline, "web"), shared)]
    if chosen.feeds_listen:
        found.append(Part("feeds", partial(supervise.dateline, "feeds", "serve"), shared))
    for name, tasks in processes(chosen):
        found.append(
            Part(name, partial(supervise.dateline, "worker", "--name", name, "--tasks", tasks), shared)
        )
    if not chosen.redis_url:
        found.insert(0, Part("redis", partial(_redis_command, chosen), last=True))
    return found


def processes(chosen: Settings) -> list[tuple[str, str]]:
    """The worker processes, each with its tasks: as many as are set that deliver, and one that builds the feeds."""
    return [
        *((f"w{number}", "route,deliver") for number in range(1, chosen.workers + 1)),
        ("publisher", "publish"),
    ]


def _redis_command(chosen: Settings) -> Sequence[str]:
    try:
        return embedded_redis.command(chosen)
    except embedded_redis.RedisUnavailable as error:
        raise CannotRun(str(error)) from None
