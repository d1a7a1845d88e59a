"""All feeds as OPML 2.0 (http://opml.org/spec2.opml), by their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from feeds.model import Feed


def opml_bytes(title: str, groups: Sequence[tuple[str, Sequence[Feed]]]) -> bytes:
    """Feeds that are public already, in groups of (title, feeds). Without `docs`, which the validator rejects."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<opml version="2.0">',
        f"  <head><title>{escape(title)}</title></head>",
        "  <body>",
    ]
    for name, feeds in groups:
        lines.append(f"    <outline text={quoteattr(name)}>")
        lines += [f"      {_outline(feed)}" for feed in feeds]
        lines.append("    </outline>")
    lines += ["  </body>", "</opml>", ""]
    return "\n".join(lines).encode()


def _outline(feed: Feed) -> str:
    facts = {
        "type": "rss",
        "text": feed.full_title,
        "title": feed.full_title,
        "version": "RSS2",
        "language": feed.language,
        "xmlUrl": feed.url("rss"),
        "htmlUrl": feed.url("html"),
    }
    attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in facts.items() if value)
    return f"<outline {attributes}/>"
