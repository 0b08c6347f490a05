"""A program with accounts that have points, drops over them, and whoever claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from guerdon.chains import drop_contract
from guerdon.kit.database import Database, raw_connection
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.ledger.verify import verify_program
from guerdon.payouts import drops
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.drops import NewDrop, Proof
from guerdon.payouts.models_drops import Drop
from tests.payouts.house import House
from tests.payouts.moody import OUTSIDER

DAYS = 30


@dataclass
class Stage:
    """A program of the house, with accounts that earned."""

    house: House
    program: UUID
    wallets: dict[UUID, str] = field(default_factory=dict)

    async def account(self, points: int = 0, wallet: str | None = None) -> UUID:
        account = await self.house.account(self.program, wallet)
        self.wallets[account] = await self.house.value("select wallet_address from accounts where id = $1", account)
        if points:
            await self.earn(account, points)
        return account

    async def earn(self, account: UUID, points: int) -> None:
        await self.post(PostingKind.REWARD, account, points)

    async def post(self, kind: PostingKind, account: UUID, points: int) -> None:
        async with self.house.database.program(self.program) as session:
            movement = Movement(kind, uuid7(), self.house.asset_id, points, account)
            await ledger.post(session, self.program, [movement], self.house.clock.now())

    async def drop(self, *, opens: timedelta = timedelta(0), days: float = DAYS, **changes: Any) -> Drop:
        # By the chain's clock, which tests move.
        block = await self.house.node.rpc("eth_getBlockByNumber", "latest", False)
        now = max(datetime.fromtimestamp(int(block["timestamp"], 16), UTC), datetime.now(UTC) - timedelta(seconds=5))
        asked = NewDrop(self.program, self.house.asset_id, now + opens, now + timedelta(days=days), **changes)
        async with self.house.database.platform() as session:
            return await drops.create(session, asked)

    async def state(self, drop: Drop) -> str:
        return str(await self.house.value("select state from drops where id = $1", drop.id))

    async def season_state(self, drop: Drop) -> str:
        return str(await self.house.value("select state from drop_seasons where id = $1", drop.season_id))

    async def until(self, drop: Drop, state: str, seconds: float = 30) -> None:
        async def reached() -> bool:
            return await self.state(drop) == state

        await self.house.until(reached, seconds)

    async def until_season(self, drop: Drop, state: str, seconds: float = 30) -> None:
        async def reached() -> bool:
            return await self.season_state(drop) == state

        await self.house.until(reached, seconds)

    async def published(self, **changes: Any) -> Drop:
        made = await self.drop(**changes)
        await self.until(made, "published")
        return made

    async def proof(self, drop: Drop, account: UUID) -> Proof:
        return await self.proof_at(drop, self.wallets[account])

    async def proof_at(self, drop: Drop, address: str) -> Proof:
        async with self.house.database.program(self.program) as session:
            return await drops.proof(session, self.program, drop.season_id, address)

    async def submit(self, found: Proof) -> dict[str, Any]:
        """Somebody who has nothing to do with it sends a claim; its receipt."""
        return await self.send(found.season.contract, found.call)

    async def claim(self, drop: Drop, account: UUID) -> None:
        receipt = await self.submit(await self.proof(drop, account))
        assert receipt["status"] == "0x1"

    async def send(self, to: str, data: bytes) -> dict[str, Any]:
        transaction = {"from": OUTSIDER, "to": to, "data": f"0x{data.hex()}", "gas": hex(500_000)}
        sent = await self.house.node.rpc("eth_sendTransaction", transaction)
        for _ in range(200):
            receipt = await self.house.node.rpc("eth_getTransactionReceipt", sent)
            if receipt is not None:
                return dict(receipt)
            await asyncio.sleep(0.03)
        raise AssertionError("not mined")

    async def close_by_hand(self, drop: Drop) -> dict[str, Any]:
        season = await self.house.owner.fetchrow("select contract, chain_season from drop_seasons where id = $1", drop.season_id)
        assert season is not None
        return await self.send(season["contract"], drop_contract.close_call(season["chain_season"]))

    async def pass_days(self, days: float) -> None:
        await self.house.node.rpc("evm_increaseTime", int(days * 86_400))

    async def balance(self, account: UUID) -> dict[str, int]:
        row = await self.house.owner.fetchrow(
            "select available, held, claimed, debt from account_balances where account_id = $1", account
        )
        return {} if row is None else dict(row)

    async def fates(self, drop: Drop) -> dict[str, int]:
        rows = await self.house.owner.fetch("select fate, count(*) as n from drop_leaves where drop_id = $1 group by 1", drop.id)
        return {row["fate"]: row["n"] for row in rows}

    async def all_is_well(self) -> None:
        """Books against themselves and against the chain."""
        async with self.house.database.program(self.program) as session:
            assert await verify_program(session, self.program) == []
        assert await self.house.findings() == []


async def a_stage(house: House, funds: int = 100_000) -> Stage:
    return Stage(house, await house.program(funds=funds))


class CrashError(Exception):
    """The process is gone."""


class CrashingDatabase(Database):
    """Dies at its nth transaction that wrote: before its commit, or right after it."""

    def __init__(self, url: str, nth: int, *, after: bool) -> None:
        super().__init__(url)
        self.left = nth
        self._after = after

    @asynccontextmanager
    async def _transaction(self, session_type: Any, begin: str) -> AsyncGenerator[Any]:
        if self.left <= 0:
            raise CrashError
        wrote = False
        async with super()._transaction(session_type, begin) as session:
            yield session
            await session.flush()
            wrote = await (await raw_connection(session)).fetchval("select pg_current_xact_id_if_assigned() is not null")
            self.left -= bool(wrote)
            if wrote and self.left == 0 and not self._after:
                raise CrashError
        if wrote and self.left == 0:
            raise CrashError


def deps_of(house: House, database: Database) -> PayoutDeps:
    return PayoutDeps(database, house.chain)
