"""The few words that feeds add of their own, in the story's language if we have it."""

from __future__ import annotations

from dataclasses import dataclass

from feeds.model import Withdrawal


@dataclass(frozen=True)
class WithdrawalNotice:
    """The words in the place of a withdrawn story."""

    title: str
    text: str
    language: str


_CORRECTION = {"en": "Correction:", "zh": "更正：", "ur": "تصحیح:"}
_SOURCE = {"en": "Source:", "zh": "来源：", "ur": "ماخذ:"}
_NOTICES: dict[str, dict[Withdrawal, tuple[str, str]]] = {
    "en": {
        "killed": (
            "Story withdrawn",
            "This story has been withdrawn by its publisher. Remove it and do not publish it again.",
        ),
        "withheld": (
            "Story withheld",
            "This story has been withheld by its publisher. Do not publish it until it is released again.",
        ),
        "unpublished": ("Story no longer available", "This story is no longer available from its publisher."),
    },
    "zh": {
        "killed": ("稿件已撤回", "此稿件已由发布者撤回。请予删除，不得再次发布。"),
        "withheld": ("稿件暂停使用", "此稿件已由发布者暂停使用。在重新发布之前请勿刊用。"),
        "unpublished": ("稿件不再提供", "发布者已不再提供此稿件。"),
    },
    "ur": {
        "killed": (
            "خبر واپس لے لی گئی",
            "یہ خبر اس کے ناشر نے واپس لے لی ہے۔ اسے ہٹا دیں اور دوبارہ شائع نہ کریں۔",
        ),
        "withheld": (
            "خبر روک لی گئی",
            "یہ خبر اس کے ناشر نے روک لی ہے۔ دوبارہ جاری ہونے تک اسے شائع نہ کریں۔",
        ),
        "unpublished": ("خبر اب دستیاب نہیں", "یہ خبر اس کے ناشر کے ہاں اب دستیاب نہیں ہے۔"),
    },
}


def correction_label(language: str | None) -> str:
    return _CORRECTION[_spoken(language)]


def source_label(language: str | None) -> str:
    """It stands before the first publisher of a republished story."""
    return _SOURCE[_spoken(language)]


def notice(kind: Withdrawal, language: str | None) -> WithdrawalNotice:
    spoken = _spoken(language)
    title, text = _NOTICES[spoken][kind]
    return WithdrawalNotice(title, text, spoken)


def _spoken(language: str | None) -> str:
    """The one of our languages that a reader of `language` reads; English if we have none."""
    primary = (language or "en").split("-")[0].lower()
    return primary if primary in _NOTICES else "en"
