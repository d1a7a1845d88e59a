"""Parts: the processes that `dateline up` runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from service import settings
from service.runtime import embedded_redis, supervise
from service.runtime.supervise import CannotRun, Part
from service.settings import Settings


def parts(config: Settings) -> list[Part]:
    """Redis unless there is one, the web, the feeds server if it has an address, and the workers."""
    shared = settings.environment(config)
    result = [Part("web", partial(supervise.dateline, "web"), shared)]
    if config.feeds_listen:
        result.append(Part("feeds", partial(supervise.dateline, "feeds", "serve"), shared))
    for name, tasks in processes(config):
        result.append(
            Part(name, partial(supervise.dateline, "worker", "--name", name, "--tasks", tasks), shared)
        )
    if not config.redis_url:
        result.insert(0, Part("redis", partial(_redis_command, config), last=True))
    return result


def processes(config: Settings) -> list[tuple[str, str]]:
    """The workers, each with its tasks: as many as DATELINE_WORKERS says to deliver, and one to build the feeds."""
    return [
        *((f"w{number}", "route,deliver") for number in range(1, config.workers + 1)),
        ("publisher", "publish"),
    ]


def _redis_command(config: Settings) -> Sequence[str]:
    try:
        return embedded_redis.command(config)
    except embedded_redis.RedisUnavailable as error:
        raise CannotRun(str(error)) from None
