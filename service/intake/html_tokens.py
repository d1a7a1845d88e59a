"""HTML of any quality, read tag by tag and written again in few kinds of tags, all of them well quoted.

The parser then sees the tags that were counted here: nothing hides in a comment, a script or a foreign element,
and the growth of the tree that it will make is known before it makes it. Every step is linear in the markup.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice

from service.intake import html_tags
from service.intake.html_hiding import SHOWING, SHOWN_BY, is_hidden, quoted
from service.intake.html_tags import KEPT_KINDS, Kind

_WS = "[ \t\n\f\r]"
# Possessive repeats: no position is read twice, and a quote that never closes ends with its tag.
_VALUE = rf"""={_WS}*+(?:"[^"]*+"|'[^']*+'|[^ \t\n\f\r"'>][^ \t\n\f\r>]*+)"""
_TAG = re.compile(
    rf"""<(?:(!--)|([!?]|/(?=[^a-zA-Z]))|(/?)([a-zA-Z][^ \t\n\f\r/>]*+)((?:{_VALUE}|[^>])*+)>?)"""
)
_ATTRIBUTE = re.compile(
    rf"""([^ \t\n\f\r/>=]++)(?:{_WS}*+={_WS}*+(?:"([^"]*+)"|'([^']*+)'|([^ \t\n\f\r>]*+)))?"""
)
_COMMENT_END = re.compile(r"--!?>")
_FALLBACK = re.compile(rf"[^<]*+</iframe{_WS}*+>", re.I)
PARTS_MAX = 7_000  # tags and attributes of a story that is not plain: each costs as much as a hundred letters
_ADDRESS_PARTS = 4  # as much as so many parts; a declaration of a style costs as much as one
_COPIES_MAX = 50_000  # of formatting elements, written again by the parser
_ATTRIBUTES_MAX = 200  # of one tag are read
DEEPEST = 200  # the parser's time grows with the square of the depth; no story is nested a tenth as deep
_FOLD = 4  # the copies of formatting elements may have so many times the bytes of the markup
_FREE = 256 * 1024


class GrowsTooMuch(ValueError):
    """It has more tags than any story, or would in a parser: by formatting elements that it opens and never closes."""


@dataclass(frozen=True)
class NormalMarkup:
    """`is_too_deep`: its tags are nested deeper than DEEPEST; then it is good for its text alone."""

    text: str
    is_too_deep: bool


def normal(markup: str, removed: Counter[str]) -> NormalMarkup:
    """Counts into `removed` all that is left out. Raises GrowsTooMuch."""
    writer = _Writer(markup, removed)
    writer.write()
    return NormalMarkup("".join(writer.out), writer.is_too_deep)


