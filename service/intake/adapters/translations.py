"""Translations: one record of a system in several locales, each a story of its own, for an article has one language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.intake.adapters.json_values import an_id

_BETWEEN = "."  # the record's id and the locale
_LOCALE = re.compile(r"[a-zA-Z]{2,3}(?:[-_][a-zA-Z0-9]{2,8}){0,3}", re.ASCII)


def is_locale(value: Any) -> bool:
    return isinstance(value, str) and _LOCALE.fullmatch(value) is not None


def story_id(record_id: str, locale: Any) -> str:
    """The id of a record's story in a locale; the record's own without one."""
    return an_id([f"{record_id}{_BETWEEN}{locale}"], 0) if is_locale(locale) else record_id


def id_parts(of_story: str) -> tuple[str, str]:
    """The record's id and the locale in a story's id; the locale is empty if there is none in it."""
    record_id, between, locale = of_story.rpartition(_BETWEEN)
    return (record_id, locale) if between and record_id and is_locale(locale) else (of_story, "")


def locales_of(value: Any) -> list[str] | None:
    """Of a field in all its locales, those that have a value; None for a field that is not translated."""
    if not isinstance(value, Mapping) or not value or not all(map(is_locale, value)):
        return None
    return [locale for locale, text in value.items() if text]
