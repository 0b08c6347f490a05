"""Settled payments are booked once, in whatever batches and however many at once, and no budget is overdrawn."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid5

import msgspec
import pytest

from guerdon.earning.volume_booking import Repeated, credit
from guerdon.earning.volume_life import approve, finalise, hold_for_review, mature
from guerdon.earning.volume_state import NothingEarned, SettlementEarned
from guerdon.earning.volume_terms import Held
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from tests.earning.house import ANN, BOB, CID, DAY, NOW, House, a_house, paid
from tests.support.books import a_program, an_asset

TWO_TIERS = [
    {"name": "bronze", "volume_micro_usd": "0", "multiplier": "1"},
    {"name": "gold", "volume_micro_usd": "1000000", "multiplier": "2"},
]


async def test_small_payments_become_points_when_their_fractions_are_whole(database: Database) -> None:
    house = await a_house(database)
    outcomes = await house.credit(*(paid(1_000) for _ in range(25)))
    assert sum(one.points for one in outcomes if isinstance(one, SettlementEarned)) == 2
    assert (await house.points(), await house.fraction(), await house.volume()) == ((2, 0, 0), 500_000, 25_000)
    assert await house.findings() == []


async def test_a_repeat_books_nothing_in_the_same_batch_or_later(database: Database) -> None:
    house = await a_house(database)
    payment = paid(10_000)
    first = await house.credit(payment, payment)
    assert [type(one) for one in first] == [SettlementEarned, Repeated]
    assert await house.credit(payment) == [Repeated()]
    assert (await house.points(), await house.volume()) == ((1, 0, 0), 10_000)


async def test_one_hundred_concurrent_repeats_book_once(database: Database) -> None:
    house = await a_house(database)
    payment = paid(10_000)
    outcomes = await asyncio.gather(*(house.credit(payment) for _ in range(100)))
    assert sum(isinstance(one, SettlementEarned) for (one,) in outcomes) == 1
    assert await house.findings() == []


async def test_s10_batches_at_once_never_overdraw_a_budget(database: Database) -> None:
    house = await a_house(database)
    campaign = await house.campaign(multiplier="3", max_budget_points="50", max_participants=3)
    accounts = [uuid5(ANN, str(number)) for number in range(8)]
    batches = [[paid(random.randint(1, 60_000), random.choice(accounts)) for _ in range(6)] for _ in range(20)]
    await asyncio.gather(*(house.credit(*batch) for batch in batches))
    spent, participants = await house.spending(campaign)
    assert (spent, participants) == (50, 3)
    assert await house.findings() == []


async def test_s10_a_cap_that_all_share_is_kept_by_batches_of_different_accounts_at_once(database: Database) -> None:
    house = await a_house(database, cap_program=5)
    accounts = [uuid5(ANN, str(number)) for number in range(9)]
    # From now on there is a row, that nobody waits for by making it.
    await house.credit(paid(10_000, accounts[0]))
    await asyncio.gather(*(house.credit(paid(10_000, account)) for account in accounts[1:]))
    assert sum([(await house.points(account))[0] for account in accounts]) == 5


async def test_s10_the_same_account_in_many_batches_at_once_loses_no_fraction(database: Database) -> None:
    house = await a_house(database)
    volumes = [random.randint(1, 30_000) for _ in range(60)]
    await asyncio.gather(*(house.credit(paid(volume), paid(volume, BOB)) for volume in volumes))
    total = sum(volumes) * 100
    for account in (ANN, BOB):
        available, _, _ = await house.points(account)
        assert (available, await house.fraction(account)) == divmod(total, 10**6)
    assert await house.findings() == []


async def test_s15_batches_that_share_accounts_and_campaigns_in_any_order_meet_in_no_circle(database: Database) -> None:
    house = await a_house(database, cap_program=10**6, cap_payer=10**5)
    for _ in range(3):
        await house.campaign(multiplier="1.5", stacking="add", max_budget_points="1000")
    payers = [f"eip155:0x{number}" for number in range(4)]

    async def batch(seed: int) -> None:
        chance = random.Random(seed)
        async with database.program(house.program_id) as session:
            await credit(
                session,
                house.program_id,
                [
                    paid(10_000, chance.choice((ANN, BOB, CID)), at=NOW - chance.randrange(3) * DAY, payer=chance.choice(payers))
                    for _ in range(10)
                ],
                NOW,
            )

    # Without another try: a deadlock would be raised here.
    await asyncio.gather(*(batch(seed) for seed in range(12)))
    assert await house.findings() == []


async def test_a_tier_is_reached_by_what_was_booked_and_multiplies_from_then_on(database: Database) -> None:
    house = await a_house(database, tiers=TWO_TIERS)
    await house.credit(paid(1_000_000, at=NOW - 2 * DAY))
    await house.credit(paid(1_000_000, at=NOW - DAY), paid(1_000_000, at=NOW - 100 * DAY))
    assert await house.points() == (100 + 200 + 100, 0, 0)


async def test_without_funds_it_waits_and_is_credited_once_there_are_some(database: Database) -> None:
    house = await a_house(database, funds=1)
    payments = [paid(20_000), paid(10_000)]
    outcomes = await house.credit(*payments)
    assert sorted(type(one).__name__ for one in outcomes) == ["NothingEarned", "SettlementEarned"]
    assert (await house.points(), await house.volume()) == ((1, 0, 0), 10_000)
    async with database.program(house.program_id) as session:
        await ledger.post(session, house.program_id, [Movement(PostingKind.FUND, uuid7(), house.asset_id, 5)], NOW)
    await house.credit(*payments)
    assert await house.points() == (3, 0, 0)


async def test_an_asset_that_is_sent_as_it_is_earned_is_not_earned_by_volume(database: Database) -> None:
    asset = await an_asset(database)
    house = House(database, await a_program(database, asset, funds=10), asset)
    (outcome,) = await house.credit(paid(10_000))
    assert isinstance(outcome, NothingEarned)
    assert outcome.waits


async def test_one_impossible_settlement_refuses_no_other(database: Database) -> None:
    house = await a_house(database)
    outcomes = await house.credit(paid(2**70), paid(-1), paid(10_000))
    assert [type(one) for one in outcomes] == [NothingEarned, NothingEarned, SettlementEarned]


async def test_s13_what_becomes_available_repays_an_open_debt_first(database: Database) -> None:
    house = await a_house(database)
    async with database.program(house.program_id) as session:
        await ledger.post(session, house.program_id, [Movement(PostingKind.OWE, uuid7(), house.asset_id, 7, ANN)], NOW)
    held = paid(50_000, is_final=False)
    await house.credit(held, paid(30_000))
    assert await house.points() == (0, 5, 4)
    async with database.program(house.program_id) as session:
        assert await finalise(session, house.program_id, [held.id], NOW) == 1
    assert await house.points() == (1, 0, 0)
    assert await house.findings() == []


async def test_s34_incoming_points_are_held_until_final_and_for_the_holding_time(database: Database) -> None:
    house = await a_house(database, holding_seconds=3600)
    payment = paid(50_000, is_final=False)
    await house.credit(payment)
    assert await house.points() == (0, 5, 0)
    for _ in range(2):
        async with database.program(house.program_id) as session:
            await finalise(session, house.program_id, [payment.id], NOW)
        assert await house.points() == (0, 5, 0)
    for later, points in ((timedelta(minutes=59), (0, 5, 0)), (timedelta(hours=1), (5, 0, 0)), (timedelta(hours=2), (5, 0, 0))):
        async with database.program(house.program_id) as session:
            await mature(session, house.program_id, NOW + later, 10)
        assert await house.points() == points
    assert await house.findings() == []


@pytest.mark.parametrize("final_first", [True, False])
async def test_points_in_review_stay_until_an_operator_approves(database: Database, final_first: bool) -> None:
    house = await a_house(database)
    payment = paid(50_000, is_final=False)
    await house.credit(payment)

    async def do(step: str) -> None:
        async with database.program(house.program_id) as session:
            if step == "final":
                await finalise(session, house.program_id, [payment.id], NOW)
            elif step == "approve":
                await approve(session, house.program_id, [payment.id], NOW)
            else:
                await hold_for_review(session, house.program_id, [payment.id], "a loop", NOW)

    for step in ("review", "final", "approve") if final_first else ("review", "approve", "final"):
        assert await house.points() == (0, 5, 0)
        await do(step)
    assert await house.points() == (5, 0, 0)
    await do("review")
    assert await house.points() == (5, 0, 0)
    assert await house.findings() == []


async def test_x402_defect_14_a_budget_is_counted_and_enforced(database: Database) -> None:
    house = await a_house(database)
    campaign = await house.campaign("bonus", bonus_points="40", max_budget_points="100")
    await house.credit(*(paid(10_000, account) for account in (ANN, BOB, CID)))
    assert await house.spending(campaign) == (80, 2)
    assert sorted([(await house.points(account))[0] for account in (ANN, BOB, CID)]) == [1, 41, 41]


async def test_a_cap_of_a_day_is_kept_over_batches_by_the_chains_day(database: Database) -> None:
    house = await a_house(database, cap_account=3)
    for day in (NOW, NOW, NOW - DAY):
        await house.credit(paid(20_000, at=day))
    assert await house.points() == (3 + 2, 0, 0)
    assert await house.findings() == []


async def test_a_settlement_says_what_it_is_held_for(database: Database) -> None:
    house = await a_house(database)
    (outcome,) = await house.credit(msgspec.structs.replace(paid(10_000), review="pays itself"))
    assert isinstance(outcome, SettlementEarned)
    assert outcome.held_for is Held.REVIEW


async def test_another_programs_settlements_are_not_seen(database: Database) -> None:
    house, other = await a_house(database), await a_house(database)
    payment = paid(10_000)
    await house.credit(payment)
    assert [type(one) for one in await other.credit(payment)] == [SettlementEarned]
    assert await replace(house).points() == await other.points() == (1, 0, 0)
    assert UUID(int=0) not in {house.program_id, other.program_id}
