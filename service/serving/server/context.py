"""The parts that all connections of a server share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from wsgiref.types import StartResponse

from service.serving.middleware import Environ, Selection
from service.serving.server.connections import ConnectionTable
from service.serving.server.lanes import KnownSenders, ThreadLane
from service.serving.server.limits import Limits
from service.serving.server.refusals import RefusalLog
from service.serving.server.request import Planner, RawHeaders
from service.serving.server.request_cache import RequestCache


class SelectingApplication(Protocol):
    """A WSGI application, some of whose answers are in memory: the loop takes these by `select`. See FeedMiddleware."""

    def __call__(self, environ: Environ, start: StartResponse, /) -> Iterable[bytes]: ...

    def select(self, environ: Environ) -> Selection | None: ...


@dataclass(frozen=True)
class Site:
    """The site that a server serves. `lanes`: the threads of each kind."""

    middleware: SelectingApplication
    requests: RequestCache
    plan: Planner
    lanes: Mapping[str, int]


@dataclass
class ServerContext:
    """Of one server, for its connections. `date`: the header Date of this second."""

    site: Site
    limits: Limits
    loop: asyncio.AbstractEventLoop
    table: ConnectionTable
    refusals: RefusalLog
    lanes: dict[str, ThreadLane]
    known: KnownSenders = field(default_factory=KnownSenders)
    date: RawHeaders = field(default_factory=list)
    ending: bool = False
