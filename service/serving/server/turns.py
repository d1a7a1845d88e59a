"""The turn of a whole request: in its lane, in a thread, and back on its connection."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from service.http.client_address import household
from service.serving.server.context import ServerContext
from service.serving.server.refusals import Refusal
from service.serving.server.request import Request
from service.serving.server.wsgi_bridge import Job, WsgiAnswer

if TYPE_CHECKING:
    from service.serving.server.exchanges import RequestSequence

# Answers to a post whose sender was let in.
_AUTHENTICATED = frozenset((202, 409, 422))


class RequestTurn:
    """See LaneRequest."""

    __slots__ = ("_connection", "_context", "_request", "flow", "queued_at")

    def __init__(self, connection: RequestSequence, request: Request) -> None:
        self._connection = connection
        self._context = connection.context
        self._request = request
        self.flow = request.flow
        self.queued_at = connection.loop.time()

    def take(self) -> None:
        self._context.lanes[self._request.plan.lane].put(self)

    def start(self) -> Job | None:
        connection = self._connection
        if connection.transport.is_closing():
            connection.answering = None
            return None
        return Job(self._request.environ(connection.server, connection.address), self._finish)

    def refuse(self, refusal: Refusal) -> None:
        connection, request = self._connection, self._request
        self._context.table.body_done(connection, request.body_bytes)
        request.body.clear()
        request.response = refusal
        connection.answering = None
        connection.pipeline.appendleft(request)
        connection.loop.call_soon(connection.advance)

    def _finish(self, answer: WsgiAnswer | None) -> None:
        self._context.lanes[self._request.plan.lane].finished()
        if answer is not None and answer.status in _AUTHENTICATED:
            self._context.known.add(_credentials(self._request))
        self._connection.answered(self._request, answer)


def flow_of(request: Request, peer: str, context: ServerContext) -> tuple[Hashable, ...]:
    """The sender of a request, for its share: the client's address, and a source that was let in before."""
    limits = context.limits
    address = peer
    if limits.trusted:
        address = limits.client_of(peer, request.header(b"x-forwarded-for").decode("latin-1"))
    address = household(address)
    if request.method != "POST":
        return (address,)
    credentials = _credentials(request)
    return (address, credentials) if credentials in context.known else (address,)


def _credentials(request: Request) -> Hashable:
    """An API key, hashed; of a signed post, which names no source, its address here."""
    key = request.header(b"authorization")
    return hash(key) if key else (request.path, request.query)
