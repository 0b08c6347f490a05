"""Whoever has locked a row does not hold up those who only refer to it: else PostgreSQL's own checks take locks out of order."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from guerdon.kit import driver
from guerdon.kit.database import Database, PlatformSession
from guerdon.kit.ids import uuid7
from guerdon.payouts import repository_batches
from guerdon.txmanager import repository, repository_treasuries

TREASURY, KEY, ASSET, BATCH, INTENT = (uuid7() for _ in range(5))

ROWS = f"""
insert into networks (name, chain_id, block_time_ms, created_at) values ('local', 1, 1, now());
insert into assets (id, symbol, decimals, delivery, network, mintable, created_at)
    values ('{ASSET}', 'LTZ', 0, 'automatic', 'local', true, now());
insert into keys (id, network, purpose, address, secret_encrypted, created_at)
    values ('{KEY}', 'local', 'treasury', '0x1', '', now());
insert into treasuries (id, network, asset_id, key_id, token_address, token_decimals, address, created_at)
    values ('{TREASURY}', 'local', '{ASSET}', '{KEY}', '0x2', 0, '0x1', now());
insert into intents (id, key_id, network, kind, data, value_wei, state, created_at, updated_at)
    values ('{INTENT}', '{KEY}', 'local', 'pay', '', 0, 'queued', now(), now());
insert into batches (id, treasury_id, state, opened_at) values ('{BATCH}', '{TREASURY}', 'closed', now());
"""


@pytest.fixture(autouse=True)
async def rows(owner: driver.RawConnection) -> None:
    await owner.execute(ROWS)


async def freeze(session: PlatformSession) -> None:
    """A batch's row is changed twice, as when it is frozen: the second time PostgreSQL checks all that it refers to."""
    await session.execute(text("set local lock_timeout = '2s'"))
    batch = await repository_batches.batch(session, BATCH, for_update=True)
    assert batch is not None
    batch.size = 1
    await session.flush()
    batch.intent_id = INTENT
    await session.flush()


async def test_s15_a_batch_is_frozen_while_its_treasury_is_locked(database: Database) -> None:
    async with database.platform() as other:
        await repository_treasuries.lock_treasury(other, TREASURY)
        await repository.lock_intent(other, INTENT)
        async with database.platform() as session:
            await freeze(session)


async def test_s15_reserving_and_freezing_at_once_do_not_wait_for_each_other_in_a_circle(database: Database) -> None:
    has_batch, has_treasury = asyncio.Event(), asyncio.Event()

    async def freezes() -> None:
        async with database.platform() as session:
            await repository_batches.batch(session, BATCH, for_update=True)
            has_batch.set()
            await has_treasury.wait()
            await freeze(session)

    async def reserves() -> UUID | None:
        await has_batch.wait()
        async with database.platform() as session:
            assert await repository_treasuries.lock_treasuries_of_asset(session, ASSET)
            has_treasury.set()
            # Treasury, then batch: the order of SAFETY S15.
            locked = await repository_batches.batch(session, BATCH, for_update=True)
            return None if locked is None else locked.intent_id

    _, seen = await asyncio.gather(freezes(), reserves())
    assert seen == INTENT


async def test_s15_payouts_are_put_into_a_batch_that_is_locked_by_another(database: Database) -> None:
    async with database.platform() as other:
        await repository_batches.batch(other, BATCH, for_update=True)
        async with database.platform() as session:
            await session.execute(text("set local lock_timeout = '2s'"))
            await session.execute(
                text(
                    f"insert into batch_members (batch_id, program_id, delivery_id, destination, amount_atomic) values ('{BATCH}', '{uuid7()}', '{uuid7()}', '0x2', 1)"
                )
            )


async def test_s15_a_treasury_that_is_locked_is_locked_for_whoever_would_change_it(database: Database) -> None:
    async with database.platform() as other:
        await repository_treasuries.lock_treasury(other, TREASURY)
        with pytest.raises(DBAPIError, match="lock timeout"):
            async with database.platform() as session:
                await session.execute(text("set local lock_timeout = '200ms'"))
                await repository_treasuries.lock_treasuries_of_asset(session, ASSET)
