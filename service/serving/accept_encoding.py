"""Content codings: which a request accepts. RFC 9110, 12.5.3."""

from __future__ import annotations

from functools import lru_cache

from service.serving.compression import Coding

IDENTITY: Coding = "identity"
# Where a request likes several equally well: the smallest first. The plain bytes only where nothing else will do.
CODINGS: tuple[Coding, ...] = ("br", "zstd", "gzip", IDENTITY)

_ALIASES = {"x-gzip": "gzip"}
# What no client sends is not worth keeping the reading of.
_LONGEST_KEPT = 200


def acceptable(header: str | None) -> tuple[Coding, ...]:
    """The codings that an Accept-Encoding header takes, the best first. Empty: not even the plain bytes.

    Without a header: the plain bytes, for such clients are old. What is not understood in it is passed over.
    """
    if header is None:
        return (IDENTITY,)
    return _kept(header) if len(header) <= _LONGEST_KEPT else _read(header)


def _read(header: str) -> tuple[Coding, ...]:
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = _weight(parameters)
        if name.strip() and weight is not None:
            weights[_ALIASES.get(name.strip(), name.strip())] = weight
    others = weights.get("*", 0.0)
    wanted = {coding: weights.get(coding, others) for coding in CODINGS}
    if IDENTITY not in weights and "*" not in weights:
        # Accepted unless it is refused, but nobody asked for it.
        wanted[IDENTITY] = 0.0001
    return tuple(sorted((c for c in CODINGS if wanted[c] > 0), key=lambda coding: -wanted[coding]))


_kept = lru_cache(maxsize=512)(_read)


def _weight(parameters: str) -> float | None:
    """The q-value, 1 where there is none; None where it is no number from 0 to 1."""
    for parameter in parameters.split(";"):
        name, separator, value = parameter.partition("=")
        if separator and name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
            return weight if 0 <= weight <= 1 else None
    return 1.0
