"""The shape of the code: functions that take few values, modules that hold one part."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "service" / "store" / "migrations" / "versions"

MOST_PARAMETERS = 6
MOST_LINES = 300

# Functions with more parameters, each with its reason.
EXCEPTIONS: dict[str, str] = {}

# Functions and modules that are still to be brought into shape.
PENDING = {
    "service/api/openapi.py",
    "service/cli/doctor.py",
    "service/console/pages.py",
    "service/store/articles/accept.py",
    "service/store/articles/accept.py: _accept",
    "service/store/articles/accept.py: _record_change",
    "service/store/articles/accept.py: accept",
    "service/store/articles/revisions.py: write_event",
    "service/store/deliveries/capacity.py: _look",
    "service/store/deliveries/claims.py: _claim",
    "service/store/feeds/documents.py: _store",
    "service/store/notices.py: _raise",
    "workers/deliver/retry.py: decide",
    "workers/net/outcome.py",
    "workers/net/transport.py",
    "workers/net/transport.py: __init__",
    "workers/runner.py: __init__",
    "workers/sweep.py: __init__",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    files = [file for part in ("service", "workers", "feeds") for file in sorted((ROOT / part).rglob("*.py"))]
    return [file for file in files if MIGRATIONS not in file.parents]


def functions(file: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> int:
    """All of them but self and cls, and what * and ** take."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def is_command(function: Function) -> bool:
    """The parameters of a command are its options: click hands them over one by one."""
    return any(ast.unparse(each).startswith("click.option(") for each in function.decorator_list)


def crowded() -> set[str]:
    return {
        f"{file.relative_to(ROOT)}: {function.name}"
        for file in modules()
        for function in functions(file)
        if parameters(function) > MOST_PARAMETERS and not is_command(function)
    }


def test_no_function_takes_more_than_six_parameters() -> None:
    """More are a value that has no name yet."""
    assert crowded() - EXCEPTIONS.keys() - PENDING == set()


def test_every_exception_is_still_needed() -> None:
    assert EXCEPTIONS.keys() - crowded() == set()


def test_no_module_is_longer_than_three_hundred_lines() -> None:
    """A longer one holds two parts."""
    long = {
        str(file.relative_to(ROOT)) for file in modules() if len(file.read_text().splitlines()) > MOST_LINES
    }
    assert long - PENDING == set()
