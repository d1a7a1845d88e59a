"""Functions take few values. The length of modules is in test_layers."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "service" / "store" / "migrations" / "versions"

MOST_PARAMETERS = 6

# Functions with more parameters, each with its reason.
EXCEPTIONS: dict[str, str] = {}

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
    assert crowded() - EXCEPTIONS.keys() == set()


def test_every_exception_is_still_needed() -> None:
    assert EXCEPTIONS.keys() - crowded() == set()
