"""The faults in SQL as operators of cosmic-ray, which makes those in Python itself.

They are registered here and not by an entry point: the program's own package says nothing of what tests it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import parso
from cosmic_ray import plugins
from cosmic_ray.operators.operator import Example, Operator

from mutants import sql

_QUOTED = re.compile(r"""([a-zA-Z]*(?:\"{3}|'{3}|"|'))(.*?)(\"{3}|'{3}|"|')""", re.DOTALL)
Position = tuple[tuple[int, int], tuple[int, int]]


def register() -> None:
    plugins.OPERATOR_PROVIDERS["sql"] = {name: _operator(name) for name in sql.EDITS}


def _operator(name: str) -> type[Operator]:
    class SqlOperator(Operator):  # type: ignore[misc]
        def mutation_positions(self, node: Any) -> Iterator[Position]:
            for _ in _mutants(node, name):
                yield node.start_pos, node.end_pos

        def mutate(self, node: Any, index: int) -> Any:
            return parso.python.tree.String(
                _mutants(node, name)[index], node.start_pos, node.get_first_leaf().prefix
            )

        @classmethod
        def examples(cls) -> tuple[Example, ...]:
            return ()

    SqlOperator.__name__ = name
    return SqlOperator


def _mutants(node: Any, name: str) -> list[str]:
    """The string with each of the edits; nothing for any other node, and for a docstring."""
    if node.type not in ("string", "fstring") or (
        node.parent is not None and node.parent.type == "simple_stmt"
    ):
        return []
    opening, text, closing = _QUOTED.fullmatch(node.get_code(include_prefix=False)).groups()  # type: ignore[union-attr]
    edits = sql.EDITS[name](text) if sql.is_sql(text) else ()
    return [f"{opening}{edit.applied(text)}{closing}" for edit in edits]
