"""Markdown as CommonMark has it, with tables and strikethrough; HTML in it is kept."""

from __future__ import annotations

from typing import Any

from markdown_it import MarkdownIt

from service.intake.rich_text.html_writing import Writing

_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def write(value: Any, _writing: Writing) -> str:
    return str(_PARSER.render(value)) if isinstance(value, str) else ""
