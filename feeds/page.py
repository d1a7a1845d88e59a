"""A feed as a page that people read and subscribe from. Plain HTML: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from feeds.model import ARCHIVED, CONTENT_TYPES, FORMATS, Feed, Item
from feeds.public import creators, description, rights_text
from feeds.text import rfc3339
from feeds.wording import correction_label

_NAMES = {"rss": "RSS", "atom": "Atom", "json": "JSON Feed"}
_RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ks", "ps", "sd", "ug", "ur", "yi"})
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
POLICY = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{_DIGEST}'"


def story_bytes(item: Item) -> bytes:
    """An item that is public already, as an element of a page."""
    kind = ' class="gone"' if item.withdrawn else ""
    told = description(replace(item, correction_note=None))
    parts = [
        f"<article{kind}{_language(item.language)}>",
        f"<h2>{_link(item.url, item.headline)}</h2>",
        _correction(item),
        f"<p>{_text(told)}</p>" if told != item.headline else "",
        f'<div class="soft" lang="en" dir="ltr">{"".join(f"<p>{line}</p>" for line in _attribution(item))}</div>',
        "</article>",
    ]
    return "\n".join(filter(None, parts)).encode()


def frame(feed: Feed, updated: datetime) -> tuple[bytes, bytes]:
    """The page of no story, in two: before where stories stand, and after."""
    alternates = "\n".join(
        f'<link rel="alternate" type="{CONTENT_TYPES[fmt].partition(";")[0]}"'
        f' title="{_text(feed.title)} ({_NAMES[fmt]})" href="{_text(feed.url(fmt))}">'
        for fmt in FORMATS
    )
    links = " ".join(f'<a href="{_text(feed.url(fmt))}">{_NAMES[fmt]}</a>' for fmt in FORMATS)
    index = f"{_text(feed.public_url.rstrip('/'))}/feeds"
    older = [
        f'<a href="{_text(feed.page_url(feed.pages, fmt))}">Older stories ({_NAMES[fmt]})</a>'
        for fmt in ARCHIVED
        if feed.pages
    ]
    head = f"""{_start(feed.title, feed.url("html"), alternates)}<header>
<p class="soft">{_text(feed.authority)}</p>
<h1{_language(feed.language)}>{_text(feed.title)}</h1>
<p class="soft">Last changed {_time(updated)}</p>
<nav class="soft" aria-label="Subscribe">{links} <a href="{index}">All feeds</a></nav>
</header>
<main>
"""
    return (
        head.encode(),
        f'\n</main>\n<footer class="soft">{" ".join(older)}</footer>\n</body>\n</html>\n'.encode(),
    )


def index_bytes(authority: str, public_url: str, groups: Sequence[tuple[str, Sequence[Feed]]]) -> bytes:
    """A page of all feeds, by their kinds."""
    base = public_url.rstrip("/")
    parts = [
        _start(f"Feeds of {authority}", f"{base}/feeds", ""),
        f"<header>\n<h1>Feeds of {_text(authority)}</h1>\n",
        f'<p class="soft"><a href="{_text(base)}/feeds.opml">All feeds as OPML</a></p>\n</header>\n<main>\n',
    ]
    for title, feeds in groups:
        parts.append(f"<section>\n<h2>{_text(title)}</h2>\n<ul>\n")
        parts += [_index_line(feed) for feed in feeds]
        parts.append("</ul>\n</section>\n")
    parts.append("</main>\n</body>\n</html>\n")
    return "".join(parts).encode()


def _index_line(feed: Feed) -> str:
    links = " ".join(f'<a href="{_text(feed.url(fmt))}">{_NAMES[fmt]}</a>' for fmt in FORMATS)
    title = f'<a href="{_text(feed.url("html"))}"{_language(feed.language)}>{_text(feed.title)}</a>'
    return f'<li>{title} <nav class="soft">{links}</nav></li>\n'


def _start(title: str, address: str, alternates: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<link rel="canonical" href="{_text(address)}">
{alternates}
<style>{STYLE}</style>
</head>
<body>
"""


def _correction(item: Item) -> str:
    if item.correction_note is None:
        return ""
    label = correction_label(item.language)
    return f'<p class="correction"><strong>{label}</strong> {_text(item.correction_note)}</p>'


def _attribution(item: Item) -> Iterable[str]:
    """Who wrote it, where it comes from, who answers for it: each line only if it has something to say."""
    names = ", ".join(_link(author.url, author.name) for author in creators(item))
    origin = _link(item.origin.url, item.origin.name) if item.origin else ""
    said = " · ".join(filter(None, (_time(item.published), names, origin, _text(item.source_name))))
    yield said
    if item.updated.replace(microsecond=0) > item.published.replace(microsecond=0):
        yield f"Changed {_time(item.updated)}"
    if item.original_headline:
        yield f"Original headline: <bdi>{_text(item.original_headline)}</bdi>"
    if item.responsible_editor:
        yield f"Editor: <bdi>{_text(item.responsible_editor)}</bdi>"
    if rights := rights_text(item.rights):
        yield f"<bdi>{_text(rights)}</bdi>"


def _link(url: str | None, text: str) -> str:
    return f'<a href="{_text(url)}"><bdi>{_text(text)}</bdi></a>' if url else f"<bdi>{_text(text)}</bdi>"


def _language(tag: str | None) -> str:
    if tag is None:
        return ' dir="auto"'
    direction = "rtl" if tag.partition("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"
    return f' lang="{_text(tag)}" dir="{direction}"'


def _time(moment: datetime) -> str:
    written = rfc3339(moment)
    return f'<time datetime="{written}" dir="ltr">{written[:10]} {written[11:16]} UTC</time>'


def _text(text: str | None) -> str:
    return html.escape(text or "")
