"""A story's tree, well formed, rewritten so that no word of it glues to another and nothing of it is lost.

Blocks that no feed may carry become paragraphs, frames and films become links, pictures get their true addresses,
hidden parts go. One walk over the tags as nh3 writes them out.
"""

from __future__ import annotations

import html as entities
import re
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from service.intake import html_addresses
from service.intake.html_tags import ATTRIBUTES, BLOCKS, LAZY, LAZY_SETS, PHRASE_BLOCKS, STAND_INS, VOID, Kind
from service.intake.html_tokens import GrowsTooMuch

ADDRESS_BYTES_MAX = 2 * 1024 * 1024  # in all addresses of a story
_PART = re.compile(r'<(/?)([a-z][a-z0-9-]*)((?: [^ =<>"]+="[^"]*")*)>|([^<]+)')
_ATTRIBUTE = re.compile(r' ([^ =<>"]+)="([^"]*)"')


class _Mode(Enum):
    """The content that an element takes: `LOOSE` leaves text as it is, `WRAP` puts it into paragraphs, `PHRASE` is in
    a paragraph already."""

    LOOSE = 1
    WRAP = 2
    PHRASE = 3


# A tag or a text of the story: "/" for a closing tag, the name (empty for a text), the attributes, the text. Plain
# tuples, and the names of stand-ins as plain strings: of both there are thousands, and others take twice the time.
_BlockPart = tuple[str, str, str, str]
_FRAME, _VIDEO, _DROPPED, _SOURCE, _NOSCRIPT, _PICTURE = (
    each.value for each in (Kind.FRAME, Kind.VIDEO, Kind.DROPPED, Kind.SOURCE, Kind.NOSCRIPT, Kind.PICTURE)
)


@dataclass(slots=True)
class _Shape:
    """An element's content, as far as it decides on its place."""

    has_block: bool = False
    has_words: bool = False
    end: int = 0  # the place of its closing tag


class _OpenElement(NamedTuple):
    name: str
    mode: _Mode
    written: bool


def rewritten(markup: str, base: str | None, removed: Counter[str]) -> str:
    """The markup without stand-ins (`html_tags.Kind`), still to be washed. It is what nh3 wrote."""
    rewriter = _Rewriter(_PART.findall(markup), base, removed)
    rewriter.walk()
    return "".join(rewriter.out)


def _shapes(parts: list[_BlockPart]) -> dict[int, _Shape]:
    shapes: dict[int, _Shape] = {}
    path: list[int] = []
    for place, (closing, name, _, text) in enumerate(parts):
        if closing:
            shape = shapes[path.pop()]
            shape.end = place
            if path:
                outer = shapes[path[-1]]
                outer.has_block |= shape.has_block or name in BLOCKS
                outer.has_words |= shape.has_words
        elif name and name not in VOID:
            path.append(place)
            shapes[place] = _Shape(has_words=name in (_FRAME, _VIDEO))
        elif path:
            shapes[path[-1]].has_block |= name == "hr"
            shapes[path[-1]].has_words |= bool(text) and not text.isspace()
    for place in path:
        shapes[place].end = len(parts)
    return shapes


