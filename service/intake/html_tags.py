"""The tags of HTML: those that every partner and feed reader can show safely, and the fate of each other."""

from __future__ import annotations

import re
from enum import Enum

_TABLE = {"table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "td", "th"}
_TEXT = {"a", "em", "strong", "b", "i", "u", "s", "sub", "sup", "code", "span", "q", "cite", "time", "abbr"}
_SCRIPTS = {"ruby", "rt", "rp", "bdi"}
_FLOW = {"p", "h2", "h3", "h4", "ul", "ol", "li", "dl", "dt", "dd", "blockquote", "figure", "figcaption"}
TAGS = frozenset(_TABLE | _TEXT | _SCRIPTS | _FLOW | {"img", "br", "hr", "pre"})
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
BLOCKS = frozenset(_TABLE | _FLOW | {"hr", "pre", "div"})
PHRASE_BLOCKS = frozenset({"p", "h2", "h3", "h4", "pre"})  # blocks that hold a line of text, not blocks
VOID = frozenset({"br", "hr", "img", "col"})
FORMATTING = frozenset({"a", "b", "code", "em", "i", "s", "strong", "u"})  # the parser opens them again
CLOSE_THEMSELVES = VOID | {"p", "li", "dt", "dd", "rt", "rp", "td", "th", "tr", "thead", "tbody", "tfoot"}


class Kind(Enum):
    """The fate of a tag. The value is the element that stands for it until the story is rewritten."""

    KEPT = ""
    TABLE = "table"
    BLOCK = "div"
    INLINE = "x-inline"
    PICTURE = "x-picture"
    # These are elements at whose end tag the parser closes all that is open in them, and nothing outside:
    # object, marquee and applet.
    VIDEO = "object"  # or audio: a link
    FRAME = "x-frame"  # a link
    SOURCE = "x-source"
    NOSCRIPT = "marquee"  # only its pictures stay
    DROPPED = "applet"  # with its content
    RAW = "raw"  # with its content, which is no HTML
    FOREIGN = "foreign"  # with its content
    PREFORMATTED = "preformatted"
    APART = "apart"  # the tag alone, but it stood between words
    GONE = "gone"  # the tag alone


STAND_INS = frozenset(
    each.value
    for each in (
        Kind.BLOCK,
        Kind.INLINE,
        Kind.PICTURE,
        Kind.VIDEO,
        Kind.FRAME,
        Kind.SOURCE,
        Kind.NOSCRIPT,
        Kind.DROPPED,
    )
)
RENAMED = {
    "h1": "h2", "h5": "h4", "h6": "h4", "del": "s", "strike": "s", "ins": "u", "acronym": "abbr", "tt": "code",
    "kbd": "code", "samp": "code", "listing": "pre", "menu": "ul", "dir": "ul", "image": "img", "amp-img": "img",
    # An override of the letters' order is no reader's friend and feeds' validators warn of it: its direction stays.
    "bdo": "span",
}  # fmt: skip
_NAMES: dict[Kind, str] = {
    Kind.BLOCK: "div address article aside center details dialog fieldset footer form header hgroup legend main"
    " marquee nav optgroup option search section summary html head body frameset",
    Kind.PICTURE: "picture",
    Kind.VIDEO: "video audio amp-video amp-audio",
    Kind.FRAME: "iframe embed frame object amp-iframe",
    Kind.SOURCE: "source",
    Kind.NOSCRIPT: "noscript",
    Kind.DROPPED: "template select datalist",
    Kind.RAW: "script style title textarea noembed noframes",
    Kind.FOREIGN: "svg math",
    Kind.PREFORMATTED: "xmp plaintext",
    Kind.APART: "button canvas input keygen meter progress",
    Kind.GONE: "area base basefont bgsound command link meta param spacer track wbr",
}
KEPT_KINDS: dict[str, Kind] = {name: kind for kind, names in _NAMES.items() for name in names.split()}
KEPT_KINDS |= dict.fromkeys(TAGS | RENAMED.keys(), Kind.KEPT) | dict.fromkeys(_TABLE, Kind.TABLE)
SILENT = TAGS | RENAMED.keys() | {"html", "head", "body"}  # no warning of these: nothing of them is lost
COUNTED = TAGS | RENAMED.keys()  # elements whose lost attributes are counted
ENDS = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.I)
    for kind in (Kind.VIDEO, Kind.NOSCRIPT, Kind.DROPPED, Kind.RAW, Kind.FOREIGN, Kind.PREFORMATTED)
    for name in _NAMES[kind].split()
}

# The true address of a picture or frame that a script loads when the reader comes near, likeliest first.
LAZY = ("data-src", "data-lazy-src", "data-original", "data-orig-file", "data-lazy", "data-url")
LAZY_SETS = ("data-srcset", "data-lazy-srcset")
_SOURCES = frozenset({"src", "srcset", *LAZY, *LAZY_SETS})
ADDRESSED = _SOURCES | {"href", "data"}


def wanted(name: str) -> frozenset[str]:
    """The attributes of a tag, as it was written, that something is made of."""
    return _WANTED.get(name, _COMMON)


_COMMON = frozenset(ATTRIBUTES["*"])
_WANTED = {name: _COMMON | ATTRIBUTES[name] for name in ATTRIBUTES if name != "*"}
_WANTED |= dict.fromkeys(("img", "image", "amp-img"), _WANTED["img"] | _SOURCES)
_WANTED["acronym"] = _WANTED["abbr"]
_WANTED |= dict.fromkeys(
    (*_NAMES[Kind.VIDEO].split(), "iframe", "embed", "frame", "amp-iframe", "source"), _SOURCES
)
_WANTED["bdo"] = _COMMON
_WANTED["object"] = frozenset({"data"})
