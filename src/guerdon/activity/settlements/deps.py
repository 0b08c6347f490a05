"""What the work of settlements takes from the running application."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.evm import EvmReader, Rpc
from guerdon.activity.settlements.names import Network
from guerdon.activity.settlements.proofs import Answer
from guerdon.activity.settlements.solana import SolanaReader
from guerdon.chains.networks import EIP155
from guerdon.chains.solana.client import SolanaClient
from guerdon.kit.database import Database
from guerdon.kit.secrets import KeyRing


class Chains(Protocol):
    """Gives the client of a network by its name, opened once and its genesis checked."""

    async def __call__(self, network: str, /) -> Rpc:
        """Raises a `GuerdonError` if the network can't be asked."""
        ...

    async def solana(self, network: str, /) -> SolanaClient:
        """The same for a Solana."""
        ...


class ChainReader(Protocol):
    """What is asked of a chain, whichever it is."""

    async def ask(self, transactions: Sequence[str], assets: Mapping[str, Listed], /) -> dict[str, Answer]:
        """What the chain says of each transaction."""
        ...

    async def final_block(self) -> int:
        """The newest block, or slot, that is final."""
        ...

    async def gone(self, seen: Mapping[str, tuple[int, str]], /) -> set[str]:
        """Of transactions that were in these blocks those that finally are in none."""
        ...


@dataclass(frozen=True, slots=True)
class SettlementDeps:
    """What the steps of settlements take."""

    database: Database
    ring: KeyRing
    chains: Chains

    async def reader(self, network: Network) -> ChainReader:
        """Whom to ask about payments on a network. Raises `GuerdonError`s where it can't be asked."""
        if network.namespace == EIP155:
            return EvmReader(await self.chains(network.name))
        return SolanaReader(await self.chains.solana(network.name))
