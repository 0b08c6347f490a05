"""A program whose points are claimed as SPL tokens of a local Solana: an engine, a worker, a mint, members. All parts are real."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, create_account

from guerdon.accounts.models import Account
from guerdon.chains.solana import instructions
from guerdon.chains.solana.client import SolanaClient
from guerdon.chains.solana.programs import TOKEN
from guerdon.chains.solana.tokens import Mint, associated_address
from guerdon.kit.database import ProgramSession, run_in_program
from guerdon.kit.ids import uuid7
from guerdon.kit.worker import Worker
from guerdon.ledger import service as ledger
from guerdon.ledger.models import Asset, Delivered, PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.rates import Rate
from guerdon.payouts import jobs as payout_jobs
from guerdon.payouts.claims.service import ClaimRequest, request_claim
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.distributor import open_rail
from guerdon.payouts.terms import PayoutTerms
from guerdon.programs import funding
from guerdon.programs.funding import FundingDeps
from guerdon.programs.models import Program
from guerdon.txmanager import options, treasuries
from guerdon.txmanager.models import Treasury
from guerdon.txmanager.options import NewOption
from guerdon.txmanager.terms import EngineTerms
from tests.support.solana_tokens import Extending
from tests.txmanager.engine_scene import EngineProcess
from tests.txmanager.solana.scene import NETWORK, QUICK, SOL, Ledger, Scene

TERMS = PayoutTerms(wait_seconds=0.3, full_wait_seconds=0.1, sweep_seconds=0.5)
_MINT_BYTES = 82
_INITIALIZE_MINT = 20
_MINT_TO = 7
_SET_AUTHORITY = 6
_OF_MINTING = 0
_FREEZE = 10
_THAW = 11


@dataclass
class Purse:
    """10 atomic units a point, 6 decimals. Members are paid from a treasury whose key is the scene's."""

    scene: Scene
    rpc: SolanaClient
    owner: Keypair
    """Of the mint: may mint and freeze."""
    mint: Mint
    points: UUID
    program: UUID
    treasury_id: UUID
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    """A connection does one thing at a time."""

    async def chain(self, _network: str, /) -> SolanaClient:
        return self.rpc

    @property
    def deps(self) -> PayoutDeps:
        return PayoutDeps(self.scene.database, self.chain, TERMS, self.chain)

    @property
    def funding_deps(self) -> FundingDeps:
        return FundingDeps(self.scene.database, self.chain, self.chain)

    @property
    def node(self) -> Ledger:
        return self.scene.node

    async def value(self, query: str, *arguments: object) -> Any:
        async with self.one_at_a_time:
            return await self.scene.owner.fetchval(query, *arguments)

    async def treasury(self) -> Treasury:
        async with self.scene.database.platform() as session:
            return await session.get_one(Treasury, self.treasury_id, populate_existing=True)

    @asynccontextmanager
    async def working(self) -> AsyncGenerator[None]:
        """An engine and a worker that do what is due, inside the block."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.scene.engine())
            handlers = {**payout_jobs.handlers(self.deps), funding.WORK: self._advance_fundings}
            worker, stop = Worker(self.scene.database, handlers, name="worker"), asyncio.Event()
            task = asyncio.create_task(worker.run(stop))
            try:
                await payout_jobs.schedule(self.deps)
                yield
            finally:
                stop.set()
                await asyncio.wait_for(task, 20)

    async def _advance_fundings(self, _: UUID) -> timedelta | None:
        return await funding.advance(self.funding_deps)

    @asynccontextmanager
    async def process(self, terms: EngineTerms = QUICK, *, url: str | None = None) -> AsyncGenerator[EngineProcess]:
        """The same in a process of its own, killed at the end if it still runs; without `url` the node is behind the proxy."""
        told = {
            "database": self.scene.urls.app, "rpc": url or self.scene.proxy.url, "network": NETWORK,
            "deployment": str(self.scene.deployment_id), "master": self.scene.master.to_text(), "terms": asdict(TERMS),
            "engine": asdict(terms),
        }  # fmt: skip
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.payouts.solana.worker_process", env={**os.environ, "WORKER": json.dumps(told)}
        )
        process = EngineProcess(child)
        try:
            yield process
        finally:
            await process.kill()

    async def stock(self, atomic: int) -> None:
        """Put tokens into the treasury, and let that be known as it is at finality."""
        await give(self.node, self.owner, self.mint, str(self.scene.address), atomic)
        await self.node.advance(40)
        await self.seen()

    async def seen(self) -> None:
        treasury = await self.treasury()
        rail = await open_rail(self.deps, treasury)
        assert rail is not None
        finality = await rail.finality()
        async with self.scene.database.platform() as session:
            await treasuries.refresh(session, treasury.id, finality)

    async def member(self, points: int, wallet: str) -> UUID:
        """An account with points that are available, and a wallet that it has proven."""
        account_id = uuid7()
        async with self.scene.database.program(self.program) as session:
            session.add(
                Account(
                    program_id=self.program, id=account_id, wallet_address="0x" + account_id.hex.rjust(40, "0"), created_at=_now()
                )
            )
            await session.flush()
            reward = Movement(PostingKind.REWARD, uuid7(), self.points, points, account_id)
            await ledger.post(session, self.program, [reward], _now())
        await self.value(
            "insert into addresses (program_id, id, account_id, network, namespace, chain_id, address, verified_at, proof_method, "
            "usable_from, created_at) values ($1, $2, $3, $4, 'solana', null, $5, now(), 'ed25519', now(), now())",
            self.program, uuid7(), account_id, NETWORK, wallet,
        )  # fmt: skip
        return account_id

    async def claim(self, points: int, wallet: str | None = None) -> tuple[UUID, str]:
        """A new member claims all of it; the claim and the wallet."""
        wallet = wallet or str(Keypair().pubkey())
        account_id = await self.member(points, wallet)
        return await self.claim_of(account_id, points, wallet), wallet

    async def claim_of(self, account_id: UUID, points: int, wallet: str) -> UUID:
        async def work(session: ProgramSession) -> UUID:
            program = await session.get_one(Program, self.program)
            _, delivery = await request_claim(session, program, account_id, ClaimRequest(points, wallet))
            return delivery.id

        return await run_in_program(self.scene.database, self.program, work)

    async def states(self) -> dict[str, int]:
        async with self.one_at_a_time:
            rows = await self.scene.owner.fetch("select state, count(*) as n from deliveries group by 1")
        return {row["state"]: row["n"] for row in rows}

    async def until_states(self, expected: dict[str, int], seconds: float = 40) -> None:
        async def reached() -> bool:
            return await self.states() == expected

        await self.until(reached, seconds)

    async def until(self, condition: Callable[[], Awaitable[Any]], seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, await self.situation()
            await asyncio.sleep(0.05)

    async def situation(self) -> str:
        parts: list[Any] = [await self.states()]
        for query in (
            "select id, state, size, delivery_state from batches",
            "select kind, state, held_back, error from intents",
            "select kind, last_error from work where last_error is not null",
            "select kind, payload from outbox where severity is not null and resolved_at is null",
            "select reason from deliveries where reason is not null",
            "select paused_at, pause_reason, balance_final, reserved from treasuries",
        ):
            parts += [dict(row) for row in await self.scene.owner.fetch(query)]
        return "\n".join(map(str, parts))

    async def held(self, wallet: str) -> int:
        """Tokens of a wallet at the head."""
        return await held(self.node, wallet, self.mint)


def _now() -> datetime:
    return datetime.now(UTC)


async def held(node: Ledger, wallet: str, mint: Mint) -> int:
    at = associated_address(wallet, mint)
    if not await node.exists(at):
        return 0
    return int((await node.rpc("getTokenAccountBalance", at, {"commitment": "processed"}))["value"]["amount"])


async def make_mint(
    node: Ledger, owner: Keypair, decimals: int = 6, *, program: str = TOKEN, extending: Sequence[Extending] = ()
) -> Mint:
    """A new token, which its owner may mint and freeze; with extensions it has to be of Token-2022."""
    pair = Keypair()
    program_key = Pubkey.from_string(program)
    size = 166 + sum(one.size for one in extending) if extending else _MINT_BYTES
    made = create_account(
        CreateAccountParams(
            from_pubkey=owner.pubkey(), to_pubkey=pair.pubkey(), lamports=5_000_000, space=size, owner=program_key
        )
    )
    data = bytes([_INITIALIZE_MINT, decimals]) + bytes(owner.pubkey()) + b"\x01" + bytes(owner.pubkey())
    named = [AccountMeta(pair.pubkey(), is_signer=False, is_writable=True)]
    begun = [Instruction(program_key, content, named) for content in (*(one.data for one in extending), data)]
    await node.send_from_outside(owner, made, *begun, others=[pair])
    return Mint(str(pair.pubkey()), program, decimals)


async def give(node: Ledger, owner: Keypair, mint: Mint, wallet: str, atomic: int) -> None:
    """Mint tokens to a wallet."""
    await node.send_from_outside(owner, *mint_to(owner, mint, wallet, atomic))


def mint_to(owner: Keypair, mint: Mint, wallet: str, atomic: int) -> list[Instruction]:
    """What mints tokens to a wallet, whose account for them is made if it is missing."""
    minted = Instruction(
        Pubkey.from_string(mint.program),
        bytes([_MINT_TO]) + atomic.to_bytes(8, "little"),
        [
            AccountMeta(Pubkey.from_string(mint.address), is_signer=False, is_writable=True),
            AccountMeta(Pubkey.from_string(associated_address(wallet, mint)), is_signer=False, is_writable=True),
            AccountMeta(owner.pubkey(), is_signer=True, is_writable=False),
        ],
    )
    return [instructions.create_token_account(str(owner.pubkey()), wallet, mint), minted]


async def give_right_to_mint(node: Ledger, owner: Keypair, mint: Mint, to: str | None) -> None:
    """Let somebody else mint from now on; None: nobody, for ever."""
    accounts = [
        AccountMeta(Pubkey.from_string(mint.address), is_signer=False, is_writable=True),
        AccountMeta(owner.pubkey(), is_signer=True, is_writable=False),
    ]
    given = b"\0" if to is None else b"\x01" + bytes(Pubkey.from_string(to))
    data = bytes([_SET_AUTHORITY, _OF_MINTING]) + given
    await node.send_from_outside(owner, Instruction(Pubkey.from_string(mint.program), data, accounts))


async def freeze(node: Ledger, owner: Keypair, mint: Mint, wallet: str, *, thaw: bool = False) -> None:
    """Freeze a wallet's tokens, or thaw them."""
    accounts = [
        AccountMeta(Pubkey.from_string(associated_address(wallet, mint)), is_signer=False, is_writable=True),
        AccountMeta(Pubkey.from_string(mint.address), is_signer=False, is_writable=False),
        AccountMeta(owner.pubkey(), is_signer=True, is_writable=False),
    ]
    await node.send_from_outside(
        owner, Instruction(Pubkey.from_string(mint.program), bytes([_THAW if thaw else _FREEZE]), accounts)
    )


