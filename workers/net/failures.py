"""Exchanges that brought no answer: their kinds and their words. Pure."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pycurl

from service.plain_text import printable
from workers.net.exchange import Exchange

_LONGEST_ERROR = 200  # characters of libcurl's own words

# OpenSSL's findings about a certificate (X509_V_ERR_…).
_CERTIFICATE_FAULTS = {
    7: "the partner's certificate has a signature that does not fit",
    9: "the partner's certificate is not valid yet",
    10: "the partner's certificate has expired",
    18: "the partner's certificate is self-signed, so nobody vouches for it",
    19: "the partner's certificate is from an authority not trusted here",
    20: "the partner's certificate is from an authority not trusted here, or its chain is incomplete",
    21: "the partner's certificate chain is incomplete",
    23: "the partner's certificate was revoked",
    24: "the partner's certificate is from one that may not issue any",
    26: "the partner's certificate is not one for a server",
    62: "the partner's certificate is for another name",
    64: "the partner's certificate is for another address",
    66: "the partner's certificate has a key that is too weak",
    68: "the partner's certificate is signed by a method that is too weak",
}
_KINDS = {
    pycurl.E_OK: "closed",  # libcurl is content with an answer that ends among its headers
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_CONNECT: "connect",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_SSL_CERTPROBLEM: "tls",
    pycurl.E_SSL_CIPHER: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SSL_ISSUER_ERROR: "tls",
    pycurl.E_SSL_INVALIDCERTSTATUS: "tls",
    pycurl.E_GOT_NOTHING: "closed",
    pycurl.E_RECV_ERROR: "closed",
    pycurl.E_SEND_ERROR: "closed",
    pycurl.E_PARTIAL_FILE: "closed",
    pycurl.E_SEND_FAIL_REWIND: "closed",
}


def failure(exchange: Exchange) -> tuple[str, str]:
    """Kind and words of an exchange that brought no answer. Every exchange has both."""
    if exchange.blocked:
        return "blocked", f"was not called: {exchange.blocked}"
    kind = _KINDS.get(exchange.code, "garbled" if exchange.request_bytes else "unsent")
    return kind, _WORDS[kind](exchange)


def _timeout_words(exchange: Exchange) -> str:
    after = f"{round(exchange.total / 1_000_000, 1):g} s"
    if exchange.header_lines:
        return f"did not finish its answer within {after} (it had begun)"
    if exchange.request_bytes:
        return f"did not answer within {after} (connected, no first byte)"
    if exchange.connected and exchange.https:
        return f"did not finish the TLS handshake within {after} (connected)"
    if exchange.lookup:
        return f"did not accept a connection within {after}"
    return f"the partner's name was not found within {after} (no answer from DNS)"


_CONNECT_FAULTS = {
    errno.ECONNREFUSED: "refused the connection: nothing listens at that port",
    errno.ECONNRESET: "broke the connection off as it was being made",
    errno.EHOSTUNREACH: "no machine answers at that address",
    errno.ENETUNREACH: "no network leads to that address from here",
    errno.EADDRNOTAVAIL: "no address or port of this machine is left to call from",
}


def _connect_words(exchange: Exchange) -> str:
    fault = _CONNECT_FAULTS.get(exchange.errno)
    return fault or f"nobody answers at that address ({_plain(exchange.error)})"


def _tls_words(exchange: Exchange) -> str:
    if fault := _CERTIFICATE_FAULTS.get(exchange.verify):
        return fault
    if "subject name" in exchange.error or "does not match" in exchange.error:
        return _CERTIFICATE_FAULTS[62]
    if exchange.code == pycurl.E_PEER_FAILED_VERIFICATION:
        return f"the partner's certificate cannot be trusted ({_plain(exchange.error)})"
    return f"no secure connection could be agreed on ({_plain(exchange.error)})"


def _closed_words(exchange: Exchange) -> str:
    if exchange.header_lines:
        return "closed the connection in the middle of its answer"
    if exchange.request_bytes:
        return "closed the connection without an answer"
    return "closed the connection before the push was sent"


_WORDS: dict[str, Callable[[Exchange], str]] = {
    "timeout": _timeout_words,
    "dns": lambda _: "no server with that name (DNS)",
    "connect": _connect_words,
    "tls": _tls_words,
    "closed": _closed_words,
    "garbled": lambda exchange: f"sent an answer that cannot be read: {_plain(exchange.error)}",
    "unsent": lambda exchange: f"could not be called: {_plain(exchange.error)}",
}


def _plain(error: str) -> str:
    return printable(error.strip().rstrip(".")[:_LONGEST_ERROR]) or "no reason was given"
