"""A feeds server in a thread, asked over real connections as a web application's test client would be."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from werkzeug.datastructures import Headers

from service.asgi import a_site
from service.serving.document_cache import DocumentCache
from service.serving.server.http_server import HttpServer
from service.serving.server.limits import Limits
from service.serving.server.request_cache import RequestCache
from service.settings import Settings
from service.store.database.record import Record
from tests.desk import eventually
from tests.http_server import a_server_in_a_thread
from tests.publisher import PUBLIC_URL


@dataclass(frozen=True)
class ServerAnswer:
    """The parts of an answer that tests look at: all but its date and whether the connection goes on."""

    status_code: int
    headers: Headers
    data: bytes


@dataclass
class FeedsServerInThread:
    """`open` is like that of Werkzeug's client, and sees the record as it is."""

    server: HttpServer
    requests: RequestCache
    documents: DocumentCache
    port: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def open(self, path: str, *, method: str = "GET", headers: Headers | None = None) -> ServerAnswer:
        """Asks three times on one connection, so that it is answered in every way there is; they must be alike.

        A request for new entries (A-IM) is answered differently the second time, so it is sent once.
        """
        self.documents.refresh()
        given = headers or Headers()
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as client:
            times = 1 if "A-IM" in given else 3
            first, *others = [_ask(client, path, method, given) for _ in range(times)]
        for other in others:
            assert (other.status_code, other.data) == (first.status_code, first.data)
            assert sorted(other.headers) == sorted(first.headers)
        return first


def _ask(client: http.client.HTTPConnection, path: str, method: str, headers: Headers) -> ServerAnswer:
    client.putrequest(method, quote(path, safe="/%?=&"), skip_accept_encoding=True)
    for name, value in headers:
        client.putheader(name, value)
    client.endheaders()
    answer = client.getresponse()
    read = [(name, value) for name, value in answer.getheaders() if name not in {"date", "connection"}]
    return ServerAnswer(answer.status, Headers(read), answer.read())


@contextmanager
def a_feeds_server(
    record: Record, public_url: str = PUBLIC_URL, *, loop: str = "auto", limits: Limits | None = None
) -> Iterator[FeedsServerInThread]:
    documents = DocumentCache(record, public_url)
    documents.watch()
    site = a_site(Settings(public_url=public_url), record, documents)
    with a_server_in_a_thread(site, loop=loop, limits=limits) as running:
        eventually(lambda: documents.refreshes > 0, within=20, what="the record was looked at")
        try:
            yield FeedsServerInThread(running.server, site.requests, documents, running.port)
        finally:
            documents.close()
