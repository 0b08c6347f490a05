"""Builders for tests of the engine: a database, a chain, a proxy between, one key, and engines in and out of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from guerdon.chains.evm import EvmClient
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.txmanager import repository_keys, service, service_keys
from guerdon.txmanager.chain import Chain
from guerdon.txmanager.engine import KeyEngine
from guerdon.txmanager.models import Attempt, Key, KeyPurpose
from guerdon.txmanager.signer import Signer
from guerdon.txmanager.terms import EngineTerms
from tests.fakes.rpc_proxy import RpcProxy
from tests.support.postgres import Urls
from tests.txmanager.engine_scene import EngineScene
from tests.txmanager.node import CHAIN_ID, Node

NETWORK = "local"
PRIVATE_KEY = "0x" + "2b" * 32
SOMEBODY = "0x00000000000000000000000000000000005B0DE1"
BLOCK_TIME_MS = 200
QUICK = EngineTerms(
    lease_seconds=3,
    idle_poll_seconds=0.3,
    min_poll_seconds=0.03,
    max_poll_seconds=0.05,
    max_backoff_seconds=0.5,
    funds_check_seconds=0.1,
    alert_after_seconds=0.5,
)


@dataclass
class Scene(EngineScene):
    """Everything a test needs, wired to real parts."""

    network = NETWORK
    namespace = "eip155"
    quick = QUICK

    database: Database
    urls: Urls
    owner: driver.RawConnection
    node: Node
    proxy: RpcProxy
    key_id: UUID
    address: str
    ring: KeyRing
    master: MasterKey
    deployment_id: UUID
    clients: list[EvmClient] = field(default_factory=list)

    @property
    def signer(self) -> Signer:
        return Signer(self.ring)

    def client(self, url: str | None = None) -> EvmClient:
        client = EvmClient(url or self.proxy.url)
        self.clients.append(client)
        return client

    def chain(self) -> Chain:
        return Chain(self.client(self.node.url))

    def new_engine(self, terms: EngineTerms = QUICK, *, rpc_url: str | None = None) -> KeyEngine:
        return KeyEngine(
            database=self.database,
            rpc=self.client(rpc_url),
            secrets=self.ring,
            network=NETWORK,
            deployment_id=self.deployment_id,
            terms=terms,
        )

    @asynccontextmanager
    async def engine(self, terms: EngineTerms = QUICK, *, rpc_url: str | None = None) -> AsyncIterator[KeyEngine]:
        """An engine that works inside the block, in this process."""
        engine, stop = self.new_engine(terms, rpc_url=rpc_url), asyncio.Event()
        task = asyncio.create_task(engine.run(stop))
        try:
            yield engine
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)

    async def transfer(
        self, value: int, *, to: str = SOMEBODY, ref: UUID | None = None, gas_limit: int | None = None, data: bytes = b""
    ) -> UUID:
        """Queue a transfer of so many wei: the value tells it from others on the chain."""
        async with self.database.platform() as session:
            return await service.queue(
                session, key_id=self.key_id, network=NETWORK, kind="transfer", to=to, data=data, value_wei=value, ref=ref,
                gas_limit=gas_limit, work_kind="test.work",
            )  # fmt: skip

    async def until_attempts(self, intent_id: UUID, count: int) -> list[Attempt]:
        """Wait until an intent has been signed so many times."""

        async def enough() -> bool:
            return len(await self.attempts(intent_id)) >= count

        await until(enough, f"signed {count} times")
        return await self.attempts(intent_id)

    async def until_paused(self, seconds: float = 10) -> Key:
        deadline = time.monotonic() + seconds
        while (key := await self.key()).paused_at is None:
            assert time.monotonic() < deadline, "the key is not paused"
            await asyncio.sleep(0.02)
        return key

    async def until_leased(self, seconds: float = 10) -> Key:
        deadline = time.monotonic() + seconds
        while (key := await self.key()).lease_owner is None:
            assert time.monotonic() < deadline, "nobody took the lease"
            await asyncio.sleep(0.02)
        return key

    async def alerts(self) -> set[str]:
        rows = await self.owner.fetch("SELECT kind FROM outbox WHERE severity IS NOT NULL AND resolved_at IS NULL")
        return {row["kind"] for row in rows}

    async def until_alert(self, kind: str, *, is_open: bool = True, seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while (kind in await self.alerts()) is not is_open:
            assert time.monotonic() < deadline, f"{kind} is {'not ' if is_open else 'still '}open"
            await asyncio.sleep(0.02)

    async def values_on_chain(self) -> list[int]:
        """What the key sent, as values in the chain's order."""
        return [int(one["value"], 16) for one in await self.node.sent_by(self.address)]

    async def is_on_chain_once(self, *values: int) -> bool:
        """Is each of these values there exactly once, and nothing else?"""
        return sorted(await self.values_on_chain()) == sorted(values)


@asynccontextmanager
async def a_scene(database: Database, urls: Urls, owner: driver.RawConnection, node: Node) -> AsyncIterator[Scene]:
    """A network with one funded treasury key, and nothing queued."""
    master = MasterKey.generate()
    ring = KeyRing(master)
    deployment_id = uuid7()
    async with database.platform() as session:
        await service_keys.name_deployment(session, deployment_id)
        await service_keys.set_network(session, name=NETWORK, chain_id=CHAIN_ID, block_time_ms=BLOCK_TIME_MS)
        key = await service_keys.import_key(
            session, Signer(ring), NETWORK, KeyPurpose.TREASURY, private_key=PRIVATE_KEY, next_nonce=0
        )
    await node.fund(key.address)
    async with RpcProxy(node.url) as proxy:
        scene = Scene(database, urls, owner, node, proxy, key.id, key.address, ring, master, deployment_id)
        try:
            yield scene
        finally:
            for client in scene.clients:
                await client.aclose()


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = 10) -> None:
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, f"not {what}"
        await asyncio.sleep(0.02)


async def set_fee_cap(database: Database, cap: int | None) -> None:
    """Limit what a unit of gas may cost on the scene's network."""
    async with database.platform() as session:
        await repository_keys.upsert_network(
            session, {"name": NETWORK, "chain_id": CHAIN_ID, "block_time_ms": BLOCK_TIME_MS, "max_fee_per_gas": cap}
        )
