"""What every step of the engine works with: one leased key, its network, and the way to its chain."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from guerdon.kit import jobs
from guerdon.kit.database import Database, PlatformSession
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.txmanager import leases
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.leases import Lease
from guerdon.txmanager.models import Intent, Key, Network
from guerdon.txmanager.signer import Signer
from guerdon.txmanager.terms import EngineTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class LeasedKey:
    """One key, under one lease, on whatever kind of chain."""

    database: Database
    signer: Signer
    network: Network
    """As it was a moment ago: an operator may change fee cap and block time."""
    terms: EngineTerms
    lease: Lease

    @property
    def key_id(self) -> UUID:
        """The leased key."""
        return self.lease.key_id

    @property
    def address(self) -> str:
        """Its address."""
        return self.lease.address

    @property
    def block_seconds(self) -> float:
        """Time between two blocks."""
        return self.network.block_time_ms / 1000

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[tuple[PlatformSession, Key]]:
        """A transaction that holds the lease from its first statement to its commit (SAFETY S19)."""
        async with self.database.platform() as session:
            yield session, await leases.hold(session, self.lease)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyContext(LeasedKey):
    """A key of an EVM network."""

    chain: Chain


async def wake_owners(session: PlatformSession, intents: Iterable[Intent]) -> None:
    """Tell whoever queued these intents that they changed: last in the transaction that changes them."""
    for kind in sorted({intent.work_kind for intent in intents if intent.work_kind is not None}):
        await jobs.wake(session, kind, PLATFORM_PROGRAM_ID)
