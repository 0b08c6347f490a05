"""What its chain has of a treasury, whatever kind of chain that is. Reads only.

ERC-20 tokens are asked in `tokens.py`, a Solana's in `solana/treasury.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from guerdon.chains.networks import SOLANA
from guerdon.kit.database import Database
from guerdon.txmanager import service_keys, tokens
from guerdon.txmanager.chain import Rpc
from guerdon.txmanager.errors import WrongNamespaceError
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.solana.treasury import SolanaTreasury
from guerdon.txmanager.tokens import Chains, Incoming, Solanas
from guerdon.txmanager.treasuries import Finality


class TreasuryChain(Protocol):
    """One treasury, as its chain has it."""

    async def finality(self) -> Finality:
        """What it holds after the finalized block or slot."""
        ...

    async def incoming(self, transaction: str) -> Incoming | None:
        """What a transaction brought it from others; None if it is in no block or failed."""
        ...


@dataclass(frozen=True, slots=True)
class EvmTreasury:
    """On an EVM network."""

    rpc: Rpc
    treasury: Treasury

    async def finality(self) -> Finality:
        """What it holds after the finalized block."""
        return await tokens.finality(self.rpc, self.treasury.token_address, self.treasury.address)

    async def incoming(self, transaction: str) -> Incoming | None:
        """The transfers to it, by their places."""
        return await tokens.incoming(self.rpc, transaction, self.treasury.token_address, self.treasury.address)


async def look_at(database: Database, chain: Chains, solana: Solanas | None, treasury: Treasury) -> TreasuryChain:
    """The chain of a treasury. Raises `WrongNamespaceError` where there are no Solanas, and as whoever opens clients does."""
    async with database.platform() as session:
        network = await service_keys.network(session, treasury.network)
    if network.namespace != SOLANA:
        return EvmTreasury(await chain(treasury.network), treasury)
    if solana is None:
        raise WrongNamespaceError
    return SolanaTreasury(await solana(treasury.network), treasury)
