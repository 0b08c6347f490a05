"""Builders for tests of the engine for Solana: a database, a local Solana, a proxy between, one key, engines here and outside."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction

from guerdon.chains.localsolana.chain import LocalSolana
from guerdon.chains.localsolana.server import serving
from guerdon.chains.solana import messages
from guerdon.chains.solana.client import SolanaClient
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.txmanager import service, service_keys
from guerdon.txmanager.models import Key, KeyPurpose
from guerdon.txmanager.signer import Signer
from guerdon.txmanager.solana.engine import SolanaEngine
from guerdon.txmanager.terms import EngineTerms
from tests.fakes.rpc_proxy import ALWAYS, Fault, RpcProxy
from tests.support.postgres import Urls
from tests.txmanager.engine_scene import EngineScene

NETWORK = "solana-local"
SOL = 10**9
SLOT_MS = 25
QUICK = EngineTerms(
    lease_seconds=3,
    idle_poll_seconds=0.3,
    idle_check_seconds=0.5,
    min_poll_seconds=0.03,
    max_poll_seconds=0.05,
    max_backoff_seconds=0.5,
    funds_check_seconds=0.1,
    alert_after_seconds=0.5,
    close_markers_seconds=3600,
)


@dataclass
class Ledger:
    """A running local Solana, as whoever has no part in the product sees it."""

    url: str
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=10))

    async def rpc(self, method: str, *params: Any) -> Any:
        answer = (await self._client.post(self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).json()
        if "error" in answer:
            message = f"{method}: {answer['error']}"
            raise AssertionError(message)
        return answer["result"]

    async def close(self) -> None:
        await self._client.aclose()

    async def fund(self, address: str, lamports: int = SOL) -> None:
        await self.rpc("requestAirdrop", address, lamports)

    async def balance(self, address: str) -> int:
        return (await self.rpc("getBalance", address, {"commitment": "processed"}))["value"]

    async def advance(self, slots: int) -> None:
        """Let so many slots pass at once."""
        await self.rpc("guerdon_advanceSlots", slots)

    async def exists(self, address: str) -> bool:
        return (await self.rpc("getAccountInfo", address, {"commitment": "processed", "encoding": "base64"}))["value"] is not None

    async def transactions(self, address: str) -> list[dict[str, Any]]:
        """What succeeded and was paid for by an address, oldest first."""
        listed = await self.rpc("getSignaturesForAddress", address, {"commitment": "confirmed"})
        found = [
            await self.rpc(
                "getTransaction", one["signature"],
                {"commitment": "confirmed", "encoding": "json", "maxSupportedTransactionVersion": 0},
            )
            for one in listed if one["err"] is None
        ]  # fmt: skip
        paid = [one for one in found if one["transaction"]["message"]["accountKeys"][0] == address]
        return list(reversed(paid))

    async def received(self, sender: str, recipient: str) -> list[int]:
        """Lamports that a recipient got in each transaction of a sender, oldest first."""
        amounts: list[int] = []
        for one in await self.transactions(sender):
            keys = one["transaction"]["message"]["accountKeys"]
            if recipient in keys:
                at = keys.index(recipient)
                amounts.append(one["meta"]["postBalances"][at] - one["meta"]["preBalances"][at])
        return amounts

    async def send_from_outside(self, payer: Keypair, *instructions: Instruction, others: Sequence[Keypair] = ()) -> str:
        """A wallet that has the same key sends something."""
        blockhash = (await self.rpc("getLatestBlockhash", {"commitment": "processed"}))["value"]["blockhash"]
        message = Message.new_with_blockhash(list(instructions), payer.pubkey(), Hash.from_string(blockhash))
        raw = bytes(Transaction([payer, *others], message, Hash.from_string(blockhash)))
        return await self.send_raw(raw)

    async def send_raw(self, raw: bytes) -> str:
        options = {"encoding": "base64", "skipPreflight": True}
        return await self.rpc("sendTransaction", base64.b64encode(raw).decode(), options)


@dataclass
class Scene(EngineScene):
    """Everything a test needs, wired to real parts."""

    network = NETWORK
    namespace = "solana"
    quick = QUICK

    database: Database
    urls: Urls
    owner: driver.RawConnection
    node: Ledger
    proxy: RpcProxy
    key_id: UUID
    pair: Keypair
    somebody: str
    ring: KeyRing
    master: MasterKey
    deployment_id: UUID
    clients: list[SolanaClient] = field(default_factory=list)

    @property
    def signer(self) -> Signer:
        return Signer(self.ring)

    @property
    def address(self) -> str:
        return str(self.pair.pubkey())

    def client(self, url: str | None = None) -> SolanaClient:
        client = SolanaClient(url or self.proxy.url)
        self.clients.append(client)
        return client

    def chain(self) -> SolanaClient:
        return self.client(self.node.url)

    def new_engine(self, terms: EngineTerms = QUICK, *, rpc_url: str | None = None) -> SolanaEngine:
        return SolanaEngine(
            database=self.database, rpc=self.client(rpc_url), secrets=self.ring, network=NETWORK,
            deployment_id=self.deployment_id, terms=terms,
        )  # fmt: skip

    @asynccontextmanager
    async def engine(self, terms: EngineTerms = QUICK, *, rpc_url: str | None = None) -> AsyncIterator[SolanaEngine]:
        """An engine that works inside the block, in this process."""
        engine, stop = self.new_engine(terms, rpc_url=rpc_url), asyncio.Event()
        task = asyncio.create_task(engine.run(stop))
        try:
            yield engine
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)

    async def transfer(self, lamports: int, *, to: str | None = None, ref: UUID | None = None) -> UUID:
        """Queue a transfer of so many lamports: the amount tells it from others on the chain."""
        sent = transfer(
            TransferParams(from_pubkey=self.pair.pubkey(), to_pubkey=Pubkey.from_string(to or self.somebody), lamports=lamports)
        )
        return await self.queue([sent], value=lamports, ref=ref)

    async def queue(self, instructions: list[Instruction], *, value: int = 0, ref: UUID | None = None) -> UUID:
        async with self.database.platform() as session:
            return await service.queue(
                session, key_id=self.key_id, network=NETWORK, kind="transfer", to=None, value_wei=value,
                data=messages.pack(self.address, instructions), ref=ref, work_kind="test.work",
            )  # fmt: skip

    async def until_key(self, holds: Callable[[Key], bool], what: str, seconds: float = 30) -> Key:
        deadline = time.monotonic() + seconds
        while not holds(key := await self.key()):
            assert time.monotonic() < deadline, f"the key is not {what}: {key.pause_reason}"
            await asyncio.sleep(0.02)
        return key

    async def until_paused(self, seconds: float = 30) -> Key:
        return await self.until_key(lambda key: key.paused_at is not None, "paused", seconds)

    async def alerts(self) -> set[str]:
        rows = await self.owner.fetch("SELECT kind FROM outbox WHERE severity IS NOT NULL AND resolved_at IS NULL")
        return {row["kind"] for row in rows}

    async def is_on_chain_once(self, *amounts: int) -> bool:
        """Did somebody get each of these amounts exactly once, and nothing else?"""
        return sorted(await self.node.received(self.address, self.somebody)) == sorted(amounts)


def swallow(times: int = ALWAYS) -> Fault:
    """The node says that it took the bytes, and drops them without a word."""

    def answer(call: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": call["id"], "result": messages.signature_of(base64.b64decode(call["params"][0]))}

    return Fault("sendTransaction", error={"code": 0, "message": "dropped"}, answer=answer, times=times)


@asynccontextmanager
async def running_ledger(folder: Path, slot_ms: int = SLOT_MS) -> AsyncIterator[Ledger]:
    """A new chain for one test."""
    with LocalSolana(folder, slot_ms=slot_ms) as chain:
        async with serving(chain) as url:
            ledger = Ledger(url)
            try:
                yield ledger
            finally:
                await ledger.close()


@asynccontextmanager
async def a_scene(
    database: Database, urls: Urls, owner: driver.RawConnection, node: Ledger, slot_ms: int = SLOT_MS
) -> AsyncIterator[Scene]:
    """A network with one funded treasury key, and nothing queued."""
    master = MasterKey.generate()
    ring = KeyRing(master)
    deployment_id = uuid7()
    pair, somebody = Keypair(), str(Keypair().pubkey())
    await node.fund(str(pair.pubkey()))
    await node.fund(somebody)
    await node.advance(40)
    async with database.platform() as session:
        await service_keys.name_deployment(session, deployment_id)
        await service_keys.set_network(session, name=NETWORK, chain_id=None, block_time_ms=slot_ms)
        key = await service_keys.import_key(session, Signer(ring), NETWORK, KeyPurpose.TREASURY, private_key=str(pair))
    async with RpcProxy(node.url) as proxy:
        scene = Scene(database, urls, owner, node, proxy, key.id, pair, somebody, ring, master, deployment_id)
        try:
            yield scene
        finally:
            for client in scene.clients:
                await client.aclose()
