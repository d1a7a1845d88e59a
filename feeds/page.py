"""A feed as a page that people read and subscribe from. Plain HTML: no script, nothing loaded from elsewhere.

The templates escape every text by themselves (autoescape); they are read once, from this package.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from feeds.direction import direction
from feeds.model import ARCHIVED, CONTENT_TYPES, FORMATS, Feed, Item, Masthead
from feeds.public import anchor, creators, description, paragraphs, rights_text
from feeds.text import rfc3339, uri
from feeds.wording import correction_label

if TYPE_CHECKING:
    from jinja2 import Environment

_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON Feed"}
_MEDIA_TYPES = {fmt: CONTENT_TYPES[fmt].partition(";")[0] for fmt in FORMATS}
# The place of the stories in a page. No text that is public has this character.
_PLACEHOLDER = "\x00"
STYLE = """
:root{color-scheme:light dark;--ink:#1b1b1b;--soft:#5a5a5a;--line:#dcdcdc;--paper:#fdfdfc;--link:#0b57a4}
@media (prefers-color-scheme:dark){:root{--ink:#e8e6e3;--soft:#a9a6a1;--line:#3a3937;--paper:#161615;--link:#8cc0f5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:46rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);
font:1.0625rem/1.55 Georgia,"Noto Serif","Noto Serif CJK SC",serif;overflow-wrap:break-word}
:lang(ur){font-family:"Noto Nastaliq Urdu","Jameel Noori Nastaleeq","Noto Naskh Arabic",serif;line-height:2.1}
:lang(zh){font-family:"Noto Serif CJK SC","Songti SC","Noto Sans CJK SC",serif}
a{color:var(--link);text-underline-offset:.15em}a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
header{border-block-end:3px double var(--line);margin-block-end:1rem;padding-block-end:1rem}
h1{font-size:2rem;line-height:1.2;margin:0 0 .25rem}h2{font-size:1.3rem;line-height:1.3;margin:0 0 .35rem}
:lang(ur)>a,h2:lang(ur){line-height:2}
.soft{color:var(--soft);font:.875rem/1.5 system-ui,"Noto Sans","Noto Naskh Arabic","Noto Sans CJK SC",sans-serif}
.soft p,p.soft{margin:.25rem 0}nav a{display:inline-block;margin-inline-end:1rem;padding-block:.3rem}
article{border-block-end:1px solid var(--line);padding-block:1.1rem}article p{margin:.35rem 0}
.correction{border-inline-start:4px solid #c77700;padding-inline-start:.75rem}
[dir=rtl]>.soft{text-align:right}
.gone h2{font-weight:normal;font-style:italic}ul{padding-inline-start:1.2rem}
""".strip()
# For the header that forbids every other style, and all scripts.
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{_DIGEST}'; img-src 'self'"
)


def content_security_policy(masthead: Masthead) -> str:
    """The header for pages: nothing is loaded but the desk's icon, from wherever its logo is."""
    logo = urlsplit(uri(masthead.logo_url) or "")
    return f"{_POLICY} {logo.scheme}://{logo.netloc}" if logo.netloc else _POLICY


def story_bytes(item: Item) -> bytes:
    """An item that is public already, as an element of a page."""
    return _render(
        "story.html",
        item=item,
        anchor=anchor(item.id),
        # It can be read nowhere else.
        body=[] if item.url or item.withdrawn else paragraphs(item),
        summary=description(replace(item, correction_note=None)),
        authors=creators(item),
        rights=rights_text(item.rights),
        changed=item.updated.replace(microsecond=0) > item.published.replace(microsecond=0),
    ).encode()


def frame(feed: Feed, updated: datetime) -> tuple[bytes, bytes]:
    """The page of no story, in two: before the place of the stories, and after it."""
    index = f"{feed.public_url.rstrip('/')}/feeds"
    page = _render(
        "page.html",
        feed=feed,
        logo=feed.masthead.logo_url,
        address=feed.url("html"),
        updated=updated,
        index=index,
        stories=_PLACEHOLDER,
    )
    head, tail = page.split(_PLACEHOLDER)
    return head.encode(), tail.encode()


def index_bytes(masthead: Masthead, public_url: str, groups: Sequence[tuple[str, Sequence[Feed]]]) -> bytes:
    """A page of all feeds, by their kinds. The masthead is public already."""
    address = f"{public_url.rstrip('/')}/feeds"
    values = {"title": index_title(masthead), "logo": masthead.logo_url, "address": address, "groups": groups}
    return _render("index.html", **values).encode()


def index_title(masthead: Masthead) -> str:
    """The title of a list of all feeds."""
    return f"Feeds of {masthead.name}" if masthead.name else "Feeds"


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(values)


@cache
def _templates() -> Environment:
    # Imported with the first page: most processes that import feeds make none, and Jinja takes 40 ms to import.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415

    templates = Environment(
        autoescape=True,
        loader=PackageLoader("feeds"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
    )
    templates.filters |= {
        "correction_label": correction_label,
        "direction": direction,
        "rfc3339": rfc3339,
    }
    templates.globals |= {
        "archived": ARCHIVED,
        "formats": FORMATS,
        "names": _NAMES,
        "style": STYLE,
        "types": _MEDIA_TYPES,
    }
    return templates