class _Rewriter:
    def __init__(self, parts: list[_BlockPart], base: str | None, removed: Counter[str]) -> None:
        self.out: list[str] = []
        self._parts = parts
        self._shapes = _shapes(parts)
        self._base = base
        self._removed = removed
        self._frames = [_OpenElement("", _Mode.LOOSE, False)]
        self._paragraph = False  # one of ours is open
        self._line_ends = False  # a block ended in a heading, which takes no blocks
        self._links = 0  # open <a>
        self._noscripts = 0
        self._source: str | None = None  # the largest of the <picture> around
        self._picture_before = False  # nothing but blanks since
        self._address_bytes = 0

    def walk(self) -> None:
        place = 0
        while place < len(self._parts):
            closing, name, attributes, text = self._parts[place]
            following = place + 1
            if not name:
                self._text(text)
            elif closing:
                self._close()
            elif name == _DROPPED or ' hidden="' in attributes:
                following = self._after(place)
            elif name in (_VIDEO, _FRAME):
                following = self._after(place)
                self._media(place, following)
            elif name == _SOURCE:
                following = self._after(place)
                self._source = self._source or self._picture_address(_read(attributes))
            elif name in VOID:
                self._void(name, attributes)
            else:
                self._open(name, attributes, self._shapes[place])
            place = following
        self._end_paragraph()

    def _after(self, place: int) -> int:
        return place + 1 if self._parts[place][1] in VOID else self._shapes[place].end + 1

    @property
    def _mode(self) -> _Mode:
        return self._frames[-1].mode

    def _text(self, text: str) -> None:
        if self._noscripts:
            return  # "Please enable JavaScript"
        if not text.isspace():
            self._picture_before = False
            self._begin_paragraph()
            self._break_line()
        self.out.append(text)

    def _begin_paragraph(self) -> None:
        if self._mode is _Mode.WRAP and not self._paragraph:
            self.out.append("<p>")
            self._paragraph = True

    def _end_paragraph(self) -> None:
        if self._paragraph:
            self.out.append("</p>")
            self._paragraph = False

    def _break_line(self) -> None:
        if self._line_ends:
            self.out.append("<br>")
            self._line_ends = False

    def _open(self, name: str, attributes: str, shape: _Shape) -> None:
        mode = self._mode
        if name == _NOSCRIPT:
            self._noscripts += 1
        if name == _PICTURE:
            self._source = None
        if name in BLOCKS:
            mode = self._block_mode(name)
        elif shape.has_block and mode is not _Mode.PHRASE:
            self._end_paragraph()
        else:
            if shape.has_words and not self._noscripts:
                self._begin_paragraph()
            mode = _Mode.PHRASE
        written = name not in STAND_INS and not self._noscripts
        if written:
            self._picture_before &= name not in BLOCKS
            self._links += name == "a"
            self.out.append(f"<{name}{self._attributes(name, attributes)}>" if attributes else f"<{name}>")
        self._frames.append(_OpenElement(name, mode, written))

    def _block_mode(self, name: str) -> _Mode:
        if self._mode is _Mode.PHRASE:
            self._line_ends |= name == "div" and self._is_after_words()
            return _Mode.PHRASE
        self._end_paragraph()
        if name == "div":
            return _Mode.WRAP
        return _Mode.PHRASE if name in PHRASE_BLOCKS else _Mode.LOOSE

    def _is_after_words(self) -> bool:
        return bool(self.out) and not self.out[-1].startswith("<")

    def _close(self) -> None:
        frame = self._frames.pop()
        if frame.mode is _Mode.WRAP:
            self._end_paragraph()
        if frame.name == _NOSCRIPT:
            self._noscripts -= 1
        if frame.name == _PICTURE:
            self._source = None
        if frame.name == "div" and frame.mode is _Mode.PHRASE:
            self._line_ends |= self._is_after_words()
        if frame.name in PHRASE_BLOCKS:
            self._line_ends = False
        if frame.written:
            self._links -= frame.name == "a"
            self.out.append(f"</{frame.name}>")

    def _void(self, name: str, attributes: str) -> None:
        if name == "img":
            self._picture(_read(attributes))
        elif self._noscripts:
            return
        elif name in BLOCKS:
            self._end_paragraph()
            self.out.append(f"<{name}{self._attributes(name, attributes)}>")
        elif self._mode is not _Mode.WRAP or self._paragraph:  # an empty line between blocks is none
            self.out.append("<br>")

    def _picture(self, found: dict[str, str]) -> None:
        again = self._noscripts and self._picture_before
        address = None if again else self._picture_address(found) or self._source
        if address is None:
            if not again:
                self._removed["<img> without an address"] += 1
            self.out.append(" ")  # the words on its sides stay two
            return
        self._count(address)
        self._break_line()
        written = "".join(f' {name}="{found[name]}"' for name in _IMG_ATTRIBUTES if name in found)
        self.out.append(f'<img src="{entities.escape(address)}"{written}>')
        self._picture_before = True

    def _picture_address(self, found: dict[str, str]) -> str | None:
        """The true address: that of a lazy loader, for `src` has its placeholder then; else src, else the srcset's."""
        candidates = [found[name] for name in (*LAZY, "src") if name in found]
        sets = [found[name] for name in (*LAZY_SETS, "srcset") if name in found]
        for raw in candidates + [largest for each in sets if (largest := html_addresses.largest(each))]:
            if address := html_addresses.of_media(entities.unescape(raw), self._base, self._removed):
                return address
        for name in ("src", *LAZY, *LAZY_SETS, "srcset"):
            if name in found:  # counted as a lost address once
                html_addresses.link("src", entities.unescape(found[name]), self._base, self._removed)
                break
        return None

    def _media(self, place: int, following: int) -> None:
        for closing, element, attributes, _ in self._parts[place:following]:
            if closing or element not in (_VIDEO, _FRAME, _SOURCE):
                continue
            found = _read(attributes)
            for name in (*LAZY, "src", "data"):
                address = name in found and html_addresses.of_media(
                    entities.unescape(found[name]), self._base, self._removed
                )
                if address:
                    self._link(entities.escape(address))
                    return
        self.out.append(" ")

    def _count(self, address: str) -> None:
        """A short relative address may become one of 2,048 letters, in each of thousands of links."""
        self._address_bytes += len(address)
        if self._address_bytes > ADDRESS_BYTES_MAX:
            raise GrowsTooMuch

    def _link(self, address: str) -> None:
        self._count(2 * address)
        self._picture_before = False
        self._break_line()
        if self._links:  # a link has no link in it
            self.out.append(f" {address} ")
        elif self._mode is _Mode.PHRASE or self._paragraph:
            self.out.append(f' <a href="{address}">{address}</a> ')
        else:
            self.out.append(f'<p><a href="{address}">{address}</a></p>')

    def _attributes(self, name: str, attributes: str) -> str:
        known = ATTRIBUTES.get(name, _NONE)
        written = []
        for each, value in _ATTRIBUTE.findall(attributes):
            if each == "href":
                address = html_addresses.link(each, entities.unescape(value), self._base, self._removed)
                self._count(address or "")
                written += [] if address is None else [f' href="{entities.escape(address)}"']
            elif each in known or each in ATTRIBUTES["*"]:
                written.append(f' {each}="{value}"')
        return "".join(written)


_IMG_ATTRIBUTES = ("alt", "width", "height", "lang", "dir")
_NONE: frozenset[str] = frozenset()


def _read(attributes: str) -> dict[str, str]:
    """The attributes by their names, as they are written: with entities."""
    return dict(_ATTRIBUTE.findall(attributes))
