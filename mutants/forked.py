"""Runs tests in a fork of this process, which has all libraries loaded: of a mutant's second most was that.

Nothing of the project is loaded before the fork, so that the child loads it as it stands in the working directory.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

# Those that take long to load, of what the modules under test and their tests use.
_LIBRARIES = (
    "alembic.command", "cryptography.fernet", "email.utils", "hypothesis.strategies", "json", "orjson", "psycopg",
    "pycurl", "pydantic", "pydantic_settings", "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite", "structlog", "ulid",
)  # fmt: skip
_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-p", "mutants.pytest_plugin")
_GRACE = 10.0  # seconds to end in order: the tests stop the PostgreSQL that they started
PASSED, NONE_RUN = pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED


def load_libraries() -> None:
    for name in _LIBRARIES:
        importlib.import_module(name)


def passes(tests: Sequence[str], timeout: float, *, output: int | None = None, cached: bool = True) -> bool:
    """Whether all pass in time. `output`: the file that hears of them; not `cached`: byte code is written, too.

    Unit tests run without the fixtures of conftest.py, which they need not. Of the others those on SQLite come first:
    most faults are noticed before a PostgreSQL need be started.
    """
    until = time.monotonic() + timeout
    if all(path.startswith("tests/unit/") for path in tests):
        runs: Sequence[Sequence[str]] = [["--noconftest"]]
    else:
        runs = [["-k", "not postgresql"], ["-k", "postgresql"]]
    return all(
        _forked([*_OPTIONS, *run, *tests], until, output, cached) in (PASSED, NONE_RUN) for run in runs
    )


def _forked(arguments: list[str], until: float, output: int | None, cached: bool) -> int | None:
    """pytest's code; None if it took too long, or was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        sys.dont_write_bytecode = cached
        sys.path.insert(0, str(Path.cwd()))
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        nowhere = os.open(os.devnull, os.O_WRONLY) if output is None else output
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        code = 1
        try:
            code = int(pytest.main(arguments))
        finally:
            os._exit(code)
    try:
        return _waited(child, until)
    except BaseException:
        _end(child)
        raise


def _waited(child: int, until: float) -> int | None:
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            _end(child)
            return None
        time.sleep(0.01)


def _end(child: int) -> None:
    for number, seconds in ((signal.SIGINT, _GRACE), (signal.SIGKILL, _GRACE)):
        os.killpg(child, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
