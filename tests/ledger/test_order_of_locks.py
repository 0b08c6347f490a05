"""Postings take their locks in one order: accounts by key, then the program's rows by asset, last of all (SAFETY S15)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from uuid import UUID

import pytest

from guerdon.kit.database import Database, begin_in_program, raw_connection
from guerdon.kit.driver import RawConnection
from guerdon.kit.ids import uuid7
from guerdon.ledger import service
from guerdon.ledger.errors import PostingConflictError
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.support.books import NOW, a_program, an_asset

pytestmark = pytest.mark.every_database

ANN, BOB = UUID(int=11), UUID(int=12)
_SOMEBODY_WAITS = "select exists(select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"


async def post(database: Database, program_id: UUID, *movements: Movement) -> int:
    async with database.program(program_id) as session:
        return await service.post(session, program_id, movements, NOW)


async def waiting(owner: RawConnection, work: Awaitable[int]) -> asyncio.Task[int]:
    """The work, begun, and held up by somebody's lock."""
    task = asyncio.ensure_future(work)
    async with asyncio.timeout(20):
        while not await owner.fetchval(_SOMEBODY_WAITS):
            assert not task.done(), await task
            await asyncio.sleep(0.01)
    return task


async def test_s15_the_programs_row_is_taken_after_everything_else_is_written(database: Database, owner: RawConnection) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=1_000)
    raw, ref = await database.raw(), uuid7()
    await post(database, program, Movement(PostingKind.REWARD, uuid7(), asset, 10, BOB))
    async with raw.acquire() as other:
        await other.execute(begin_in_program(program))
        await other.execute(
            "insert into postings select program_id, asset_id, kind, $1, from_bucket, to_bucket, amount, account_id, version,"
            " available_after, posted_at from postings where kind = 'reward'",
            ref,
        )
        task = await waiting(owner, post(database, program, Movement(PostingKind.REWARD, ref, asset, 10, BOB)))
        async with database.program(program) as session:
            free = await (await raw_connection(session)).fetch("select from program_balances for update skip locked")
        assert len(free) == 1
        await other.execute("rollback")
    assert await task == 1


async def test_s15_several_assets_take_the_programs_rows_in_order(database: Database, owner: RawConnection) -> None:
    assets = sorted([await an_asset(database) for _ in range(60)])
    program = await a_program(database, assets[0])
    for asset in reversed(assets):
        await post(database, program, Movement(PostingKind.FUND, uuid7(), asset, 100))
    # With statistics, so many rows are read in the order in which they lie there.
    await owner.execute("analyze program_balances")
    raw, many = await database.raw(), assets[:10]
    take = "update program_balances set funds = funds where asset_id = $1"
    async with raw.acquire() as other:
        await other.execute(begin_in_program(program))
        await other.execute(take, many[0])
        rewards = [Movement(PostingKind.REWARD, uuid7(), asset, 1, ANN) for asset in many]
        task = await waiting(owner, post(database, program, *rewards))
        await other.execute("set local lock_timeout = '2s'")
        await other.execute(take, many[-1])
        await other.execute("commit")
    assert await task == 10


async def test_s15_accounts_without_a_balance_are_made_in_the_order_of_the_locks(
    database: Database, owner: RawConnection
) -> None:
    """An intake batch waits for Ann's row and wants Bob's next, who has none: nobody may have made it before they wait for Ann's."""
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=1_000)
    await post(database, program, Movement(PostingKind.REWARD, uuid7(), asset, 1, ANN))
    raw = await database.raw()
    async with raw.acquire() as holder, raw.acquire() as intake:
        for connection in (holder, intake):
            await connection.execute(begin_in_program(program))
        await holder.execute("select from account_balances where account_id = $1 for update", ANN)

        async def book_both() -> int:
            await intake.execute(
                "insert into account_balances (program_id, asset_id, account_id)"
                " select $1, $2, account from unnest($3::uuid[]) as account"
                " on conflict (program_id, asset_id, account_id) do update set debt = account_balances.debt",
                program,
                asset,
                [ANN, BOB],
            )
            await intake.execute("commit")
            return 0

        first = await waiting(owner, book_both())
        second = asyncio.ensure_future(
            post(database, program, *(Movement(PostingKind.REWARD, uuid7(), asset, 1, account) for account in (ANN, BOB)))
        )
        await asyncio.sleep(0.3)
        await holder.execute("commit")
        assert await asyncio.gather(first, second) == [0, 2]


async def test_one_key_for_two_accounts_at_once_is_a_conflict(database: Database, owner: RawConnection) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=1_000)
    ref = uuid7()
    async with database.program(program) as session:
        await service.post(session, program, [Movement(PostingKind.REWARD, ref, asset, 3, ANN)], NOW)
        task = await waiting(owner, post(database, program, Movement(PostingKind.REWARD, ref, asset, 3, BOB)))
    with pytest.raises(PostingConflictError):
        await task


@pytest.mark.parametrize(("kind", "account"), [(PostingKind.REWARD, None), (PostingKind.FUND, ANN)])
async def test_what_is_of_an_account_names_one(database: Database, kind: PostingKind, account: UUID | None) -> None:
    asset = await an_asset(database)
    program = await a_program(database, asset, funds=1_000)
    with pytest.raises(ValueError, match="of an account"):
        await post(database, program, Movement(kind, uuid7(), asset, 3, account))
