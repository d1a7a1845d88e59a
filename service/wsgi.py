"""The composition root of the web process: settings, record, wake-ups, application, and the server of it."""

from __future__ import annotations

import contextvars
import sys
import threading
from wsgiref.types import WSGIApplication

from service import app, logs, settings, times
from service.console.metrics_listener import MetricsApplication
from service.intake.routes import MAX_BYTES, REQUEST_BYTES
from service.runtime import celery_app, embedded_redis, key_files
from service.runtime.processes import run_processes
from service.serving.document_cache import DocumentCache
from service.serving.middleware import FeedMiddleware
from service.serving.server import refusals
from service.serving.server.context import Site
from service.serving.server.http_server import HttpServer, freeze
from service.serving.server.limits import Limits, connections_max
from service.serving.server.listener import listen
from service.serving.server.request import Plan
from service.serving.server.request_cache import RequestCache
from service.settings import Settings
from service.store import migrations
from service.store.database.record import open_record

log = logs.get("web")

# Intake waits for the disk, not for the processor: eight requests share a process well (docs/decisions/0012).
THREADS = 8
# Nothing waits behind posts, and no probe behind pages.
LANES = {"posts": THREADS, "pages": 4, "probes": 1}
METRICS_LANES = {"metrics": 1}
# Scrapers are few, and each has one connection: whoever holds on to more loses the longest idle.
METRICS_LIMITS = Limits(connections=32, per_address=32, queue=8)
PROBES = frozenset(("/healthz", "/readyz"))
# Content systems send what they like: more than an article has.
HOOK_BYTES = 8 * 2**20
# Forms of the status pages.
FORM_BYTES = 64 * 2**10

_ARTICLE_WORDS = f"an article may have {MAX_BYTES:,} bytes, 1 MiB, at the most"
_POSTS = Plan("posts", REQUEST_BYTES, refusals.Refusal(413, "too-large", _ARTICLE_WORDS))
_HOOKS = Plan("posts", HOOK_BYTES, refusals.too_large(HOOK_BYTES))
_PROBES = Plan("probes", FORM_BYTES, refusals.too_large(FORM_BYTES))
_PAGES = Plan("pages", FORM_BYTES, refusals.too_large(FORM_BYTES))
_SCRAPES = Plan("metrics", 0, refusals.too_large(0))


def create() -> WSGIApplication:
    """The application, for another server of WSGI. Reads the settings from the environment."""
    config = key_files.ensure_keys(settings.load())
    logs.configure(config.log_level, json=not sys.stderr.isatty())
    logs.bind(process="web")
    return a_site(config).middleware


def serve(config: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    config = key_files.ensure_keys(config)
    count = processes(config)
    listening = listen(config.host, config.port)
    limits = Limits(
        connections=connections_max(),
        per_address=config.connections_per_address,
        trusted=config.trusted_proxies,
    )

    def work() -> None:
        logs.bind(process="web")
        site = a_site(config)
        freeze()
        HttpServer(site, listening, limits, shared=count > 1).run()

    run_processes(count, work)


def a_site(config: Settings) -> Site:
    """The web with its record: made in each process."""
    record = open_record(config.database_url, config.secret_key)
    migrations.require_schema(record)
    for fault in migrations.faults(record):
        log.error("schema.differs", fault=fault)
    waker = celery_app.Waker(embedded_redis.redis_url_of(config))
    documents = DocumentCache(record, config.public_url)
    documents.watch()
    if config.metrics_listen:
        start_metrics(config.metrics_listen, MetricsApplication(record, times.now), documents)
    middleware = app.create_app(config, record, waker.wake, documents=documents).wsgi_app
    assert isinstance(middleware, FeedMiddleware)
    return Site(middleware, RequestCache(documents), plan, LANES)


def start_metrics(
    address: str, application: MetricsApplication, documents: DocumentCache
) -> tuple[HttpServer, int]:
    """Serves the metrics in a thread of this process; returns the server and its port.

    Several web processes share the address. One that is taken or not ours raises OSError.
    """
    listening = listen(*settings.host_and_port(address), shared=True)
    host, port = listening.getsockname()[:2]
    site = Site(application, RequestCache(documents), lambda _method, _path: _SCRAPES, METRICS_LANES)
    server = HttpServer(site, listening, METRICS_LIMITS)
    facts = contextvars.copy_context()  # of the log: the process's name
    threading.Thread(target=facts.run, args=(server.run,), name="metrics", daemon=True).start()
    log.info("metrics.listening", host=host, port=port)
    return server, port


def plan(method: str, path: str) -> Plan:
    """The threads for a request, and the most that its body may have."""
    if method == "POST" and path.startswith("/v1/hooks/"):
        return _HOOKS
    if method == "POST" and path == "/v1/articles":
        return _POSTS
    return _PROBES if path in PROBES else _PAGES


def processes(config: Settings) -> int:
    """One on SQLite, because several would only wait for each other's locks; else DATELINE_WORKERS."""
    return 1 if config.on_sqlite else config.workers
