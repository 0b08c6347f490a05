"""The chains of a running process: one client a network, opened when first asked for, and proven to be the right chain.

What a client can do is `chains/evm.py` and `chains/solana/client.py`; which networks there are is in the table `networks`, their
RPC addresses in the settings.
"""

from __future__ import annotations

import asyncio

from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import KNOWN_NETWORKS, SOLANA
from guerdon.chains.solana.client import SolanaClient
from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.settings import Settings, rpc_variable
from guerdon.txmanager import repository_keys, service_keys
from guerdon.txmanager.errors import WrongNamespaceError
from guerdon.txmanager.models import Network


def reference_of(network: str) -> str | None:
    """How the genesis hash of a Solana begins that is known by name; None for any other."""
    known = KNOWN_NETWORKS.get(network)
    return known.reference if known is not None and known.namespace == SOLANA else None


class RpcNotConfiguredError(GuerdonError, status=503, code="RPC_NOT_CONFIGURED", title="Service unavailable"):
    """The network's RPC address is not set; set `GUERDON_RPC_<NETWORK>` and start again."""


class ChainClients:
    """Gives the client of a network by its name. Use from one event loop; `close` it at the end."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._clients: dict[str, EvmClient] = {}
        self._solanas: dict[str, SolanaClient] = {}
        self._proven: set[str] = set()
        self._proven_solanas: set[str] = set()
        self._proving = asyncio.Lock()

    def is_configured(self, network: str) -> bool:
        """Is there an RPC address for it?"""
        return self._settings.rpc_url(network) is not None

    def unproven(self, network: str) -> EvmClient:
        """The client, whatever chain answers: for engines, which prove it themselves each time they begin."""
        client = self._clients.get(network)
        if client is None:
            client = self._clients[network] = EvmClient(self._url(network), network=network)
        return client

    def unproven_solana(self, network: str) -> SolanaClient:
        """The client of a Solana, whatever chain answers."""
        client = self._solanas.get(network)
        if client is None:
            client = self._solanas[network] = SolanaClient(self._url(network), network=network)
        return client

    def _url(self, network: str) -> str:
        url = self._settings.rpc_url(network)
        if url is None:
            raise RpcNotConfiguredError(f"There is no RPC address for {network}; set {rpc_variable(network)} and start again.")
        return url

    async def __call__(self, network: str, /) -> EvmClient:
        """The client, once its chain id and genesis are those on record (SAFETY S21).

        Raises `RpcNotConfiguredError`, `NetworkNotFoundError`, `WrongChainError`, `ChainUnavailableError`.
        """
        client = self.unproven(network)
        if network not in self._proven:
            async with self._proving:
                if network not in self._proven:
                    known = await self._network(network)
                    if known.namespace == SOLANA:
                        raise WrongNamespaceError(f"{network} is no EVM network: it is a Solana.")
                    await self._keep(known, await client.check_chain(known.evm_chain_id, known.genesis_hash))
                    self._proven.add(network)
        return client

    async def solana(self, network: str, /) -> SolanaClient:
        """The client of a Solana, once its genesis is the one on record, and that of the name where it is known (SAFETY S21).

        Raises `WrongNamespaceError` for an EVM network; else as above.
        """
        client = self.unproven_solana(network)
        if network not in self._proven_solanas:
            async with self._proving:
                if network not in self._proven_solanas:
                    known = await self._network(network)
                    if known.namespace != SOLANA:
                        raise WrongNamespaceError(f"{network} is no Solana: it is of namespace {known.namespace}.")
                    genesis = await client.check_chain(reference_of(network), known.genesis_hash)
                    await self._keep(known, genesis)
                    client.expect(genesis)
                    self._proven_solanas.add(network)
        return client

    async def _network(self, network: str) -> Network:
        async with self._database.platform() as session:
            return await service_keys.network(session, network)

    async def _keep(self, known: Network, genesis: str) -> None:
        if known.genesis_hash is None:
            async with self._database.platform() as session:
                await repository_keys.record_genesis(session, known.name, genesis)

    async def close(self) -> None:
        """Close every connection."""
        for client in (*self._clients.values(), *self._solanas.values()):
            await client.aclose()
        self._clients.clear()
        self._solanas.clear()
        self._proven.clear()
        self._proven_solanas.clear()
