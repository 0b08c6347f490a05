"""The networks known by name, and CAIP-2 ids. Where their nodes are (RPC addresses) is in the settings, which may be secret.

What an installation uses, and each network's genesis, is in the table `networks` (`txmanager`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

EIP155: Final = "eip155"
LOCAL_NETWORK: Final = "local"
"""The chain that `guerdon up` runs, among the networks."""
LOCAL_CHAIN_ID: Final = 31337
_CAIP2: Final = re.compile(r"([-a-z0-9]{3,8}):([-_a-zA-Z0-9]{1,32})")
_CHAIN_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """An EVM network that people know by name."""

    name: str
    chain_id: int
    block_time_ms: int
    explorer_url: str | None
    is_test: bool
    finality: str
    """How long the `finalized` tag takes there, and why; for people."""
    max_fee_per_gas: int | None
    """The fee cap (wei) it begins with: many times what is usual there, so that a wrong answer of a node can't empty a key."""

    @property
    def caip2(self) -> str:
        """Its CAIP-2 id, such as `eip155:1868`."""
        return f"{EIP155}:{self.chain_id}"

    def transaction_url(self, transaction_hash: str) -> str | None:
        """Where people can look a transaction up."""
        return None if self.explorer_url is None else f"{self.explorer_url}/tx/{transaction_hash}"

    def address_url(self, address: str) -> str | None:
        """Where people can look an address up."""
        return None if self.explorer_url is None else f"{self.explorer_url}/address/{address}"


_GWEI: Final = 10**9
_ROLLUP_FEE: Final = 10 * _GWEI
_MAINNET_FEE: Final = 300 * _GWEI
_ROLLUP_FINALITY: Final = "when its data is final on Ethereum: about 15 to 20 minutes"

KNOWN_NETWORKS: Final = {
    network.name: network
    for network in (
        KnownNetwork(
            "soneium", 1868, 2_000, "https://soneium.blockscout.com",
            is_test=False, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "soneium-minato", 1946, 2_000, "https://soneium-minato.blockscout.com",
            is_test=True, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "base", 8453, 2_000, "https://basescan.org",
            is_test=False, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "base-sepolia", 84532, 2_000, "https://sepolia.basescan.org",
            is_test=True, finality=_ROLLUP_FINALITY, max_fee_per_gas=_ROLLUP_FEE,
        ),
        KnownNetwork(
            "ethereum", 1, 12_000, "https://etherscan.io",
            is_test=False, finality="two epochs: about 13 minutes", max_fee_per_gas=_MAINNET_FEE,
        ),
        KnownNetwork(LOCAL_NETWORK, LOCAL_CHAIN_ID, 2_000, None, is_test=True, finality="two blocks", max_fee_per_gas=None),
    )
}  # fmt: skip
"""By name."""


class UnknownNetworkError(ValueError):
    """No network is known by this name or id."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"{text!r} is no known network; known are {', '.join(KNOWN_NETWORKS)}, and any CAIP-2 id such as eip155:1868"
        )


def parse_caip2(text: str) -> tuple[str, str]:
    """Namespace and reference of a CAIP-2 id, as in `eip155:1868`; `ValueError` if it is none."""
    found = _CAIP2.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no CAIP-2 id (namespace:reference, as in eip155:1868)")
    return found[1], found[2]


def chain_id_of(text: str) -> int:
    """The chain id of an EVM network named by its name or CAIP-2 id. Raises `UnknownNetworkError`."""
    if text in KNOWN_NETWORKS:
        return KNOWN_NETWORKS[text].chain_id
    try:
        namespace, reference = parse_caip2(text)
    except ValueError:
        raise UnknownNetworkError(text) from None
    if namespace != EIP155 or _CHAIN_ID.fullmatch(reference) is None:
        raise UnknownNetworkError(text)
    return int(reference)


def known_network(text: str) -> KnownNetwork:
    """The known network of this name or CAIP-2 id. Raises `UnknownNetworkError`."""
    chain_id = chain_id_of(text)
    for network in KNOWN_NETWORKS.values():
        if network.chain_id == chain_id:
            return network
    raise UnknownNetworkError(text)
