"""How addresses and networks are written: the form they are stored and compared in, and the one they are shown in. Pure.

EVM addresses are compared without case and shown checksummed; Solana's keep their case, for in base58 it means something.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from solders.pubkey import Pubkey

from guerdon.accounts.errors import InvalidAddressError, NetworkUnknownError
from guerdon.accounts.wallets import checksummed
from guerdon.chains.networks import EIP155, KNOWN_NETWORKS, SOLANA, UnknownNetworkError, caip2_of, known_network, parse_caip2

_EVM: Final = re.compile(r"0[xX][0-9a-fA-F]{40}")
_SOLANA: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32,44}")


@dataclass(frozen=True, slots=True)
class NamedNetwork:
    """A network that a member names: which kind of chain, and which one."""

    name: str
    """By which it is known, else its CAIP-2 id."""
    namespace: str
    chain_id: int | None
    """Of an EVM network."""


def network_named(text: str) -> NamedNetwork:
    """The network of a name (`base`) or a CAIP-2 id. Raises `NetworkUnknownError`."""
    try:
        caip2 = caip2_of(text.strip())
    except UnknownNetworkError as error:
        raise NetworkUnknownError(
            f"No network is known by this name; known are {', '.join(KNOWN_NETWORKS)}, and CAIP-2 ids."
        ) from error
    namespace, reference = parse_caip2(caip2)
    try:
        name = known_network(caip2).name
    except UnknownNetworkError:
        name = caip2
    return NamedNetwork(name, namespace, int(reference) if namespace == EIP155 else None)


def canonical(namespace: str, text: str) -> str:
    """The address as it is stored and compared. Raises `InvalidAddressError`."""
    address = text.strip()
    if namespace == EIP155 and _EVM.fullmatch(address) is not None:
        return address.lower()
    if namespace == SOLANA and _SOLANA.fullmatch(address) is not None:
        try:
            return str(Pubkey.from_string(address))
        except ValueError as error:
            raise InvalidAddressError("This is no Solana address: in base58 it has to be 32 bytes.") from error
    raise InvalidAddressError


def shown(namespace: str, address: str) -> str:
    """A stored address as people and wallets know it."""
    return checksummed(bytes.fromhex(address[2:])) if namespace == EIP155 else address
