"""Functions take few values. The length of modules is in test_layers."""

from __future__ import annotations

import ast

from tests.architecture.sources import PRODUCT, modules, name_of, tree

MOST_PARAMETERS = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


def parameters(function: Function) -> int:
    """The number of parameters without self, cls, and what * and ** take."""
    given = function.args
    names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def is_command(function: Function) -> bool:
    """The parameters of a command are its options: click hands them over one by one."""
    return any(ast.unparse(each).startswith("click.option(") for each in function.decorator_list)


def test_no_function_takes_more_than_six_parameters() -> None:
    """More are a value that has no name yet."""
    crowded = {
        f"{name_of(path)}: {node.name}"
        for path in modules(*PRODUCT)
        if "versions" not in path.parts
        for node in ast.walk(tree(path))
        if isinstance(node, Function) and parameters(node) > MOST_PARAMETERS and not is_command(node)
    }
    assert crowded == set()
