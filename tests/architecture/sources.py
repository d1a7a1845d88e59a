"""The repository's Python files as syntax trees, for the rules that a machine can keep."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click

ROOT = Path(__file__).parents[2]
PRODUCT = ("service", "workers", "feeds")
ALL = (*PRODUCT, "bench", "tests")


def modules(*folders: str) -> list[Path]:
    """The Python files below these folders, without those of programs that are installed there."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "node_modules" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


class ClassName(NamedTuple):
    """A class and the file that defines it. `name` has no leading underscore; `is_error`: it can be raised."""

    name: str
    file: str
    is_error: bool


@cache
def classes(*folders: str) -> list[ClassName]:
    """Every class of these folders, private and nested ones too."""
    found = [
        (node, name_of(path))
        for path in modules(*folders)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    ]
    errors = {"Exception"}
    while more := {node.name for node, _ in found if errors_among(node, errors)} - errors:
        errors |= more
    return [ClassName(node.name.lstrip("_"), file, node.name in errors) for node, file in found]


def errors_among(node: ast.ClassDef, known: set[str]) -> bool:
    bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
    return any(base in known or base.endswith(("Error", "Exception")) for base in bases)


def constants(path: Path) -> Iterator[str]:
    """The names in capitals that a module assigns at its top level."""
    for node in tree(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            yield from (
                name.id for name in names if isinstance(name, ast.Name) and re.fullmatch(CAPITALS, name.id)
            )


CAPITALS = r"_?[A-Z][A-Z0-9_]*"


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """(name, docstring) of the module and of every class and function in it that has one."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "name", "module"), text


def words_of(name: str) -> set[str]:
    """The words of a name, in small letters: of `SendQueue`, `send_queue` and `send.queue` alike send and queue."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {part.lower() for part in parts}


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """A group's commands by name; those of `dateline` itself are imported by this."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}
