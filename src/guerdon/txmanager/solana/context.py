"""What every step of the engine for Solana works with."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.chains.solana.client import SolanaClient
from guerdon.txmanager.context import LeasedKey
from guerdon.txmanager.solana.verdicts import Expiry

BLOCKHASH_SLOTS = 150
"""For how many blocks a blockhash may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolanaContext(LeasedKey):
    """A key of a Solana."""

    chain: SolanaClient

    @property
    def expiry(self) -> Expiry:
        """When bytes are too old to land: by the chain's height, and never before a blockhash's usual life and a quarter."""
        return Expiry(least_seconds=BLOCKHASH_SLOTS * self.block_seconds * 1.25)
