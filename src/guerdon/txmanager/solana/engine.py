"""The engine of one Solana in one worker: leases as everywhere (`txmanager/engine.py`), a loop of its own for each key."""

from __future__ import annotations

from uuid import UUID

from guerdon.chains.solana.client import SolanaClient
from guerdon.kit.database import Database
from guerdon.kit.secrets import KeyRing
from guerdon.txmanager.engine import Engine
from guerdon.txmanager.leases import Lease
from guerdon.txmanager.models import Network
from guerdon.txmanager.solana import recovery
from guerdon.txmanager.solana.context import SolanaContext
from guerdon.txmanager.solana.key_loop import SolanaLoop
from guerdon.txmanager.terms import EngineTerms


class SolanaEngine(Engine):
    """Gets the transactions of one Solana's keys signed, sent, signed anew where that is safe, and final."""

    def __init__(
        self,
        *,
        database: Database,
        rpc: SolanaClient,
        secrets: KeyRing,
        network: str,
        deployment_id: UUID,
        terms: EngineTerms | None = None,
    ) -> None:
        """As with every engine, and the way to its chain."""
        super().__init__(database=database, secrets=secrets, network=network, deployment_id=deployment_id, terms=terms)
        self._chain = rpc

    async def accept(self) -> Network:
        """Compare genesis and deployment with the database's."""
        return await recovery.accepted_network(self._database, self._chain, self._network, self._deployment_id)

    def loop_for(self, lease: Lease, network: Network) -> SolanaLoop:
        """What works for a key."""
        work = SolanaContext(
            database=self._database, chain=self._chain, signer=self._signer, network=network, terms=self._terms, lease=lease
        )
        return SolanaLoop(work, self.accept)
