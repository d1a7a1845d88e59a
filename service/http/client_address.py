"""The real client of a request behind proxies: the right-most address that no trusted proxy vouches for.

A client may write anything into `X-Forwarded-For` or `Forwarded`; each proxy adds on the right the address that it saw.
So they are read from the right, and only as far as the addresses are those of DATELINE_TRUSTED_PROXIES.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from flask import Request

from service.settings import Network

Address = IPv4Address | IPv6Address
_HOPS = 32  # more than any chain of proxies has
_FORWARDING_HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")


def client_address(request: Request, trusted: Sequence[Network]) -> str:
    """The client's address as text; '' where there is none, as over a socket file."""
    address = _read(request.remote_addr or "")
    if address is None or not _is_trusted(address, trusted):
        return request.remote_addr or ""
    for hop in _hops(request):
        found = _read(hop)
        if found is None:  # 'unknown', or no address: the last one that is known stands
            break
        address = found
        if not _is_trusted(found, trusted):
            break
    return str(address)


def limited_address(request: Request, trusted: Sequence[Network]) -> str:
    """The address that limits are counted by: of IPv6 the network of a household, /64, for it has all of it."""
    return household(client_address(request, trusted))


def household(text: str) -> str:
    """The addresses that one client has to itself: one of IPv4; of IPv6 the whole network of a household, /64."""
    if ":" not in text:
        return text
    address = _read(text)
    if isinstance(address, IPv6Address):
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return text if address is None else str(address)


def is_local(request: Request, trusted: Sequence[Network]) -> bool:
    """Whether the client is on this very machine. What a proxy passed on is not, unless the proxy is trusted."""
    address = _read(client_address(request, trusted))
    peer = _read(request.remote_addr or "")
    if address is None or peer is None or not address.is_loopback:
        return False
    return _is_trusted(peer, trusted) or not any(name in request.headers for name in _FORWARDING_HEADERS)


def _hops(request: Request) -> Iterator[str]:
    """The addresses that the proxies saw, the nearest first."""
    if "X-Forwarded-For" in request.headers:
        listed = ",".join(request.headers.getlist("X-Forwarded-For")).split(",")
        return iter([each.strip() for each in listed[-_HOPS:]][::-1])
    listed = ",".join(request.headers.getlist("Forwarded")).split(",")
    found = [re.search(r'(?:^|;)\s*for="?([^";,]+)"?', each, re.IGNORECASE) for each in listed[-_HOPS:]]
    return iter([each[1].strip() if each else "" for each in found][::-1])


def _is_trusted(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == each.version and address in each for each in trusted)


def _read(text: str) -> Address | None:
    """An address, in brackets or with a port too. One of IPv4 within IPv6 counts as IPv4."""
    bare = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([0-9.]+):\d+", text)
    try:
        address = ip_address(next(filter(None, bare.groups())) if bare else text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
