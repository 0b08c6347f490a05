"""Whose request it is, as far as the network tells: the client's address behind proxies that we trust (SAFETY S8)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from guerdon.kit.ratelimit import address_key

Networks = Sequence[IPv4Network | IPv6Network]


def client_address(peer: str, forwarded: str | None, trusted: Networks) -> str:
    """The address that counts as the client's: what a trusted proxy says of its peer, and nobody else (SAFETY S8).

    `forwarded` is `X-Forwarded-For`, read from its end: each proxy appends whom it got the request from, so the first
    address that is no proxy of ours is the last one that we know to be true. IPv6 counts by /64.
    """
    address = peer
    for entry in reversed(forwarded.split(",") if forwarded else ()):
        if not _is_one_of(address, trusted):
            break
        address = entry.strip()
    try:
        return address_key(address)
    except ValueError:
        # A proxy of ours passed on what is no address, or the server listens on a Unix socket.
        return "unknown"


def _is_one_of(address: str, networks: Networks) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