@asynccontextmanager
async def a_purse(
    scene: Scene, stock: int = 10**12, points: int = 10**9, *, program: str = TOKEN, extending: Sequence[Extending] = ()
) -> AsyncIterator[Purse]:
    """A mint, a treasury with a stock of it, a program with points, and nobody who claims yet."""
    owner = Keypair()
    await scene.node.fund(str(owner.pubkey()), 100 * SOL)
    await scene.node.fund(scene.address, 100 * SOL)
    mint = await make_mint(scene.node, owner, program=program, extending=extending)
    asset_id, program_id = uuid7(), uuid7()
    async with scene.database.platform() as session:
        asset = Asset(
            id=asset_id, symbol="PTS", decimals=0, delivery=Delivered.ON_CLAIM, atomic_per_point=1, mintable=False,
            created_at=_now(),
        )  # fmt: skip
        session.add(asset)
        await session.flush()
        await options.set_option(session, asset, NewOption(NETWORK, mint.address, Rate(10)), mint.decimals, _now())
        treasury = await treasuries.create_treasury(session, scene.ring, asset, network=NETWORK, key_id=scene.key_id, now=_now())
        session.add(
            Program(
                id=program_id, brand_id="0x" + program_id.hex.rjust(40, "0"), name="Test", asset_id=asset_id, created_at=_now()
            )
        )
    rpc = scene.client()
    purse = Purse(scene, rpc, owner, mint, asset_id, program_id, treasury.id)
    if stock:
        await purse.stock(stock)
    if points:
        async with scene.database.program(program_id) as session:
            await ledger.post(session, program_id, [Movement(PostingKind.FUND, uuid7(), asset_id, points)], _now())
    yield purse
