"""The composition root of the feeds server: the public feeds alone, from memory. docs/decisions/0009."""

from __future__ import annotations

from functools import lru_cache

from service import app, logs, settings
from service.runtime import key_files
from service.serving.document_cache import DocumentCache
from service.serving.middleware import METHODS, FeedMiddleware
from service.serving.server.context import Site
from service.serving.server.http_server import HttpServer
from service.serving.server.limits import Limits, connections_max
from service.serving.server.listener import listen
from service.serving.server.refusals import Refusal
from service.serving.server.request import Plan
from service.serving.server.request_cache import RequestCache
from service.settings import Settings
from service.store import migrations
from service.store.database.record import Record, open_record

# The threads that answer what is not answered from memory.
log = logs.get("web")

FEED_THREADS = {"pages": 8}


def serve(config: Settings) -> None:
    """Serves at `feeds_listen` until SIGTERM or SIGINT."""
    config = key_files.ensure_keys(config)
    logs.bind(process="feeds")
    record = open_record(config.database_url, config.secret_key)
    migrations.require_schema(record)
    for fault in migrations.faults(record):
        log.error("schema.differs", fault=fault)
    documents = DocumentCache(record, config.public_url)
    documents.watch()
    listening = listen(*settings.host_and_port(config.feeds_listen))
    limits = Limits(
        connections=connections_max(),
        per_address=config.connections_per_address,
        trusted=config.trusted_proxies,
    )
    HttpServer(a_site(config, record, documents), listening, limits).run()


def a_site(config: Settings, record: Record, documents: DocumentCache) -> Site:
    middleware = FeedMiddleware(app.create_feeds_app(config, record, documents).wsgi_app, documents)
    return Site(middleware, RequestCache(documents), plan, FEED_THREADS)


@lru_cache(maxsize=64)
def _no_body(method: str) -> Refusal:
    if method in {"GET", "HEAD", "OPTIONS"}:
        return Refusal(413, "too-large", "no body is taken here")
    words = f"{method} is not possible here: this is the feeds server; the web takes articles"
    return Refusal(405, "method-not-allowed", words, (("Allow", METHODS),))


def plan(method: str, _path: str) -> Plan:
    """No request has a body."""
    return Plan("pages", 0, _no_body(method))
