"""The composition root of the web process: settings, record, wake-ups, application."""

from __future__ import annotations

import os
import sys
from wsgiref.types import WSGIApplication

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from service import app, logs, settings
from service.runtime import celery_app, embedded_redis, key_files
from service.runtime.supervise import end_with_parent
from service.serving.document_cache import DocumentCache
from service.settings import PREFIX, Settings
from service.store import migrations
from service.store.database.record import open_record

log = logs.get("web")

# Intake waits for the disk, not for the processor: eight requests share a process well (docs/decisions/0002).
THREADS = 8
# A connection that sends its headers slower than this is no newsroom.
HEADER_SECONDS = 10


def create() -> WSGIApplication:
    """The application, made in each of granian's processes. Reads the settings from the environment and removes them.

    granian copies the environment into that of every request: secrets do not belong there, and copying takes time.
    """
    end_with_parent()
    config = key_files.ensure_keys(settings.load())
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    logs.configure(config.log_level, json=not sys.stderr.isatty())
    logs.bind(process="web")
    record = open_record(config.database_url, config.secret_key)
    migrations.require_schema(record)
    for fault in migrations.faults(record):
        log.error("schema.differs", fault=fault)
    waker = celery_app.Waker(embedded_redis.redis_url_of(config))
    documents = DocumentCache(record, config.public_url)
    documents.watch()
    return app.create_app(config, record, waker.wake, documents=documents).wsgi_app


def serve(config: Settings) -> None:
    """Serves until SIGTERM or SIGINT. The environment must hold the same settings: see `create`."""
    server = Granian(
        "service.wsgi:create",
        factory=True,
        interface=Interfaces.WSGI,
        address=config.host,
        port=config.port,
        workers=processes(config),
        blocking_threads=THREADS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        websockets=False,
        log_level=LogLevels.error,  # it warns of our eight threads, which are intended
        log_access=False,
        respawn_failed_workers=True,
        workers_kill_timeout=8,
    )
    server.serve()


def processes(config: Settings) -> int:
    """One on SQLite, because several would only wait for each other's locks; else DATELINE_WORKERS."""
    return 1 if config.on_sqlite else config.workers
