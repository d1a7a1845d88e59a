"""The refusals of the store. Each error carries the fact that its caller needs to answer in words."""

from __future__ import annotations

from collections.abc import Sequence


class StoreError(Exception):
    """Base of all refusals; nothing was changed."""


class NotFound(StoreError):
    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name!r}")
        self.what, self.name = what, name


class AlreadyExists(StoreError):
    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"the {what} {name!r} exists already")
        self.what, self.name = what, name


class UnknownSections(StoreError):
    """Raised with the slugs that are no section of this desk, in the order given."""

    def __init__(self, slugs: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(
            f"unknown sections: {', '.join(slugs)}; this desk has: {', '.join(known) or 'none yet'}"
        )
        self.slugs, self.known = tuple(slugs), tuple(known)


class KeyReused(StoreError):
    """The idempotency key was used before, for another body."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the idempotency key {key!r} was used before for another body")
        self.key = key


class ChangedMeanwhile(StoreError):
    """The article changed since it was looked up in its system: look it up again."""

    def __init__(self, external_id: str) -> None:
        super().__init__(f"the article {external_id!r} changed while it was looked up")
        self.external_id = external_id


class NotPossible(StoreError):
    """The state does not allow the request. The text says why and what to do."""


class SchemaBehind(StoreError):
    """The record's schema is not the one this version needs."""


class RecordUnavailable(StoreError):
    """The database is away, locked too long or full, or it ended the transaction. Nothing was written: try again."""
