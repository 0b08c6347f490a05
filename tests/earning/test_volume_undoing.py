"""What is taken back leaves everything as if it had never been settled."""

from __future__ import annotations

import asyncio
import random

import pytest

from guerdon.earning.volume_booking import Repeated
from guerdon.earning.volume_life import finalise
from guerdon.earning.volume_terms import Held, Settled
from guerdon.earning.volume_undoing import Undone, undo
from guerdon.kit.database import Database, ProgramSession, run_in_program
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.earning.house import ANN, BOB, CID, DAY, NOW, House, a_house, paid


async def take_back(house: House, *payments: Settled, why: Held = Held.REORGANISED) -> Undone:
    async def work(session: ProgramSession) -> Undone:
        return await undo(session, house.program_id, [payment.id for payment in payments], why, NOW)

    return await run_in_program(house.database, house.program_id, work, attempts=20)


async def test_what_is_undone_leaves_nothing_behind(database: Database) -> None:
    house = await a_house(database, cap_account=1000, cap_payer=1000, cap_program=1000)
    campaigns = [
        await house.campaign(multiplier="2", max_budget_points="100"),
        await house.campaign("bonus", bonus_points="50", max_budget_points="50"),
        await house.campaign("pool", pool_points="1000"),
    ]
    payments = [paid(15_000, is_final=False), paid(5_000, is_final=False)]
    await house.credit(*payments)
    undone = await take_back(house, *payments)
    assert (undone.settlements, undone.from_held) == (2, 54)
    assert (await house.points(), await house.fraction(), await house.volume()) == ((0, 0, 0), 0, 0)
    assert [await house.spending(campaign) for campaign in campaigns] == [(0, 0)] * 3
    assert await house.funds() == 10**12
    assert await take_back(house, *payments) == Undone()
    assert await house.credit(payments[0]) == [Repeated()]
    assert await house.findings() == []
    # What was given back can be earned by somebody else.
    await house.credit(paid(10_000, BOB))
    assert await house.points(BOB) == (52, 0, 0)


async def test_a_point_that_became_whole_with_what_is_gone_is_taken_of_another(database: Database) -> None:
    house = await a_house(database)
    first, second = paid(6_000, is_final=False), paid(6_000, at=NOW, is_final=False)
    await house.credit(first)
    await house.credit(second)
    assert (await house.points(), await house.fraction()) == ((0, 1, 0), 200_000)
    await take_back(house, first)
    assert (await house.points(), await house.fraction()) == ((0, 0, 0), 600_000)
    await house.credit(paid(4_000))
    assert (await house.points(), await house.fraction()) == ((1, 0, 0), 0)
    assert await house.findings() == []


async def test_a_milestone_that_is_not_reached_without_it_is_taken_from_what_it_was_paid_with(database: Database) -> None:
    house = await a_house(database)
    campaign = await house.campaign("threshold", threshold_volume="100000", threshold_points="500", max_budget_points="500")
    lost, honest = paid(90_000, is_final=False), paid(20_000)
    await house.credit(lost)
    await house.credit(honest)
    assert await house.points() == (502, 9, 0)
    undone = await take_back(house, lost)
    assert (undone.from_held, undone.from_available) == (9, 500)
    assert (await house.points(), await house.spending(campaign)) == ((2, 0, 0), (0, 0))
    assert await house.findings() == []
    await house.credit(paid(80_000))
    assert await house.points() == (510, 0, 0)
    # And with it goes again what was paid for it.
    await take_back(house, honest)
    assert (await house.points(), await house.spending(campaign)) == ((8, 0, 0), (0, 0))
    assert await house.findings() == []


@pytest.mark.parametrize(("policy", "debt", "written_off"), [("debt", 40, 0), ("within_balance", 0, 40)])
async def test_s13_what_is_not_there_any_more_is_a_debt_where_the_policy_is_debt(
    database: Database, policy: str, debt: int, written_off: int
) -> None:
    house = await a_house(database, reversal_policy=policy)
    payment = paid(1_000_000)
    await house.credit(payment)
    async with database.program(house.program_id) as session:
        hold = Movement(PostingKind.HOLD, uuid7(), house.asset_id, 40, ANN)
        await ledger.post(session, house.program_id, [hold], NOW)
    undone = await take_back(house, payment)
    assert (undone.from_available, undone.as_debt, undone.written_off) == (60, debt, written_off)
    assert await house.points() == (0, 40, debt)


async def test_a_reversal_after_the_campaign_has_ended_restores_its_budget(database: Database) -> None:
    house = await a_house(database)
    campaign = await house.campaign(multiplier="2", max_budget_points="10", end_at=NOW - DAY)
    payment = paid(100_000, at=NOW - 2 * DAY, is_final=False)
    await house.credit(payment)
    assert await house.spending(campaign) == (10, 1)
    await take_back(house, payment)
    assert await house.spending(campaign) == (0, 0)
    # What was settled while it ran and is found late has it.
    await house.credit(paid(100_000, BOB, at=NOW - 2 * DAY))
    assert await house.points(BOB) == (20, 0, 0)
    assert await house.findings() == []


async def test_an_undone_settlement_can_not_become_available(database: Database) -> None:
    house = await a_house(database)
    payment = paid(50_000, is_final=False)
    await house.credit(payment)
    await take_back(house, payment)
    async with database.program(house.program_id) as session:
        assert await finalise(session, house.program_id, [payment.id], NOW) == 0
    assert await house.points() == (0, 0, 0)


async def test_s10_crediting_and_undoing_at_once_keep_the_books_whatever_comes_first(database: Database) -> None:
    house = await a_house(database, cap_account=500)
    budget = await house.campaign(multiplier="2", max_budget_points="60")
    await house.campaign(
        "bonus", bonus_points="7", milestones=[{"count": 4, "bonus_points": "9"}, {"volume": "90000", "bonus_points": "20"}]
    )
    chance = random.Random(7)
    payments = [paid(chance.randint(1, 40_000), chance.choice((ANN, BOB, CID)), is_final=False) for _ in range(90)]

    async def life(batch: list[Settled]) -> None:
        await house.credit(*batch)
        gone = [payment for payment in batch if chance.random() < 0.4]
        await take_back(house, *gone)
        async with database.program(house.program_id) as session:
            await finalise(session, house.program_id, [payment.id for payment in batch if payment not in gone], NOW)
        assert (await house.spending(budget))[0] <= 60

    await asyncio.gather(*(life(payments[place : place + 6]) for place in range(0, 90, 6)))
    assert await house.findings() == []
    spent, _ = await house.spending(budget)
    assert spent <= 60
    await take_back(house, *payments)
    assert await house.findings() == []
    assert [await house.points(account) for account in (ANN, BOB, CID)] == [(0, 0, 0)] * 3
    assert [await house.fraction(account) for account in (ANN, BOB, CID)] == [0] * 3
    assert await house.spending(budget) == (0, 0)
