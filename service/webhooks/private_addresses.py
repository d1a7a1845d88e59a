"""Networks that pushes may not reach unless the operator allows them: judged when an endpoint is added, and at each
connection by workers/net/address_guard.py."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

from service.settings import Network

# `is_global` alone is not to be trusted: depending on the Python version it lets some of these through.
_REFUSED_NETWORKS: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), words)
    for network, words in (
        ("169.254.169.254/32", "a cloud's metadata service"),
        ("100.100.100.200/32", "a cloud's metadata service"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("fd00:ec2::/32", "a cloud's metadata service"),
        ("127.0.0.0/8", "this machine itself (loopback)"),
        ("::1/128", "this machine itself (loopback)"),
        ("0.0.0.0/8", "no address at all (unspecified)"),
        ("::/128", "no address at all (unspecified)"),
        ("10.0.0.0/8", "a private network"),
        ("172.16.0.0/12", "a private network"),
        ("192.168.0.0/16", "a private network"),
        ("fc00::/7", "a private network"),
        ("fec0::/10", "a private network"),
        ("100.64.0.0/10", "a carrier's private network (CGNAT)"),
        ("169.254.0.0/16", "the local link"),
        ("fe80::/10", "the local link"),
        ("224.0.0.0/4", "a multicast group"),
        ("ff00::/8", "a multicast group"),
        ("192.88.99.0/24", "a 6to4 relay, which may lead into a private network"),
        ("2002::/16", "a 6to4 address, which may lead into a private network"),
        ("2001::/32", "a Teredo address, which may lead into a private network"),
        ("64:ff9b::/96", "a NAT64 address, which may lead into a private network"),
        ("64:ff9b:1::/48", "a NAT64 address, which may lead into a private network"),
        ("::/96", "an IPv4 address in an old IPv6 form"),
        ("3fff::/20", "an address for documentation"),
        ("192.0.0.0/24", "reserved for protocols, with a cloud's metadata service among them"),
    )
)
_PUBLIC_IPV6 = ip_network("2000::/3")  # all that is given out so far (RFC 4291, IANA)


def as_connected_to(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address written as IPv6 (::ffff:a.b.c.d) is that IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def why_private(address: IPv4Address | IPv6Address) -> str | None:
    """The reason why the address is not on the public internet, in words; None for one that is."""
    for network, words in _REFUSED_NETWORKS:
        if address in network:
            return words
    if not address.is_global or address.is_reserved or address.is_multicast:
        return "reserved, not an address on the public internet"
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return "reserved, not an address on the public internet"
    return None