class _Writer:
    def __init__(self, markup: str, removed: Counter[str]) -> None:
        self.out: list[str] = []
        self.is_too_deep = False
        self._markup = markup
        self._removed = removed
        self._at = 0
        self._depth = 0
        self._open: Counter[str] = Counter()
        self._ends: dict[str, int] = {}
        self._tables: list[bool] = []  # for each open table: whether a cell of it is open
        self._formatting: list[tuple[str, str]] = []  # as the parser's list of active formatting elements
        self._weight = self._cost = self._copied = self._parts = 0
        self._most = _FREE + _FOLD * len(markup)

    def write(self) -> None:
        markup = self._markup
        while (tag := _TAG.search(markup, self._at)) is not None:
            self._text(markup[self._at : tag.start()])
            self._at = tag.end()
            self._count(1)
            comment, bogus, closing, name, attributes = tag.groups()
            if comment:
                self._comment()
            elif bogus:
                self._at = (markup.find(">", self._at) + 1) or len(markup)
            elif tag[0][-1] != ">":
                self._at = len(markup)  # cut off in a tag
            elif closing:
                self._end(name.lower())
            else:
                self._start(name.lower(), attributes)
        self._text(markup[self._at :])

    def _comment(self) -> None:
        self._removed["comment"] += 1
        markup = self._markup
        for empty in (">", "->"):
            if markup.startswith(empty, self._at):
                self._at += len(empty)
                return
        end = _COMMENT_END.search(markup, self._at)
        self._at = end.end() if end else len(markup)

    def _text(self, text: str) -> None:
        if not text:
            return
        if not text.isspace():
            self._copies()
            if self._tables and not self._tables[-1]:
                self.out.append(" ")  # text in a table beside its cells goes before it, onto the text there
        self.out.append(text.replace("<", "&lt;"))

    def _copies(self) -> None:
        """Adds what the parser may write again here: every formatting element that is still open."""
        self._cost += self._weight
        self._copied += len(self._formatting)
        if self._cost > self._most or self._copied > _COPIES_MAX:
            raise GrowsTooMuch

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > PARTS_MAX:
            raise GrowsTooMuch

    def _start(self, name: str, attributes: str) -> None:
        if self.is_too_deep and KEPT_KINDS.get(name, _INLINE) not in _LEFT_OUT:
            self.out.append("<hr>" if KEPT_KINDS.get(name) in _SEPARATE else "")
            return
        kind = self._kind(name)
        if name not in html_tags.SILENT:
            self._removed[f"<{name[:40]}>"] += 1
        if kind in _ELEMENTS:
            self._element(html_tags.RENAMED.get(name) or kind._value_ or name, name, attributes)
            return
        match kind:
            case Kind.RAW:
                self._leave_out(name)
            case Kind.FOREIGN:
                if not attributes.endswith("/") and self._end_of(name) >= 0:
                    self._leave_out(name)
                self.out.append(" ")
            case Kind.PREFORMATTED:
                self._preformatted(name)
            case Kind.FRAME:
                self._frame(name, attributes)
            case Kind.SOURCE:
                self._emit(f"<x-source{self._attributes(name, attributes)}></x-source>")
            case Kind.VIDEO | Kind.NOSCRIPT | Kind.DROPPED:
                self._enclosing(kind, name, attributes)
            case Kind.APART:
                self.out.append(" ")

    def _kind(self, name: str) -> Kind:
        kind = KEPT_KINDS.get(name, _INLINE)
        if kind is _TABLE:
            return self._table_part(name)
        if name in ("rt", "rp") and not self._open["ruby"]:
            return Kind.INLINE  # beside a ruby they would nest without end
        return kind

    def _table_part(self, name: str) -> Kind:
        """A part without its table would be dropped by the parser, and the words of two cells would be one."""
        if name == "table":
            if not self._tables or self._tables[-1]:
                self._tables.append(False)
        elif not self._tables:
            return Kind.GONE if name == "col" else Kind.BLOCK
        else:
            self._tables[-1] = name in ("td", "th", "caption")
        return Kind.KEPT

    def _leave_out(self, name: str) -> None:
        end = self._end_of(name)
        tag = _TAG.match(self._markup, end) if end >= 0 else None
        self._at = tag.end() if tag else len(self._markup)

    def _end_of(self, name: str) -> int:
        """The place of the next closing tag, or -1; remembered, for it may be far away from many openings."""
        known = self._ends.get(name)
        if known is None or (0 <= known < self._at):
            pattern = html_tags.ENDS[name]
            found = pattern.search(self._markup, self._at)
            known = self._ends[name] = found.start() if found else -1
        return known

    def _preformatted(self, name: str) -> None:
        start, end = self._at, self._end_of(name) if name != "plaintext" else -1
        if end < 0:
            end = self._at = len(self._markup)
        else:
            self._leave_out(name)
        self._emit("<pre>")
        self.out.append(self._markup[start:end].replace("<", "&lt;"))
        self.out.append("</pre>")

    def _frame(self, name: str, attributes: str) -> None:
        if name == "iframe" and (fallback := _FALLBACK.match(self._markup, self._at)):
            self._at = fallback.end()
        self._emit(f"<x-frame{self._attributes(name, attributes)}></x-frame>")

    def _enclosing(self, kind: Kind, name: str, attributes: str) -> None:
        """An element of which not all is shown; unclosed, it must not take the rest of the story with it."""
        closes = self._end_of(name) >= 0
        if kind is not Kind.VIDEO and not closes:
            return
        self._emit(f"<{kind.value}{self._attributes(name, attributes)}>")
        if closes:
            self._enter(kind.value)
        else:
            self.out.append(f"</{kind.value}>")

    def _element(self, written: str, name: str, attributes: str) -> None:
        tag = f"<{written}{self._attributes(name, attributes)}>"
        self._emit(tag)
        if written in html_tags.FORMATTING:
            self._activate(written, tag)
        if written not in html_tags.CLOSE_THEMSELVES:
            self._enter(written)

    def _enter(self, written: str) -> None:
        self._open[written] += 1
        self._depth += 1
        self.is_too_deep |= self._depth > DEEPEST

    def _emit(self, tag: str) -> None:
        self._copies()
        self.out.append(tag)

    def _activate(self, name: str, tag: str) -> None:
        if name == "a":
            self._deactivate("a")
        if self._formatting.count((name, tag)) < 3:  # no more of the same are kept (HTML standard, 13.2.4.3)
            self._formatting.append((name, tag))
            self._weight += len(tag) + len(name) + 3

    def _deactivate(self, name: str) -> None:
        for place in range(len(self._formatting) - 1, -1, -1):
            if self._formatting[place][0] == name:
                self._weight -= len(self._formatting.pop(place)[1]) + len(name) + 3
                return

    def _end(self, name: str) -> None:
        if self.is_too_deep:
            self.out.append("<hr>" if KEPT_KINDS.get(name) in _SEPARATE else "")
            return
        kind = KEPT_KINDS.get(name, _INLINE)
        if kind is _TABLE:
            kind = self._table_end(name)
        if name == "br":
            self._emit("<br>")
        elif kind in _CLOSED:
            self._close(html_tags.RENAMED.get(name) or kind._value_ or name)
        elif kind is Kind.APART:
            self.out.append(" ")

    def _table_end(self, name: str) -> Kind:
        if not self._tables:
            return Kind.BLOCK
        if name == "table":
            self._tables.pop()
        else:
            self._tables[-1] = False
        return Kind.KEPT

    def _close(self, written: str) -> None:
        self.out.append(f"</{written}>")
        if written in html_tags.FORMATTING:
            self._copies()
            self._deactivate(written)
        if self._open[written]:
            self._open[written] -= 1
            self._depth -= 1

    def _attributes(self, name: str, attributes: str) -> str:
        """The attributes that count, each once; `hidden` for an element that is not shown, however it says so."""
        if attributes.strip(" \t\n\f\r/") == "" and name not in SHOWN_BY:
            return ""
        found: dict[str, str] = {}
        for each in islice(_ATTRIBUTE.finditer(attributes), _ATTRIBUTES_MAX):
            name_of, double, single, bare = each.groups("")
            found.setdefault(name_of.lower(), double or single or bare)
        addresses = len(html_tags.ADDRESSED & found.keys())
        self._count(len(found) + (_ADDRESS_PARTS - 1) * addresses + found.get("style", "").count(";"))
        wanted = html_tags.wanted(name)
        if name in html_tags.COUNTED:
            self._removed.update(
                f"attribute {each[:40]}" for each in found if each not in wanted and each not in SHOWING
            )
        written = [f' {each}="{quoted(found[each])}"' for each in found if each in wanted]
        if is_hidden(name, found):
            self._removed["hidden element"] += 1
            written.append(' hidden=""')
        elif name in html_tags.COUNTED:
            self._removed.update(f"attribute {each}" for each in SHOWING if each in found)
        return "".join(written)


_TABLE, _INLINE = Kind.TABLE, Kind.INLINE  # and `_value_`: an enum takes long to say them for each tag
_ELEMENTS = (Kind.KEPT, Kind.BLOCK, Kind.INLINE, Kind.PICTURE)
_CLOSED = (*_ELEMENTS, Kind.VIDEO, Kind.NOSCRIPT, Kind.DROPPED)
# Of a story that is nested too deep: the elements that go with their content, and those that stand between words.
_LEFT_OUT = (Kind.RAW, Kind.FOREIGN, Kind.PREFORMATTED)
_SEPARATE = (Kind.KEPT, Kind.TABLE, Kind.BLOCK, Kind.APART)
