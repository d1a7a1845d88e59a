"""Limits of a server: what one client, one source and all of them together may take. docs/serving.md lists them."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

CONNECTIONS = 4096
# The most files that the process has open besides its connections.
OTHER_FILES = 128

Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Limits:
    """Seconds, bytes and counts, all of one process."""

    connections: int = CONNECTIONS
    # Of one client address. Behind it may be an office or a proxy that is not named as trusted.
    per_address: int = 512
    # For a whole head to arrive: from the connection's start, later from the head's first byte.
    head_seconds: float = 10.0
    head_bytes: int = 32 * 1024
    headers: int = 100
    # Longer than proxies and balancers keep theirs: they should end a connection, for they know that it is idle.
    keep_alive_seconds: float = 75.0
    # For a whole body to arrive, and the least that must come in each span.
    body_seconds: float = 60.0
    rate_seconds: float = 5.0
    rate_bytes: int = 5 * 1024
    # All bodies that are being read, wait or are worked on.
    body_bytes: int = 64 * 2**20
    # A refused body is read on so far, so that its sender reads the refusal.
    drain_bytes: int = 16 * 2**20
    drain_seconds: float = 10.0
    # In which a client must read some of its answer.
    send_seconds: float = 60.0
    # Answers that slow clients have not read yet; an answer that several read counts once.
    unsent_bytes: int = 64 * 2**20
    # That a refused client has to read the refusal of something that is not HTTP.
    linger_seconds: float = 2.0
    # Requests that may wait on a connection behind one that is being answered.
    pipelined: int = 32
    # Requests that wait for a thread, for each kind of thread, and how long they may.
    queue: int = 128
    queue_seconds: float = 10.0
    # Once the server is to end: for requests to be answered, and for clients to read their answers.
    end_seconds: float = 5.0
    hang_up_seconds: float = 3.0
    trusted: tuple[Network, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether this address is that of a proxy of ours."""
        return bool(self.trusted) and _is_within(address, self.trusted)

    def client_of(self, address: str, forwarded_for: str) -> str:
        """The client's address: the last one that no proxy of ours has, by X-Forwarded-For if a proxy of ours asks."""
        if not self.trusts(address):
            return address
        for each in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
            address = each
            if not self.trusts(each):
                break
        return address


def connections_max() -> int:
    """CONNECTIONS, or as many as the limit of open files allows. Raises the process's own limit if that is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    else:
        soft = wanted
    return max(soft - OTHER_FILES, soft // 2)


def _is_within(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
