"""A whole delivery house for tests: a chain with the contracts, an engine, workers, programs that owe points. All parts are real."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from eth_account import Account as EthAccount

from guerdon.accounts.models import Account
from guerdon.chains import contracts
from guerdon.chains.evm import EvmClient
from guerdon.kit import driver, jobs
from guerdon.kit.clock import Clock, SystemClock
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.kit.worker import Worker
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Delivered, Delivery, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.repository import asset_by_symbol
from guerdon.ledger.verify import Finding
from guerdon.payouts import drops_jobs
from guerdon.payouts import jobs as payout_jobs
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Work
from guerdon.payouts.terms import PayoutTerms
from guerdon.payouts.terms_drops import DropTerms
from guerdon.payouts.verify import verify_payouts
from guerdon.programs import funding
from guerdon.programs.funding import FundingDeps, FundingRequest
from guerdon.programs.models import Program
from guerdon.txmanager import assets, service_keys, setup, treasuries
from guerdon.txmanager.engine import KeyEngine
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.terms import EngineTerms
from tests.payouts.moody import MoodyToken
from tests.support.postgres import Urls
from tests.txmanager.node import CHAIN_ID, Node

NETWORK = "local"
BLOCK_MS = 100
QUICK_ENGINE = EngineTerms(
    lease_seconds=5, idle_poll_seconds=0.3, min_poll_seconds=0.03, max_poll_seconds=0.05, max_backoff_seconds=0.5,
    funds_check_seconds=0.2, alert_after_seconds=0.5,
)  # fmt: skip
QUICK_DROPS = DropTerms(chunk=3, look_seconds=0.2, idle_seconds=0.2, scan_blocks=20, retry_seconds=0.2)
QUICK = PayoutTerms(wait_seconds=0.3, full_wait_seconds=0.1, sweep_seconds=0.5)


@dataclass
class House:
    """Everything wired together. `blocks()` and `working()` are entered by the test when it wants time to pass."""

    database: Database
    urls: Urls
    owner: driver.RawConnection
    node: Node
    rpc: EvmClient
    ring: KeyRing
    master: MasterKey
    deployment_id: UUID
    clock: Clock
    terms: PayoutTerms = QUICK
    may_mine: asyncio.Event = field(default_factory=asyncio.Event)
    asset_id: UUID = field(default_factory=uuid7)
    token: str = ""
    distributor: str = ""

    @property
    def secrets(self) -> KeyRing:
        return self.ring

    async def chain(self, _network: str, /) -> EvmClient:
        return self.rpc

    @property
    def deps(self) -> PayoutDeps:
        return PayoutDeps(self.database, self.chain, self.terms)

    @property
    def funding_deps(self) -> FundingDeps:
        return FundingDeps(self.database, self.chain)

    def handlers(self) -> dict[str, Any]:
        async def fund(_: UUID) -> Any:
            return await funding.advance(self.funding_deps)

        return {**payout_jobs.handlers(self.deps), **drops_jobs.handlers(self.deps, QUICK_DROPS), funding.WORK: fund}

    @asynccontextmanager
    async def mining(self, seconds: float = 0.1) -> AsyncGenerator[None]:
        """Blocks come by themselves inside, while `may_mine` is set."""

        async def forever(stop: asyncio.Event) -> None:
            while not stop.is_set():
                if self.may_mine.is_set():
                    await self.node.mine()
                await asyncio.sleep(seconds)

        self.may_mine.set()
        async with _running(forever):
            yield

    @asynccontextmanager
    async def engine(self) -> AsyncGenerator[None]:
        engine = KeyEngine(
            database=self.database, rpc=self.rpc, secrets=self.ring, network=NETWORK, deployment_id=self.deployment_id,
            terms=QUICK_ENGINE,
        )  # fmt: skip
        async with _running(engine.run):
            yield

    @asynccontextmanager
    async def working(self, workers: int = 1) -> AsyncGenerator[None]:
        """An engine and workers that do what is due, inside the block."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.engine())
            for number in range(workers):
                worker = Worker(self.database, self.handlers(), name=f"worker {number}")
                await stack.enter_async_context(_running(worker.run))
            await payout_jobs.schedule(self.deps)
            yield

    async def bootstrap(self) -> None:
        treasury = await setup.bootstrap_local(self, lambda _: None, chain_id=CHAIN_ID, block_time_ms=BLOCK_MS)
        async with self.database.platform() as session:
            asset = await asset_by_symbol(session, "LTZ")
            assert asset is not None
            assert asset.id == treasury.asset_id
            self.asset_id, self.token = asset.id, str(asset.token_address)
        self.distributor = str(await self.value("select address from contracts where name = 'RewardDistributor'"))

    async def program(self, funds: int = 0, *, asset_id: UUID | None = None) -> UUID:
        """A program; `funds` are minted and booked, which takes blocks and a worker."""
        program_id = uuid7()
        async with self.database.platform() as session:
            session.add(
                Program(
                    id=program_id, brand_id="0x" + program_id.hex.rjust(40, "0"), name="Test",
                    asset_id=asset_id or self.asset_id, created_at=self.clock.now(),
                )
            )  # fmt: skip
        if funds:
            await self.fund(program_id, funds)
        return program_id

    async def moody_asset(self, stock: int = 0) -> tuple[UUID, MoodyToken]:
        """An asset that we may not mint, in a token with moods, and its treasury with a stock of it, which backs what is booked."""
        token = await MoodyToken.deploy(self.node)
        asset = await assets.create_asset(
            setup.deployment_deps(self), assets.NewAsset(f"M{uuid7().hex[-6:]}", NETWORK, token.address, Delivered.AUTOMATIC, 1)
        )
        async with self.database.platform() as session:
            treasury = await treasuries.create_treasury(session, self.ring, asset, now=self.clock.now())
        await self.node.fund(treasury.address, 10**20)
        if stock:
            await token.mint(treasury.address, stock)
        return asset.id, token

    async def stocked_program(self, asset_id: UUID, points: int) -> UUID:
        """A program with points of an asset that we may not mint, booked as a deposit would be: the test minted its backing."""
        program_id = await self.program(asset_id=asset_id)
        async with self.database.program(program_id) as session:
            await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset_id, points)], self.clock.now())
        return program_id

    async def fund(self, program_id: UUID, points: int) -> None:
        async with self.database.platform() as session:
            asked = await funding.request_funding(session, FundingRequest(program_id, points))
        await self.until(lambda: self.value("select state = 'booked' from fundings where id = $1", asked.id))

    async def account(self, program_id: UUID, wallet: str | None = None) -> UUID:
        account_id = uuid7()
        async with self.database.program(program_id) as session:
            session.add(
                Account(
                    program_id=program_id, id=account_id, wallet_address=wallet or a_wallet(), created_at=self.clock.now()
                )
            )  # fmt: skip
        return account_id

    async def owe(self, program_id: UUID, points: dict[UUID, int], *, asset_id: UUID | None = None) -> list[UUID]:
        """Book rewards as intake does: held for one delivery an account, and the program's reservation woken. The deliveries."""
        asset = asset_id or self.asset_id
        async with self.database.program(program_id) as session:
            now = self.clock.now()
            ids: list[UUID] = []
            for account_id, amount in points.items():
                await ledger.post(
                    session, program_id, [Movement(PostingKind.REWARD_HELD, uuid7(), asset, amount, account_id)], now
                )
                delivery = Delivery(
                    program_id=program_id, id=uuid7(), asset_id=asset, account_id=account_id, kind="automatic", state="approved",
                    points=amount, requested_at=now, updated_at=now,
                )  # fmt: skip
                session.add(delivery)
                ids.append(delivery.id)
            await session.flush()
            await jobs.wake(session, Work.RESERVE, program_id)
        return ids

    async def treasury(self, asset_id: UUID | None = None) -> Treasury:
        treasury_id = await self.value("select id from treasuries where asset_id = $1", asset_id or self.asset_id)
        async with self.database.platform() as session:
            return await session.get_one(Treasury, treasury_id, populate_existing=True)

    async def value(self, query: str, *arguments: object) -> Any:
        """One value, seen past every tenant's wall."""
        return await self.owner.fetchval(query, *arguments)

    async def states(self, program_id: UUID | None = None) -> dict[str, int]:
        rows = await self.owner.fetch(
            "select state, count(*) as n from deliveries where $1::uuid is null or program_id = $1 group by 1", program_id
        )
        return {row["state"]: row["n"] for row in rows}

    async def until(self, condition: Callable[[], Awaitable[Any]], seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, await self.situation()
            await asyncio.sleep(0.05)

    async def until_states(self, expected: dict[str, int], seconds: float = 30) -> None:
        async def reached() -> bool:
            return await self.states() == expected

        await self.until(reached, seconds)

    async def situation(self) -> str:
        """What a test that waited in vain shows."""
        batches = await self.owner.fetch("select id, state, size, delivery_state from batches order by id")
        intents = await self.owner.fetch("select kind, state, held_back, error from intents order by id")
        work = await self.owner.fetch("select kind, last_error, attempts from work where last_error is not null")
        alerts = await self.owner.fetch("select kind, payload from outbox where severity is not null and resolved_at is null")
        return "\n".join(str(part) for part in (await self.states(), *map(dict, [*batches, *intents, *work, *alerts])))

    async def balance(self, address: str, token: str | None = None) -> int:
        """Tokens of an address at the head."""
        answer = await self.node.rpc(
            "eth_call", {"to": token or self.token, "data": f"0x{contracts.balance_of_call(address).hex()}"}, "latest"
        )
        return int(answer, 16)

    async def transfers(self, token: str | None = None) -> list[tuple[str, int]]:
        """Every transfer out of a treasury that the chain has, as (recipient, amount)."""
        topics = [contracts.TRANSFER_TOPIC]
        logs = await self.node.rpc(
            "eth_getLogs", {"address": token or self.token, "topics": topics, "fromBlock": "0x0", "toBlock": "latest"}
        )
        senders = {row["address"].lower() for row in await self.owner.fetch("select address from treasuries")}
        return [(f"0x{log['topics'][2][-40:]}", int(log["data"], 16)) for log in logs if f"0x{log['topics'][1][-40:]}" in senders]

    async def findings(self) -> list[Finding]:
        """What is wrong between books and chain."""
        return await verify_payouts(self.deps)

    async def wallet_of(self, payout_id: UUID) -> str:
        """Where a payout's account has its tokens."""
        query = (
            "select a.wallet_address from deliveries d join accounts a on a.program_id = d.program_id and a.id = d.account_id"
            " where d.id = $1"
        )
        return str(await self.value(query, payout_id))

    async def wallets_of(self, program_id: UUID) -> dict[str, int]:
        """What each wallet of a program should hold when everything is delivered."""
        rows = await self.owner.fetch(
            "select a.wallet_address, sum(b.claimed) as n from accounts a join account_balances b on b.program_id = a.program_id"
            " and b.account_id = a.id where a.program_id = $1 group by 1", program_id,
        )  # fmt: skip
        return {row["wallet_address"]: int(row["n"]) for row in rows}

    def with_terms(self, **changes: Any) -> House:
        self.terms = replace(self.terms, **changes)
        return self


@asynccontextmanager
async def _running(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncGenerator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


def a_wallet() -> str:
    """An address that nobody has used."""
    return str(EthAccount.create().address)


@asynccontextmanager
async def a_house(database: Database, urls: Urls, owner: driver.RawConnection, node: Node) -> AsyncGenerator[House]:
    master, deployment_id = MasterKey.generate(), uuid7()
    ring = KeyRing(master)
    async with database.platform() as session:
        await service_keys.name_deployment(session, deployment_id)
    rpc = EvmClient(node.url)
    try:
        yield House(database, urls, owner, node, rpc, ring, master, deployment_id, SystemClock())
    finally:
        await rpc.aclose()
