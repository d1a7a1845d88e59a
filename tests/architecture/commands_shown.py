"""Every `dateline …` that the product shows to operators: in its templates, and in its texts but for docstrings."""

from __future__ import annotations

import ast
import html
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

from service.cli.main import dateline
from tests.architecture.sources import ROOT, modules, name_of, subcommands, tree

_HOLE = "\0"  # a value that the program puts in
# A command goes on until the sentence does: a quote, a bracket, a comma or full stop before a blank, two blanks.
_COMMAND = re.compile(
    r"(?P<before>.{0,12}?)\bdateline (?P<words>[a-z][a-z-]*(?:(?!  |[;,.:] |[;,.:]?$|['`()<]).)*)"
)
_TO_RUN = re.compile(r'(?:^|: |\brun |command">)$')
_PLACEHOLDERS = {
    "SLUG": "slug",
    "NAME": "name",
    "TITLE": "title",
    "PARTNER": "partner",
    "ARTICLE": "article",
    "URL": "https://outlet.example",
    "ID": "1",
    "R": "reason",
    "…": "reason",
}


class ShownCommand(NamedTuple):
    """A command in a file. `to_run`: the sentence has the operator run it as it stands; else it may be only named."""

    file: str
    words: tuple[str, ...]
    to_run: bool

    @property
    def path(self) -> str:
        """The command's name with its group's."""
        group = subcommands(dateline).get(self.words[0])
        return " ".join(self.words[: 2 if isinstance(group, click.Group) else 1])


def shown_commands() -> list[ShownCommand]:
    found = []
    for file, text in _texts():
        for match in _COMMAND.finditer(text):
            words = _words(match["words"])
            to_run = bool(_TO_RUN.search(match["before"]))
            if to_run or words[0] in subcommands(dateline):
                found.append(ShownCommand(file, words, to_run))
    return found


def _words(text: str) -> tuple[str, ...]:
    text = re.sub(rf"(?<=[a-z]){_HOLE}", "", text)  # an option that may follow
    words = shlex.split(text.replace(_HOLE, "1"))
    return tuple(_PLACEHOLDERS.get(word, word) for word in words)


def _texts() -> Iterator[tuple[str, str]]:
    for path in modules("service", "workers", "feeds"):
        for text in _strings(path):
            yield name_of(path), text
    for path in sorted((ROOT / "service" / "templates").rglob("*.html")):
        text = re.sub(r"\{\{.*?\}\}", _HOLE, path.read_text(encoding="utf-8"))
        for line in re.sub(r"\{%.*?%\}", "", text).splitlines():
            yield name_of(path), html.unescape(line)


def _strings(path: Path) -> Iterator[str]:
    """The module's texts; f-strings whole, with a hole for each value."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {
        id(part) for node in ast.walk(tree(path)) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else _HOLE for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs | parts:
            yield node.value
