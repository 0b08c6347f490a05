"""A pool is shared out at its end, once, by what was settled while it ran."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from guerdon.earning import pool_payout, repository_campaigns
from guerdon.earning.jobs import share_out_pools
from guerdon.earning.models_volume import CampaignRow
from guerdon.earning.volume_booking import credit
from guerdon.earning.volume_terms import Held
from guerdon.earning.volume_undoing import undo
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.earning.house import ANN, BOB, CID, DAY, NOW, House, a_house, paid

# The database's clock judges when a pool has ended; this one has.
OVER = NOW - 5 * DAY
THEN = OVER - DAY


async def a_pool(house: House, **config: Any) -> UUID:
    return await house.campaign("pool", end_at=OVER, settle_seconds=0, **config)


async def frozen(house: House, pool: UUID) -> CampaignRow:
    async with house.database.program(house.program_id) as session:
        row = await repository_campaigns.campaign(session, house.program_id, pool)
        assert row is not None
        return row


async def test_x402_defect_08_a_pool_is_frozen_once_and_whatever_comes_later_changes_no_share(database: Database) -> None:
    house = await a_house(database)
    pool = await a_pool(house, pool_points="1000", threshold_volume="20000")
    late = paid(500_000, CID, at=THEN)
    await house.credit(paid(60_000, at=THEN), paid(20_000, BOB, at=THEN), paid(19_999, CID, at=THEN), paid(10**6, at=OVER))
    assert await share_out_pools(database, house.program_id) is None
    assert [(await house.points(account))[0] for account in (ANN, BOB, CID)] == [6 + 100 + 750, 2 + 250, 1]
    await house.credit(late)
    await share_out_pools(database, house.program_id)
    assert (await house.points(CID))[0] == 51
    assert (await house.spending(pool))[0] == 1000
    assert await house.findings() == []
    assert (await frozen(house, pool)).state == "ended"


async def test_s10_a_pool_is_frozen_after_the_batch_that_is_being_booked_and_with_it(database: Database) -> None:
    house = await a_house(database)
    pool = await a_pool(house, pool_points="1000")
    await house.credit(paid(10_000, BOB, at=THEN))

    async def freeze() -> bool:
        async with database.program(house.program_id) as session:
            return await pool_payout.freeze(session, house.program_id, pool, NOW)

    async with database.program(house.program_id) as session:
        await credit(session, house.program_id, [paid(10_000, at=THEN)], NOW)
        freezing = asyncio.create_task(freeze())
        await asyncio.sleep(0.5)
        assert not freezing.done()
    assert await freezing
    await share_out_pools(database, house.program_id)
    assert [(await house.points(account))[0] for account in (ANN, BOB)] == [501, 501]


async def test_x402_defect_06_multipliers_are_on_both_sides_so_a_pool_is_never_overdrawn(database: Database) -> None:
    tiers = [
        {"name": "bronze", "volume_micro_usd": "0", "multiplier": "1"},
        {"name": "gold", "volume_micro_usd": "100000", "multiplier": "2"},
    ]
    house = await a_house(database, tiers=tiers)
    pool = await a_pool(house, pool_points="1001", boosts=[{"facilitator_id": "own", "multiplier": "3"}])
    await house.credit(
        paid(100_000, at=THEN), paid(50_000, at=THEN + timedelta(hours=1), facilitator_id="own"), paid(100_000, BOB, at=THEN)
    )
    await share_out_pools(database, house.program_id)
    # Ann weighs 100,000 + 50,000 * 2 * 3 = 400,000 and Bob 100,000.
    assert await house.spending(pool) == (1001, 2)
    # Base: 10 and 5 * 2 for gold, 10.
    assert [(await house.points(account))[0] for account in (ANN, BOB)] == [20 + 801, 10 + 200]
    assert await house.findings() == []


async def test_x402_defect_07_a_pool_that_nobody_counts_for_stores_no_share_of_nothing(database: Database) -> None:
    house = await a_house(database)
    pool = await a_pool(house, pool_points="1000")
    assert await share_out_pools(database, house.program_id) is None
    row = await frozen(house, pool)
    assert (row.frozen_at is not None, row.paid_at is not None) == (True, True)
    assert await house.findings() == []


async def test_s34_what_is_not_final_or_waits_for_a_review_has_no_share(database: Database) -> None:
    house = await a_house(database)
    await a_pool(house, pool_points="1000")
    await house.credit(
        paid(10_000, at=THEN), paid(90_000, BOB, at=THEN, is_final=False), paid(90_000, CID, at=THEN, review="a loop")
    )
    await share_out_pools(database, house.program_id)
    assert [sum(await house.points(account)) for account in (ANN, BOB, CID)] == [1001, 9, 9]


async def test_a_settlement_that_is_undone_after_the_freeze_keeps_what_was_shared(database: Database) -> None:
    house = await a_house(database)
    pool = await a_pool(house, pool_points="1000")
    payment = paid(10_000, at=THEN)
    await house.credit(payment)
    await share_out_pools(database, house.program_id)
    async with database.program(house.program_id) as session:
        await undo(session, house.program_id, [payment.id], Held.REORGANISED, NOW)
    assert (await house.points(), await house.spending(pool)) == ((1000, 0, 0), (1000, 1))
    assert await house.findings() == []


async def test_many_shares_are_booked_in_pieces_once_by_however_many_workers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_payout, "SHARES_A_TRANSACTION", 7)
    house = await a_house(database)
    pool = await a_pool(house, pool_points="12345")
    accounts = [uuid5(ANN, str(number)) for number in range(40)]
    await house.credit(*(paid(100 * number + 100, account, at=THEN) for number, account in enumerate(accounts)))
    await asyncio.gather(*(share_out_pools(database, house.program_id) for _ in range(4)))
    assert (await house.spending(pool))[0] == 12345
    assert (await frozen(house, pool)).paid_at is not None
    assert 10**12 - await house.funds() == 12345 + sum([(100 * number + 100) // 10_000 for number in range(40)])
    assert await house.findings() == []


async def test_without_funds_a_pool_waits_and_is_booked_once_there_are_some(database: Database) -> None:
    house = await a_house(database, funds=100)
    await a_pool(house, pool_points="1000")
    await house.credit(paid(10_000, at=THEN))
    assert await share_out_pools(database, house.program_id) == timedelta(minutes=5)
    async with database.program(house.program_id) as session:
        await ledger.post(session, house.program_id, [Movement(PostingKind.FUND, uuid7(), house.asset_id, 10_000)], NOW)
    assert await share_out_pools(database, house.program_id) is None
    assert await house.points() == (1001, 0, 0)
    assert await house.findings() == []


async def test_a_pool_waits_for_its_end_and_the_time_after_it(database: Database) -> None:
    house = await a_house(database)
    running = await house.campaign("pool", pool_points="10", end_at=NOW + 400 * DAY)
    due = await share_out_pools(database, house.program_id)
    assert due == NOW + 400 * DAY
    assert (await frozen(house, running)).frozen_at is None
