"""Plain text as the record keeps it, and the way between it and HTML."""

from __future__ import annotations

import html as entities
import re

# No document may hold these characters: C0 and C1 controls, DEL, lone surrogates, and Unicode's 66 noncharacters.
# Tab, newlines stay; so do U+FEFF and variation selectors, which may carry the proof of a text's origin (C2PA).
_ABOVE = "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
_WITHIN_16_BITS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
FORBIDDEN = f"{_WITHIN_16_BITS}{_ABOVE}"  # for a class of a pattern
_ILLEGAL = re.compile(f"[{FORBIDDEN}]")
# A class of 16 bits alone is one look into a table. With those above it each character is compared with every one of
# them, which takes twenty times as long: so the runs of the two kinds have a class each.
_LEGAL = re.compile(f"(?:[^{_WITHIN_16_BITS}\U00010000-\U0010ffff]++|[^\x00-\uffff{_ABOVE}]++)*+")
# Of a text of ASCII alone its bytes are looked at, which takes a tenth of the time.
_ILLEGAL_BYTES = bytes([each for each in range(128) if _ILLEGAL.match(chr(each))])
_NEWLINE = re.compile("\r\n?")
_BREAK = re.compile("[\t\r\n]+")
_TAG = re.compile(r'<[a-zA-Z/!](?:[^<>"]|"[^"]*")*>')
_LINE_TAG = re.compile(r"<br\b[^<>]*>\n?")
_IMAGE_TAG = re.compile(r'<img\b(?:[^<>"]|"[^"]*")*>')  # it stands between the words on its sides
_CELL_TAG = re.compile(r"</t[dh]>")
_ROW_TAG = re.compile(r"</?(?:li|dt|dd|tr|rp)\b[^<>]*>")
_BLOCK_TAG = re.compile(
    r"</?(?:p|h2|h3|h4|ul|ol|dl|blockquote|figure|figcaption|pre|table|caption|hr|div)\b[^<>]*>"
)
_PARAGRAPH = re.compile("\n{2,}")


def legal(text: str) -> str:
    """The text without the characters that no document may hold."""
    if text.isascii():
        raw = text.encode()
        rest = raw.translate(None, _ILLEGAL_BYTES)
        return text if len(rest) == len(raw) else rest.decode()
    # Seeing that there are none takes half as long as removing them.
    return text if _LEGAL.fullmatch(text) else _ILLEGAL.sub("", text)


def line(text: str) -> str:
    """Legal text on one line, trimmed."""
    return legal(_BREAK.sub(" ", text)).strip()


def prose(text: str) -> str:
    """Legal text of several lines, which end in a line feed; trimmed."""
    return legal(_NEWLINE.sub("\n", text)).strip()


def from_html(markup: str) -> str:
    """The text that a reader sees of sanitised HTML: empty lines between paragraphs, a line feed for <br> and items."""
    flat = markup if "\n" not in markup or "<pre" in markup else _on_one_line(markup)
    flat = flat.replace("</p> <p>", "</p><p>").replace("</p><p>", "\n\n")  # most tags of most stories
    if flat.startswith("<p>") and flat.endswith("</p>") and "<" not in flat[3:-4]:  # there are no others
        return _trimmed(flat[3:-4])
    flat = _IMAGE_TAG.sub(" ", _LINE_TAG.sub("\n", flat))
    flat = _ROW_TAG.sub("\n", _CELL_TAG.sub(" ", flat))
    return _trimmed(_TAG.sub("", _BLOCK_TAG.sub("\n\n", flat)))


def _trimmed(flat: str) -> str:
    """Text that has entities, without blanks and line feeds that a reader would not see."""
    flat = _no_longer(" ", 1, _unescaped(flat).replace("\t", " "))
    return _no_longer("\n", 2, _bare_lines(flat)).strip()


def _unescaped(text: str) -> str:
    try:
        return entities.unescape(text)
    except ValueError:  # a reference of more than 4,300 digits: none of such a text is read
        return text


def _on_one_line(markup: str) -> str:
    # Not by a pattern: one for the blanks around a line feed takes the square of the time in a long run of blanks.
    return " ".join(line.strip(" \t") for line in markup.split("\n"))


def _bare_lines(text: str) -> str:
    """Without one blank before and after each line feed: a fraction of the time of a pattern for it."""
    return text.replace(" \n", "\n").replace("\n ", "\n")


def _no_longer(character: str, most: int, text: str) -> str:
    """Runs of the character cut to `most`, in fewer than log(length) + 2 passes: ten times as fast as a pattern."""
    longest, cut = character * (most + 1), character * most
    while longest in text:
        text = text.replace(longest, cut)
    return text


def to_html(text: str) -> str:
    """Escaped text in <p>, one for each paragraph, with <br> for the lines within."""
    paragraphs = (part.strip() for part in _PARAGRAPH.split(_bare_lines(prose(text))))
    return "".join(f"<p>{_escaped(part)}</p>" for part in paragraphs if part)


def _escaped(text: str) -> str:
    # As the HTML standard writes text out (13.3), so that the sanitiser has nothing to change in it.
    return entities.escape(text, quote=False).replace("\xa0", "&nbsp;").replace("\n", "<br>")


def shown(name: str) -> str:
    """A name from outside, safe to repeat: short, and without what UTF-8 cannot write."""
    return line(name)[:100]
