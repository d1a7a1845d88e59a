"""Judges where pushes may connect to: on the resolved address, at the moment of connecting.

A partner's name may lead anywhere, and elsewhere the next time: the address is judged, never the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from service.settings import Network
from service.webhooks.endpoint_urls import port_refusal
from service.webhooks.private_addresses import as_connected_to, why_private


def refusal(address: str, port: int, allowed: Sequence[Network]) -> str | None:
    """Why a push may not connect there, in words; None if it may.

    `address` is a numeric IPv4 or IPv6 address, a zone (`%eth0`) ignored. An address inside one of the
    `allowed` networks passes whatever it is; the port is judged all the same. Never raises: a text that is no
    address is refused.
    """
    if words := port_refusal(port):
        return words
    try:
        found = as_connected_to(ip_address(address.partition("%")[0]))
    except ValueError:
        return f"'{address}' is not an internet address"
    if any(found in network for network in allowed):
        return None
    words = why_private(found)
    return f"{found} is {words} (DATELINE_ALLOW_NETWORKS can allow it)" if words else None
