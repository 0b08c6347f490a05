"""How networks, addresses and transactions are written: by whoever reports, and with us. Pure.

x402 version 1 and facilitators' databases use names (`base`, `solana-mainnet`), version 2 CAIP-2 ids; both are understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from solders.signature import Signature

from guerdon.accounts.errors import InvalidAddressError
from guerdon.accounts.forms import canonical
from guerdon.chains.networks import EIP155, KNOWN_NETWORKS, NAMESPACES, REFERENCE_CHARACTERS, UnknownNetworkError, caip2_of
from guerdon.txmanager.models import Network as NetworkRow

_SHOWN: Final = 64
_EVM_TRANSACTION: Final = re.compile(r"0x[0-9a-fA-F]{64}")
_SOLANA_TRANSACTION: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{64,88}")


@dataclass(frozen=True, slots=True)
class Network:
    """A network that is set up here."""

    name: str
    namespace: str
    """`eip155` or `solana`."""
    reference: str
    """The chain id in decimal, or how the Solana genesis hash begins: one chain has one, however it is named here. Empty: not
    known yet."""

    @property
    def caip2(self) -> str:
        """Its CAIP-2 id."""
        return f"{self.namespace}:{self.reference}"


@dataclass(frozen=True, slots=True)
class Networks:
    """Those that are set up here, found by any of their names."""

    by_name: dict[str, Network]

    @classmethod
    def of(cls, networks: Iterable[Network]) -> Networks:
        """By name."""
        return cls({network.name: network for network in networks})

    def renamed(self, names: Mapping[str, str]) -> Networks:
        """The same for whoever has other names for some of them: theirs, with ours."""
        known = self.by_name
        return Networks({**known, **{theirs: known[ours] for theirs, ours in names.items() if ours in known}})

    def find(self, text: str) -> Network | None:
        """By our own name, a name that others use, or the CAIP-2 id; None if it is none of ours."""
        named = self.by_name.get(text)
        if named is not None:
            return named
        try:
            wanted = caip2_of(text.strip())
        except UnknownNetworkError:
            return None
        return next((network for network in self.by_name.values() if network.caip2 == wanted), None)


def network_of(row: NetworkRow) -> Network:
    """A network that is set up here. One of Solana that is not known by name is told by its genesis, and has no reference before
    that was seen.
    """
    if row.namespace == EIP155:
        return Network(row.name, EIP155, str(row.chain_id))
    known = KNOWN_NETWORKS.get(row.name)
    reference = (row.genesis_hash or "")[:REFERENCE_CHARACTERS] if known is None else known.reference
    return Network(row.name, row.namespace, reference)


def address_on(namespace: str, text: object) -> str | None:
    """An address as it is stored: EVM in lower case, Solana as it is; None if it is none of that namespace."""
    if not isinstance(text, str):
        return None
    try:
        return canonical(namespace, text)
    except InvalidAddressError:
        return None


def transaction_on(namespace: str, text: object) -> str | None:
    """A transaction's hash or signature as it is stored; None if it is none of that namespace."""
    if not isinstance(text, str):
        return None
    if namespace == EIP155:
        return text.lower() if _EVM_TRANSACTION.fullmatch(text) else None
    if _SOLANA_TRANSACTION.fullmatch(text) is None:
        return None
    try:
        return str(Signature.from_string(text))
    except ValueError:
        return None


def namespace_of_address(text: str) -> str | None:
    """The namespace that an address can only be of."""
    return next((namespace for namespace in NAMESPACES if address_on(namespace, text) is not None), None)


def shown(value: object) -> str | None:
    """A reported text in short, without what can't be stored or printed (SAFETY S9); None for anything else."""
    if not isinstance(value, str) or not value:
        return None
    return "".join(character for character in value[:_SHOWN] if character.isprintable()) or None
