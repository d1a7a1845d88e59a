"""The kinds of feeds, and in which of them an article stands by its content. Pure.

| slug | its stories |
|---|---|
| `all` | everything |
| `world` | a section: added by the operator |
| `package/china-focus` | a package (a special report): named by the articles themselves |
| `language/ur`, `language/zh-hans` | a language, and a language in one script |
| `source/wire` | those of one content system |
| `partner/7` | those for one partner, at an address of its own: in no list, and made of its sections' feeds |

All but sections and partners are made when the first article needs them.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ALL = "all"
AUTOMATIC_KINDS = ("package", "language", "source")
PARTNER = "partner"
PRIVATE_SLUGS = f"{PARTNER}/%"  # the slugs of partners' own, as SQL's LIKE has it
RESERVED = frozenset({ALL, *AUTOMATIC_KINDS})  # no section may take these names

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_OTHER = re.compile(r"[^a-z0-9]+")
_LANGUAGE = re.compile(r"([a-z]{2,3})(?:-([a-z]{4}))?(?:-.*)?")
_NAMES = {
    "ar": "العربية", "bn": "বাংলা", "de": "Deutsch", "en": "English", "es": "Español", "fa": "فارسی",
    "fr": "Français", "hi": "हिन्दी", "id": "Bahasa Indonesia", "it": "Italiano", "ja": "日本語",
    "ko": "한국어", "ms": "Bahasa Melayu", "pa": "ਪੰਜਾਬੀ", "ps": "پښتو", "pt": "Português", "ru": "Русский",
    "sd": "سنڌي", "sw": "Kiswahili", "ta": "தமிழ்", "th": "ไทย", "tr": "Türkçe", "uk": "Українська",
    "ur": "اردو", "vi": "Tiếng Việt", "zh": "中文", "zh-hans": "简体中文", "zh-hant": "繁體中文",
}  # fmt: skip


# The fields of a content that name the feeds of its article.
FEED_FIELDS = ("sections", "packages", "language")


@dataclass(frozen=True)
class Definition:
    """A feed as it is made: `title` is None for a section's, which has the section's."""

    slug: str
    title: str | None = None
    language: str | None = None


def feeds_of(
    content: Mapping[str, Any], *, source: tuple[str, str], sections: Mapping[str, str]
) -> list[Definition]:
    """The feeds in which an article of this content stands. `source` is (slug, name); `sections` leads from
    every name that a section has or had to its feed's slug, and lacks the closed ones."""
    found = [Definition(ALL, "All sections")]
    found += [Definition(sections[name]) for name in content.get("sections", ()) if name in sections]
    found += [package(name) for name in content.get("packages", ())]
    found += languages(content.get("language"))
    found.append(Definition(f"source/{source[0]}", source[1]))
    return list({each.slug: each for each in reversed(found)}.values())[::-1]


def package(name: str, title: str | None = None) -> Definition:
    """A package's feed. Letters that no address can have are replaced; a digest keeps such names apart."""
    if _SLUG.fullmatch(name):
        return Definition(f"package/{name}", title or name)
    folded = unicodedata.normalize("NFKD", name).casefold()
    plain = _OTHER.sub("-", folded).strip("-")[:48].strip("-")
    lost = (
        any(letter.isalnum() and not letter.isascii() for letter in folded) or len(folded) > 48 or not plain
    )
    digest = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8] if lost else ""
    return Definition("package/" + "-".join(filter(None, (plain, digest))), title or name)


def languages(tag: str | None) -> Iterable[Definition]:
    """`zh-Hans-CN` stands in `language/zh` and `language/zh-hans`; a region has no feed of its own."""
    parts = _LANGUAGE.fullmatch((tag or "").lower())
    if not parts:
        return
    primary, script = parts.groups()
    yield Definition(f"language/{primary}", _NAMES.get(primary, primary), primary)
    if script:
        slug = f"{primary}-{script}"
        yield Definition(f"language/{slug}", _NAMES.get(slug, slug), f"{primary}-{script.title()}")


def kind_of(slug: str) -> str:
    """`section` (`all` is one too), `package`, `language`, `source` or `partner`."""
    kind, slash, _ = slug.partition("/")
    return kind if slash else "section"


def of_partner(partner_feed_id: int) -> str:
    """The slug of a partner's feed."""
    return f"{PARTNER}/{partner_feed_id}"


def is_private(slug: str) -> bool:
    """Whether it is a partner's own: it is shown to nobody else, and listed nowhere."""
    return kind_of(slug) == PARTNER
