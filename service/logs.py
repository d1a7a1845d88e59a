"""Logs: one wide event per unit of work, to standard error. Never a secret or a body."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from json import dumps
from select import PIPE_BUF
from typing import Any

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from service import plain_text

# Fields that are hidden even if someone logs them by mistake.
HIDDEN = ("secret", "token", "password", "authorization", "api_key", "signature", "body")

# Libraries that log their every step; only their warnings and errors are kept.
TALKATIVE = ("alembic", "kombu", "amqp", "urllib3")


def configure(level: str, *, json: bool) -> None:
    """Sends every line of this process, the libraries' too, to standard error; as JSON objects if `json`."""
    # Our own lines do not go through the standard library's logging: a delivery would pay more for its line than
    # for its push.
    # One list for ever: a logger that was used once keeps the list it found.
    _PROCESSORS[:] = [*_SHARED, *_renderers(json=json)]
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=_StandardError,
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(json=json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def get(name: str) -> FilteringBoundLogger:
    """The logger of a part. `log.info("event.accepted", article=…)`: a name, then facts."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def bind(**facts: object) -> None:
    """Adds facts to every later line of this thread, such as the process's name."""
    structlog.contextvars.bind_contextvars(**facts)


def info_each(log: FilteringBoundLogger, event: str, rows: Iterable[Mapping[str, object]]) -> None:
    """`log.info(event, **row)` for each of `rows`, at one moment and written together: for a line per delivery.

    The facts that all lines share are made once: else a delivery would pay as much for its line as for its signature.
    """
    if not log.is_enabled_for(logging.INFO):
        return
    processors = structlog.get_config()["processors"]
    if processors[: len(_SHARED)] != _SHARED:  # `configure` was not called here, as in tests
        for row in rows:
            log.info(event, **row)
        return
    bound: Any = log.bind()
    render = processors[len(_SHARED) :]
    shared: Any = dict(bound._context)
    for process in _SHARED:
        shared = process(bound._logger, "info", shared)
    lines = []
    for row in rows:
        line: Any = _hide(bound._logger, "info", {**shared, **row, "event": event})
        for process in render:
            line = process(bound._logger, "info", line)
        lines.append(line)
    for whole in _writes(lines):
        bound._logger.msg(whole)


def _writes(lines: Iterable[str]) -> Iterator[str]:
    """The lines in pieces that a pipe takes whole, because other processes may write to it too."""
    together: list[str] = []
    size = 0
    for line in lines:
        more = len(line.encode(errors="replace")) + 1
        if together and size + more > PIPE_BUF:
            yield "\n".join(together)
            together, size = [], 0
        together.append(line)
        size += more
    if together:
        yield "\n".join(together)


class _StandardError:
    """Writes whole lines, one at a time, to the standard error of this moment, since tests replace it.

    A line that cannot be written, as on a full disk, is lost; the work goes on.
    """

    _lock = threading.Lock()

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        with self._lock, suppress(OSError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = msg


def _hide(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    for key in event:
        if _is_hidden(key):
            event[key] = "(hidden)"
    return event


def _show(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """For a terminal: texts of others move no cursor there, and turn no line."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = plain_text.terminal_text(value)
    return event


@cache
def _is_hidden(key: str) -> bool:
    return key.lower().endswith(HIDDEN)


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    _hide,
]
_PROCESSORS: list[Processor] = []


def _as_json(event: EventDict, default: Any) -> str:
    try:
        return orjson.dumps(event, default=default).decode()
    except TypeError:  # half a character, as in a name of undecodable bytes, or a number beyond 64 bits
        return dumps(event, default=default)


def _renderers(*, json: bool) -> list[Processor]:
    if json:
        # A traceback without the values of variables: among them are articles' bodies and secrets.
        traceback = ExceptionDictTransformer(show_locals=False)
        return [
            structlog.processors.ExceptionRenderer(traceback),
            structlog.processors.JSONRenderer(_as_json),
        ]
    colours: Any = sys.stderr.isatty()
    return [
        _show,
        structlog.dev.ConsoleRenderer(
            colors=colours,
            timestamp_key="at",
            pad_event_to=24,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]
