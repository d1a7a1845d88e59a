"""HTML from a source, down to the tags and attributes that every partner and feed reader can show safely."""

from __future__ import annotations

import html as entities
import re
import threading
from collections import Counter
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

import nh3

from service.intake.text import from_html, legal, to_html

_TABLE = {"table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "td", "th"}
_TEXT = {"a", "em", "strong", "b", "i", "u", "s", "sub", "sup", "code", "span", "q", "cite", "time", "abbr"}
_SCRIPTS = {"ruby", "rt", "rp", "bdi", "bdo"}
_BLOCKS = {"p", "h2", "h3", "h4", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "figure", "figcaption"}
TAGS = frozenset(_TABLE | _TEXT | _SCRIPTS | _BLOCKS | {"img", "br", "hr", "pre"})
ATTRIBUTES = {
    "*": {"lang", "dir"},
    "a": {"href", "title"},
    "img": {"src", "alt", "width", "height"},
    "time": {"datetime"},
    "abbr": {"title"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "ol": {"start"},
}
_WITH_CONTENT = {"script", "style", "title", "template", "noscript", "textarea", "select", "svg", "math"}
_SCHEMES = {"http", "https", "mailto"}
_TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|gbraid|wbraid|msclkid|mc_cid|mc_eid|igshid|twclid|ttclid|yclid", re.I
)
_MAY_TRACK = re.compile(r"[?&](?:utm_|fbclid|g?clid|gcls|dclid|[gw]braid|ms|mc_|ig|tw|tt|yc)", re.I)

_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/<>]{0,40})")
_OPENING = re.compile(r"<([a-zA-Z][^\s/<>]{0,40})")
_HEADING = re.compile(r"<(/?)h([156])(?=[\s/>])", re.I)
# Bounded repeats: a page of openings that never close must not be searched to its end for each of them.
_EMBED = re.compile(
    r"<(?:iframe|embed)\b([^<>]{0,4000})>(?:[^<]{0,1000}</iframe\s{0,9}>)?|</(?:iframe|embed)\s{0,9}>", re.I
)
_EMBED_SRC = re.compile(r"""\ssrc\s{0,9}=\s{0,9}["']?(https://[^\s"'<>]+)""", re.I)
_BAD_SCHEME = re.compile(
    r"""<(?:a|img)\b[^<>]{0,500}?\b(href|src)\s{0,9}=\s{0,9}["']?\s{0,9}(javascript|data|vbscript|file|blob|ftp):""",
    re.I,
)
_ABSOLUTE = re.compile(r"(?:https?://[^\s/?#\\]|mailto:[^\s])", re.I)
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_CELLS = {"td", "th", "tr", "thead", "tbody", "tfoot"}
_EMPTY = {"br", "hr", "img", "col", "input", "meta", "link", "wbr", "area", "source", "embed"}
_CLOSE_THEMSELVES = frozenset({"p", "li", "dt", "dd", "rt", "rp", "option"} | _CELLS | _EMPTY)
_DEEPEST = 200  # the parser's time grows with the square of the depth; no story is nested a tenth as deep
_PASSES = 5


@dataclass(frozen=True)
class SanitisedHtml:
    """`removed` lists in words what was taken out, such as "<script> (2)"; empty if nothing was."""

    html: str
    removed: tuple[str, ...]


def clean(html: str, base: str | None) -> SanitisedHtml:
    """Safe HTML with absolute addresses, for any string; cleaning it once more changes nothing.

    `base` is the absolute URL that relative addresses refer to; without one they are removed and reported.
    HTML nested too deep to be parsed in reasonable time is kept as text.
    """
    removed: Counter[str] = Counter()
    markup = legal(html)
    removed["control character"] += len(html) - len(markup)
    if _depth(markup) > _DEEPEST:
        return SanitisedHtml(_as_text(markup), (f"all tags: they are nested deeper than {_DEEPEST}",))
    _count_tags(markup, removed)
    washed = _WASHER.wash(markup, base, removed)
    if "&#" in markup:  # by number, a character comes through that may not come as itself
        washed = legal(washed)
    return SanitisedHtml(washed if washed == markup else _settled(washed, base), _words(removed))


def _settled(markup: str, base: str | None) -> str:
    """Washed until nothing changes: a parser may read badly nested HTML differently once it is written out."""
    for _ in range(_PASSES):
        again = _WASHER.wash(markup, base, Counter())
        if again == markup:
            return markup
        markup = again
    return _as_text(markup)


