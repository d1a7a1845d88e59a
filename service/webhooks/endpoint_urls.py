"""The addresses that a partner's endpoint may have: checked when it is added, before any name is looked up.

The address behind the name is checked at every connection instead (workers/net/address_guard.py): it may change.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit

from service.settings import Network
from service.webhooks.private_addresses import as_connected_to, why_private

URL_LENGTH = 2_048
_HOST_MAX, _LABEL_MAX = 254, 63  # RFC 1035 (3.1), with a dot at the end
_NUMERIC = re.compile(
    r"[0-9]+|0[xX][0-9a-fA-F]*"
)  # a last part that makes browsers and curl read an IPv4 address


class UrlRefused(ValueError):
    """An address that pushes may not go to. The text says why and what to write instead."""


def check_url(url: str, *, allow_http: bool, allowed: Sequence[Network]) -> None:
    """Raises UrlRefused unless `url` is one that an endpoint may have.

    https, or http if allowed by setting or the host is an address inside the `allowed` networks; no private
    address outside of those, no user name or password in it, no fragment, and a port that pushes may go to.
    """
    parts, port = _parsed(url)
    if parts.username is not None or parts.password is not None:
        raise UrlRefused(
            "The address contains a user name or password; pushes are signed instead: leave it out."
        )
    if parts.fragment or "#" in url:
        raise UrlRefused("The address has a part after '#', which is never sent: leave it out.")
    _check_host(parts.hostname or "", allowed)
    if parts.scheme == "http" and not allow_http and not _inside(parts.hostname or "", allowed):
        raise UrlRefused("The address must begin with https://; DATELINE_ALLOW_HTTP=true allows http:// too.")
    if words := port_refusal(port):
        raise UrlRefused(f"The address has a port that pushes may not go to: {words}.")


def port_refusal(port: int) -> str | None:
    """The reason why pushes may not go to this port, or None. Below 1024 there are services, not receivers."""
    if port in (80, 443) or 1024 <= port <= 65535:
        return None
    return f"port {port} is not 80, 443 or from 1024 to 65535"


def _parsed(url: str) -> tuple[SplitResult, int]:
    if len(url) > URL_LENGTH:
        raise UrlRefused(f"The address has more than {URL_LENGTH:,} characters: write a shorter one.")
    if any(character.isspace() or not character.isprintable() for character in url) or "\\" in url:
        raise UrlRefused("The address contains blanks, control characters or backslashes: remove them.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UrlRefused(f"This is not a web address: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UrlRefused(
            "This is not a web address: write for example https://partner.example/hooks/dateline."
        )
    return parts, port if port is not None else {"http": 80, "https": 443}[parts.scheme]


def _check_host(host: str, allowed: Sequence[Network]) -> None:
    """Refuses an address that cannot be reached from outside; a name that leads there is refused at the connection."""
    _check_spelling(host)
    address = _address(host)
    if address is None or _inside(host, allowed) or (words := why_private(address)) is None:
        return
    network = "127.0.0.0/8" if address.is_loopback and address.version == 4 else str(address)
    raise UrlRefused(
        f"{host} is {words}: this machine or in a private network, where pushes do not go."
        f" DATELINE_ALLOW_NETWORKS={network} allows it: set it here, and where 'dateline up' runs."
    )


def _check_spelling(host: str) -> None:
    """Refuses a host that one program reads as a name and another as an address, such as 127.1, 0x7f.1 or ①."""
    if "%" in host:
        raise UrlRefused(f"The host {host} has a % in it: write its letters as they are, and no zone.")
    plain = unicodedata.normalize("NFKC", host).replace("\u3002", ".")
    if plain != host:
        raise UrlRefused(f"The host {host} has letters or digits that stand for others: write {plain}.")
    labels = host.removesuffix(".").split(".")
    if len(host) > _HOST_MAX or not all(0 < len(label) <= _LABEL_MAX for label in labels):
        raise UrlRefused(
            f"{host[:_LABEL_MAX]} is no host: its parts have 1 to 63 letters, and there are 253 in all."
        )
    if _NUMERIC.fullmatch(labels[-1]) and _address(host) is None:
        raise UrlRefused(
            f"{host} looks like an IPv4 address in another writing: write four numbers from 0 to 255"
            " without leading zeros, such as 203.0.113.7, or a name."
        )


def _address(host: str) -> IPv4Address | IPv6Address | None:
    host = host.removesuffix(".")
    try:
        named = host == "localhost" or host.endswith(".localhost")
        return as_connected_to(ip_address("127.0.0.1" if named else host))
    except ValueError:
        return None


def _inside(host: str, allowed: Sequence[Network]) -> bool:
    """Tells whether the host is an address (or this machine) inside the networks; a name is not looked up."""
    address = _address(host)
    return address is not None and any(address in network for network in allowed)
