"""The chains of a running process: one client a network, opened when first asked for, and proven to be the right chain.

What a client can do is `chains/evm.py`; which networks there are is in the table `networks`, their RPC addresses in the settings.
"""

from __future__ import annotations

import asyncio

from guerdon.chains.evm import EvmClient
from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.settings import Settings, rpc_variable
from guerdon.txmanager import repository_keys, service_keys


class RpcNotConfiguredError(GuerdonError, status=503, code="RPC_NOT_CONFIGURED", title="Service unavailable"):
    """The network's RPC address is not set; set `GUERDON_RPC_<NETWORK>` and start again."""


class ChainClients:
    """Gives the client of a network by its name. Use from one event loop; `close` it at the end."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._clients: dict[str, EvmClient] = {}
        self._proven: set[str] = set()
        self._proving = asyncio.Lock()

    def is_configured(self, network: str) -> bool:
        """Is there an RPC address for it?"""
        return self._settings.rpc_url(network) is not None

    def unproven(self, network: str) -> EvmClient:
        """The client, whatever chain answers: for engines, which prove it themselves each time they begin."""
        client = self._clients.get(network)
        if client is None:
            url = self._settings.rpc_url(network)
            if url is None:
                message = f"There is no RPC address for {network}; set {rpc_variable(network)} and start again."
                raise RpcNotConfiguredError(message)
            client = self._clients[network] = EvmClient(url, network=network)
        return client

    async def __call__(self, network: str, /) -> EvmClient:
        """The client, once its chain id and genesis are those on record (SAFETY S21).

        Raises `RpcNotConfiguredError`, `NetworkNotFoundError`, `WrongChainError`, `ChainUnavailableError`.
        """
        client = self.unproven(network)
        if network not in self._proven:
            async with self._proving:
                if network not in self._proven:
                    await self._prove(client, network)
                    self._proven.add(network)
        return client

    async def _prove(self, client: EvmClient, network: str) -> None:
        async with self._database.platform() as session:
            known = await service_keys.network(session, network)
        genesis = await client.check_chain(known.chain_id, known.genesis_hash)
        if known.genesis_hash is None:
            async with self._database.platform() as session:
                await repository_keys.record_genesis(session, network, genesis)

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
        self._proven.clear()