def _as_text(markup: str) -> str:
    # Paragraphs of escaped text are what the parser itself would write, so this is settled already.
    return to_html(from_html(markup))


def _depth(markup: str) -> int:
    """The greatest depth of nested tags; a closing tag counts for an opening one of its own name."""
    if markup.count("<") <= _DEEPEST:
        return 0
    still: Counter[str] = Counter()
    depth = deepest = 0
    for closing, name in _TAG.findall(markup):
        if name in _CLOSE_THEMSELVES:
            continue
        if not closing:
            still[name] += 1
            depth += 1
            deepest = max(deepest, depth)
        elif still[name]:
            still[name] -= 1
            depth -= 1
    return deepest


def _count_tags(markup: str, removed: Counter[str]) -> None:
    for each, times in Counter(_OPENING.findall(markup)).items():
        name = each.lower()
        if name not in TAGS and name not in ("html", "head", "body"):
            removed[f"<{name}>"] += times
    removed["comment"] += markup.count("<!--")
    for attribute, scheme in _BAD_SCHEME.findall(markup):
        removed[f"attribute {attribute.lower()} with a {scheme.lower()}: address"] += 1


def _replaced(markup: str) -> str:
    """Headings of other levels, and frames, replaced by what is allowed. The result is still to be washed."""
    if "<" not in markup:
        return markup
    markup = _HEADING.sub(lambda match: f"<{match[1]}h{'2' if match[2] == '1' else '4'}", markup)
    return _EMBED.sub(_link_to, markup)


def _link_to(frame: re.Match[str]) -> str:
    source = _EMBED_SRC.search(frame[1] or "")
    if source is None:
        return ""
    address = entities.escape(entities.unescape(source[1]))
    return f'<a href="{address}">{address}</a>'


class _Washer(threading.local):
    """nh3 with our lists, one for each thread: making one takes as long as washing a story with it.

    It passes every attribute to us, so that the removed ones are counted.
    """

    def __init__(self) -> None:
        self._base: str | None = None
        self._removed: Counter[str] = Counter()
        self._cleaner = nh3.Cleaner(
            tags=TAGS,
            clean_content_tags=_WITH_CONTENT,
            attributes=ATTRIBUTES,
            attribute_filter=self._attribute,
            generic_attribute_prefixes={""},
            link_rel=None,
            url_schemes=_SCHEMES,
            url_relative=lambda address: _absolute(address, self._base),
        )

    def wash(self, markup: str, base: str | None, removed: Counter[str]) -> str:
        self._base, self._removed = base, removed
        return self._cleaner.clean(_replaced(markup)).strip()

    def _attribute(self, tag: str, name: str, value: str) -> str | None:
        if name not in ATTRIBUTES["*"] and name not in ATTRIBUTES.get(tag, ()):
            self._removed[f"attribute {name[:40]}"] += 1
            return None
        return _address(name, value, self._base, self._removed) if name in ("href", "src") else value


_WASHER = _Washer()


def _address(name: str, value: str, base: str | None, removed: Counter[str]) -> str | None:
    absolute = _absolute(value, base)
    if absolute is None or (name == "src" and absolute[:7].lower() == "mailto:"):
        relative = not _SCHEME.match(value.strip())
        removed[f"attribute {name} with a relative address" if relative else f"attribute {name}"] += 1
        return None
    return _untracked(absolute, removed) if name == "href" else absolute


def _absolute(address: str, base: str | None) -> str | None:
    address = address.strip()
    if not _SCHEME.match(address) and base is not None:
        try:
            address = urljoin(base, address)
        except ValueError:
            return None
    return address if _ABSOLUTE.match(address) else None


def _untracked(address: str, removed: Counter[str]) -> str:
    """Without the parameters that track readers; the rest of the query stays as it was written."""
    if not _MAY_TRACK.search(address):
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    pairs = parts.query.split("&")
    wanted = [pair for pair in pairs if not _TRACKING.fullmatch(pair.partition("=")[0])]
    if len(wanted) == len(pairs):
        return address
    removed["tracking parameter"] += len(pairs) - len(wanted)
    return urlunsplit(parts._replace(query="&".join(wanted)))


def _words(removed: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{name} ({times})" for name, times in removed.items() if times)
