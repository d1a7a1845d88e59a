"""The form of a document that a request accepts, and that each form is the document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.serving.accept_encoding import CODINGS, acceptable
from service.serving.compression import Coding, compress
from tests.publisher import UNPACK


@pytest.mark.parametrize(
    ("header", "best_first"),
    [
        (None, ("identity",)),
        ("", ("identity",)),
        ("gzip", ("gzip", "identity")),
        ("x-gzip", ("gzip", "identity")),
        ("gzip, deflate", ("gzip", "identity")),
        ("deflate, gzip, br, zstd", ("br", "zstd", "gzip", "identity")),
        ("gzip;q=1.0, br;q=0.5", ("gzip", "br", "identity")),
        ("GZIP ; Q=0.8 , BR;q=0", ("gzip", "identity")),
        ("*", ("br", "zstd", "gzip", "identity")),
        ("*;q=0.1, zstd", ("zstd", "br", "gzip", "identity")),
        ("gzip;q=0.2, identity;q=0.5", ("identity", "gzip")),
        ("gzip, identity;q=0", ("gzip",)),
        ("identity;q=0", ()),
        ("*;q=0", ()),
        ("*;q=0, gzip", ("gzip",)),
        ("deflate, identity;q=0", ()),
        ("gzip;q=nonsense, br;q=7, ;;, =", ("identity",)),
        ("gzip;q=nan", ("identity",)),
    ],
)
def test_the_best_form_that_a_request_takes_comes_first(
    header: str | None, best_first: tuple[Coding, ...]
) -> None:
    assert acceptable(header) == best_first


@given(st.text(st.sampled_from('gzipbrstdeny*;=q0.1, "\t-é'), max_size=300))
def test_no_accept_encoding_is_too_strange(header: str) -> None:
    taken = acceptable(header)
    assert set(taken) <= set(CODINGS)
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("coding", CODINGS)
def test_every_form_unpacks_to_the_document(coding: Coding, best: bool) -> None:
    document = "<rss>战争 " * 500
    packed = compress(document.encode(), coding, best=best)
    assert UNPACK[coding](packed).decode() == document
    assert packed == compress(document.encode(), coding, best=best)


@given(st.binary(max_size=2000))
def test_any_bytes_survive_every_form(document: bytes) -> None:
    for coding in CODINGS:
        assert UNPACK[coding](compress(document, coding, best=False)) == document
