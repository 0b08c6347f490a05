"""The networks known by name, and CAIP-2 ids. Where their nodes are (RPC addresses) is in the settings, which may be secret.

What an installation uses, and each network's genesis, is in the table `networks` (`txmanager`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

EIP155: Final = "eip155"
SOLANA: Final = "solana"
NAMESPACES: Final = (EIP155, SOLANA)
"""Of CAIP-2: the kinds of chain that there are adapters for."""
WEI_A_UNIT: Final = {EIP155: 1, SOLANA: 10**9}
"""What the smallest unit of a network's own coin is in 10^-18 of the coin, the measure that gas budgets have everywhere."""
LOCAL_NETWORK: Final = "local"
"""The EVM chain that `guerdon up` runs, among the networks."""
LOCAL_CHAIN_ID: Final = 31337
LOCAL_SOLANA: Final = "solana-local"
"""The Solana that `guerdon up` runs, among the networks."""
LOCAL_NETWORKS: Final = (LOCAL_NETWORK, LOCAL_SOLANA)
LOCAL_SOLANA_REFERENCE: Final = "Guerdon1oca1So1ana11111111111111"
"""How the genesis hash of every local Solana begins; what follows is each one's own."""
REFERENCE_CHARACTERS: Final = 32
"""Of a Solana genesis hash, in CAIP-2."""
_CAIP2: Final = re.compile(r"([-a-z0-9]{3,8}):([-_a-zA-Z0-9]{1,32})")
_CHAIN_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
"""All of them fit a `bigint`."""
_GENESIS_REFERENCE: Final = re.compile(r"[1-9A-HJ-NP-Za-km-z]{32}")
_SOLANA_SLOT_MS: Final = 400
_SOLANA_FINALITY: Final = "32 slots: about 13 seconds"


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A network that people know by name."""

    name: str
    reference: str
    """Of CAIP-2: the chain id in decimal, or on Solana how the genesis hash begins."""
    block_time_ms: int
    explorer_url: str | None
    is_test: bool
    finality: str
    """How long the `finalized` tag takes there, and why; for people."""
    max_fee_per_gas: int | None = None
    """The fee cap (wei) it begins with: many times what is usual there, so that a wrong answer of a node can't empty a key."""
    namespace: str = EIP155

    @property
    def caip2(self) -> str:
        """Its CAIP-2 id, such as `eip155:1868`."""
        return f"{self.namespace}:{self.reference}"

    @property
    def chain_id(self) -> int | None:
        """Of an EVM network; None elsewhere."""
        return int(self.reference) if self.namespace == EIP155 else None

    def transaction_url(self, transaction_hash: str) -> str | None:
        """Where people can look a transaction up."""
        return self._page("tx", transaction_hash)

    def address_url(self, address: str) -> str | None:
        """Where people can look an address up."""
        return self._page("address", address)

    def _page(self, kind: str, name: str) -> str | None:
        if self.explorer_url is None:
            return None
        parts = urlsplit(self.explorer_url)
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{kind}/{name}"))


_GWEI: Final = 10**9
_ROLLUP_FEE: Final = 10 * _GWEI
_MAINNET_FEE: Final = 300 * _GWEI
_ROLLUP_FINALITY: Final = "when its data is final on Ethereum: about 15 to 20 minutes"

KNOWN_NETWORKS: Final = {
    network.name: network
    for network in (
        KnownNetwork(
            "soneium", "1868", 2_000, "https://soneium.blockscout.com",
            is_test=False, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "soneium-minato", "1946", 2_000, "https://soneium-minato.blockscout.com",
            is_test=True, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "base", "8453", 2_000, "https://basescan.org",
            is_test=False, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "base-sepolia", "84532", 2_000, "https://sepolia.basescan.org",
            is_test=True, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "ethereum", "1", 12_000, "https://etherscan.io",
            is_test=False, finality="two epochs: about 13 minutes", max_fee_per_gas=_MAINNET_FEE,
        ),
        KnownNetwork(LOCAL_NETWORK, str(LOCAL_CHAIN_ID), 2_000, None, is_test=True, finality="two blocks"),
        KnownNetwork(
            "solana", "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", _SOLANA_SLOT_MS, "https://explorer.solana.com",
            is_test=False, finality=_SOLANA_FINALITY, namespace=SOLANA,
        ),
        KnownNetwork(
            "solana-devnet", "EtWTRABZaYq6iMfeYKouRu166VU2xqa1", _SOLANA_SLOT_MS, "https://explorer.solana.com?cluster=devnet",
            is_test=True, finality=_SOLANA_FINALITY, namespace=SOLANA,
        ),
        KnownNetwork(
            LOCAL_SOLANA, LOCAL_SOLANA_REFERENCE, _SOLANA_SLOT_MS, None,
            is_test=True, finality=_SOLANA_FINALITY, namespace=SOLANA,
        ),
    )
}  # fmt: skip
"""By name."""

_ALIASES: Final = {"solana-mainnet": "solana", "solana-mainnet-beta": "solana"}
"""What others call them."""
_BY_CAIP2: Final = {network.caip2: network for network in KNOWN_NETWORKS.values()}


class UnknownNetworkError(ValueError):
    """No network is known by this name or id."""

    def __init__(self, text: str, what: str = "network") -> None:
        super().__init__(
            f"{text!r} is no known {what}; known are {', '.join(KNOWN_NETWORKS)}, and any CAIP-2 id such as eip155:1868"
        )


def parse_caip2(text: str) -> tuple[str, str]:
    """Namespace and reference of a CAIP-2 id, as in `eip155:1868`; `ValueError` if it is none."""
    found = _CAIP2.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no CAIP-2 id (namespace:reference, as in eip155:1868)")
    return found[1], found[2]


def caip2_of(text: str) -> str:
    """The CAIP-2 id of a network named by its name, what others call it, or its id. Raises `UnknownNetworkError`."""
    named = KNOWN_NETWORKS.get(_ALIASES.get(text, text))
    if named is not None:
        return named.caip2
    try:
        namespace, reference = parse_caip2(text)
    except ValueError:
        raise UnknownNetworkError(text) from None
    wanted = {EIP155: _CHAIN_ID, SOLANA: _GENESIS_REFERENCE}.get(namespace)
    if wanted is None or wanted.fullmatch(reference) is None:
        raise UnknownNetworkError(text)
    return text


def chain_id_of(text: str) -> int:
    """The chain id of an EVM network named by its name or CAIP-2 id. Raises `UnknownNetworkError`."""
    namespace, reference = parse_caip2(caip2_of(text))
    if namespace != EIP155:
        raise UnknownNetworkError(text, "network with a chain id")
    return int(reference)


def known_network(text: str) -> KnownNetwork:
    """The known network of this name or CAIP-2 id. Raises `UnknownNetworkError`."""
    network = _BY_CAIP2.get(caip2_of(text))
    if network is None:
        raise UnknownNetworkError(text)
    return network


def begins_as(known: KnownNetwork, genesis_hash: str) -> bool:
    """Is this the genesis hash of the Solana that is known by that name?"""
    return genesis_hash[:REFERENCE_CHARACTERS] == known.reference
