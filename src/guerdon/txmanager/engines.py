"""Keeps one engine running for each network that is set up and has an RPC address; networks may be added meanwhile.

What an engine does is `engine.py`.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

import structlog

from guerdon.chains.networks import SOLANA
from guerdon.kit.clock import rest
from guerdon.kit.database import Database
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.kit.secrets import KeyRing
from guerdon.txmanager import repository_keys
from guerdon.txmanager.connections import ChainClients
from guerdon.txmanager.engine import Engine, KeyEngine
from guerdon.txmanager.solana.engine import SolanaEngine
from guerdon.txmanager.terms import EngineTerms

_LOOK_SECONDS: Final = 2.0
"""How soon a network that was added is served."""
_REST_SECONDS: Final = 15.0
"""How soon an engine is tried again that refused to work: an operator has to act first, and need not restart anything."""

log = structlog.get_logger("guerdon.engines")


def engine_of(
    chains: ChainClients,
    network: str,
    namespace: str,
    *,
    database: Database,
    secrets: KeyRing,
    deployment_id: UUID,
    terms: EngineTerms | None = None,
) -> Engine:
    """The engine of a network, by its kind of chain. It proves the chain itself each time it begins."""
    if namespace == SOLANA:
        return SolanaEngine(
            database=database, rpc=chains.unproven_solana(network), secrets=secrets, network=network,
            deployment_id=deployment_id, terms=terms,
        )  # fmt: skip
    return KeyEngine(
        database=database, rpc=chains.unproven(network), secrets=secrets, network=network, deployment_id=deployment_id,
        terms=terms,
    )  # fmt: skip


class Engines:
    """The engines of one worker."""

    def __init__(
        self, database: Database, chains: ChainClients, secrets: KeyRing, deployment_id: UUID, terms: EngineTerms
    ) -> None:
        self._database = database
        self._chains = chains
        self._secrets = secrets
        self._deployment_id = deployment_id
        self._terms = terms
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set and every engine has given its keys back."""
        while not stop.is_set():
            try:
                names = await self.networks()
            except DatabaseUnavailableError:
                names = {}
            for name, namespace in names.items():
                if name not in self._running and self._chains.is_configured(name):
                    self._running[name] = asyncio.create_task(self._keep(name, namespace, stop), name=f"engine {name}")
            await rest(_LOOK_SECONDS, stop)
        await asyncio.gather(*self._running.values())

    async def networks(self) -> dict[str, str]:
        """The namespaces of the networks that it is for, by their names."""
        async with self._database.platform() as session:
            return {one.name: one.namespace for one in await repository_keys.networks(session)}

    async def _keep(self, network: str, namespace: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            engine = engine_of(
                self._chains, network, namespace, database=self._database, secrets=self._secrets,
                deployment_id=self._deployment_id, terms=self._terms,
            )  # fmt: skip
            try:
                await engine.run(stop)
            except Exception as error:
                log.exception("engine.stopped", network=network, error=type(error).__name__)
                await rest(_REST_SECONDS, stop)
