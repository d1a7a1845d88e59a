"""Text of others, made safe to show: on a terminal, in a log, on a page."""

from __future__ import annotations

import unicodedata

# They join letters, or keep them apart: words of Persian, Urdu and Hindi, and pictures of several, have them.
JOINERS = "\u200c\u200d"
MARK = "\N{REPLACEMENT CHARACTER}"


def printable(text: str, keep: str = "") -> str:
    """The text with a mark for each character that cannot be seen, moves the cursor or turns the direction of writing.

    `keep` has those that may stay, such as line ends.
    """
    if text.isprintable():
        return text
    return "".join(each if _is_seen(each) or each in keep else MARK for each in text)


def terminal_text(words: str) -> str:
    """Words for a terminal, of one line or more: what others wrote among them moves no cursor there."""
    return printable(words, keep="\n\t" + JOINERS)


def is_a_line(text: str) -> bool:
    """Whether it is text of one line, of which every character is seen or joins others."""
    return all(_is_seen(each) or each in JOINERS for each in text)


def _is_seen(character: str) -> bool:
    # Python takes no blank but the common one for printable; Chinese has its own.
    return character.isprintable() or unicodedata.category(character) == "Zs"
