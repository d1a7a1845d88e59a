"""The words by which an article is found: texts of any script, split and folded alike for the index and a question.

A word is folded: case, accents, Arabic vowel signs and the two shapes of yeh and kaf make no difference, and full-width
letters are the plain ones. Scripts that put no blanks between words (Chinese, Japanese, Thai …), and Korean, are split
into pairs of characters, so that a word inside a sentence is found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple
from urllib.parse import unquote

WORDS_MOST = 600  # of an article: its id and its headline have fewer
TERMS_MOST = 24  # of a question
WORD_LENGTH = 40  # characters; a longer word is cut into several

_ADDRESS = re.compile(r"https?://(\S+)", re.IGNORECASE)
_LATIN = re.compile(f"[0-9a-z]{{1,{WORD_LENGTH}}}")
# Thai, Lao, Tibetan, Burmese, Khmer; Hangul; kana, bopomofo and Han.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u19e0-\u19ff\u3005-\u3007\u3040-\u318f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"[^ {_UNSPACED}]{{1,{WORD_LENGTH}}}|[{_UNSPACED}]+")
_SPACED = re.compile(f"[^{_UNSPACED}]")
_SAME = {"\u064a": "\u06cc", "\u0649": "\u06cc", "\u0643": "\u06a9", "\u0640": ""}
_JOINED_MARKS = 10  # combining classes below it belong to the letter in its script, as a virama does


class SearchTerm(NamedTuple):
    """A word that an article must have; with `prefix`, or one that begins with it."""

    word: str
    prefix: bool


def article_words(external_id: str, status: str, content: Mapping[str, Any]) -> str:
    """The words of an article, with blanks between them. Of a killed story only its id is found."""
    texts = [external_id]
    if status != "killed":
        texts += (text for text in _texts(content) if isinstance(text, str))
    return " ".join(islice(dict.fromkeys(chain.from_iterable(map(_words, texts))), WORDS_MOST))


def question_terms(question: str) -> list[SearchTerm]:
    """The terms that an article must all have. None for a text without letters and digits."""
    terms = dict.fromkeys(term for run in _runs(_plain(question)) for term in _terms(run))
    return list(islice(terms, TERMS_MOST))


def has_all(text: str, terms: Iterable[SearchTerm]) -> bool:
    """Whether a text has all these terms, as an article that is found has."""
    words = f" {' '.join(_words(text))} "
    return all(f" {each.word}" + ("" if each.prefix else " ") in words for each in terms)


def _texts(content: Mapping[str, Any]) -> Iterator[Any]:
    yield content.get("headline")
    origin = content.get("origin")
    if isinstance(origin, Mapping):
        yield origin.get("name")
    authors = content.get("authors")
    for author in authors if isinstance(authors, list) else ():
        yield author.get("name") if isinstance(author, Mapping) else author
    yield content.get("original_author")
    yield content.get("url")


def _words(text: str) -> Iterable[str]:
    text = _plain(text)
    if text.isascii():  # as most are: read fast
        return _LATIN.findall(text.lower())
    return [word for run in _runs(text) for word in ([run] if _is_spaced(run) else _pairs(run))]


def _pairs(run: str) -> list[str]:
    """The last character too, so that each can be asked for by itself."""
    return [first + second for first, second in pairwise(run)] + [run[-1]]


def _terms(run: str) -> Iterable[SearchTerm]:
    if _is_spaced(run):
        return [SearchTerm(run, len(run) > 1)]
    if len(run) == 1:
        return [SearchTerm(run, True)]
    return [SearchTerm(pair, False) for pair in _pairs(run)[:-1]]


def _is_spaced(run: str) -> bool:
    return run.isascii() or _SPACED.match(run) is not None


def _plain(text: str) -> str:
    """Web addresses as the words that they have."""
    return _ADDRESS.sub(lambda found: f" {unquote(found[1])} ", text) if "://" in text else text


def _runs(text: str) -> list[str]:
    """Words, folded, of which each is of one kind of script."""
    folded = unicodedata.normalize("NFKD", text).casefold().translate(_FOLDED)
    return _RUNS.findall(unicodedata.normalize("NFC", folded))


class _FoldedCharacters(dict[int, str]):
    """By code point: the letter, nothing for what is left out, a blank for what parts words. Filled as letters come."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _fold(chr(code))
        return folded


def _fold(char: str) -> str:
    category = unicodedata.category(char)
    if char in _SAME:
        return _SAME[char]
    if category == "Cf" or unicodedata.combining(char) >= _JOINED_MARKS:
        return ""
    return char if category[0] in "LNM" else " "


_FOLDED = _FoldedCharacters()
