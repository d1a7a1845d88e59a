"""Language tags (BCP 47, RFC 5646): judged by the registry of IANA, written in its capitals."""

from __future__ import annotations

from functools import lru_cache

MAX_LENGTH = 35  # RFC 5646 (4.4.1) has all tags of today fit into it


class NoLanguageTag(ValueError):
    """The text is no language tag, or names a language, script or region that is not registered."""


@lru_cache(maxsize=1_000)
def canonical(tag: str) -> str:
    """`zh-hans-cn` as `zh-Hans-CN`; no part is replaced by another. Raises NoLanguageTag.

    Private tags (`x-klingon`) and the old ones of the registry (`i-default`) are good tags too.
    """
    import langcodes  # noqa: PLC0415 - its tables take a third of a second, which few commands need
    from langcodes.tag_parser import parse_tag  # noqa: PLC0415

    if len(tag) > MAX_LENGTH or not tag.isascii() or "_" in tag or not langcodes.tag_is_valid(tag):
        raise NoLanguageTag(tag[:MAX_LENGTH])
    return "-".join(part for _, part in parse_tag(tag))  # type: ignore[no-untyped-call]
