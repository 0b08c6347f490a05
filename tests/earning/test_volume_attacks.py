"""What an attacker, or bad luck, would try: versions that change in between, payments taken back in any order, odd amounts."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from guerdon.earning.models import Accrual
from guerdon.earning.models_volume import CampaignVersion
from guerdon.earning.schemas_campaigns import CampaignFields
from guerdon.earning.service_campaigns import end, pause, put_campaign, resume
from guerdon.earning.volume_life import approve, finalise, hold_for_review
from guerdon.earning.volume_state import NothingEarned, SettlementEarned
from guerdon.earning.volume_terms import LARGEST_VOLUME, Held
from guerdon.earning.volume_undoing import undo
from guerdon.kit.database import Database, ProgramSession, run_in_program
from tests.earning.house import ANN, BOB, CID, DAY, FLAT, NOW, House, a_house, paid


async def test_s10_each_payment_is_decided_by_the_version_of_its_time_however_changes_race(database: Database) -> None:
    house = await a_house(database)
    campaign = await house.campaign(multiplier="2", max_budget_points="100000", end_at=datetime.now(UTC) + 30 * DAY)

    async def pay() -> None:
        for _ in range(12):
            await house.credit(*(paid(10_000, account, at=datetime.now(UTC)) for account in (ANN, BOB)))

    async def change() -> None:
        for multiplier in ("3", "4", "5", "6"):
            async with database.program(house.program_id) as session:
                fields = CampaignFields.model_validate({"config": {"multiplier": multiplier, "max_budget_points": "100000"}})
                await put_campaign(session, campaign, fields, datetime.now(UTC))
            async with database.program(house.program_id) as session:
                await pause(session, campaign, datetime.now(UTC))
            async with database.program(house.program_id) as session:
                await resume(session, campaign, datetime.now(UTC))

    await asyncio.gather(pay(), pay(), change())
    async with database.program(house.program_id) as session:
        versions = list(await session.scalars(select(CampaignVersion).order_by(CampaignVersion.version)))
        accruals = list(await session.scalars(select(Accrual)))
    assert len(versions) == 13
    assert len(accruals) == 48
    for accrual in accruals:
        assert accrual.settled_at is not None
        valid = [one for one in versions if one.effective_from <= accrual.settled_at][-1]
        used = {reason["version"] for reason in accrual.reasons if reason["kind"] == "campaign"}
        assert used == ({valid.version} if valid.state == "published" else set())
        assert accrual.points == (int(valid.config["multiplier"]) if valid.state == "published" else 1)
    assert await house.findings() == []


async def test_a_campaign_that_is_ended_while_payments_are_booked_gives_nothing_after_its_end(database: Database) -> None:
    house = await a_house(database)
    campaign = await house.campaign(multiplier="2", max_budget_points="50", end_at=datetime.now(UTC) + 30 * DAY)

    async def pay() -> None:
        for _ in range(10):
            await house.credit(paid(10_000, at=datetime.now(UTC)))

    async def stop() -> None:
        async with database.program(house.program_id) as session:
            await end(session, campaign, datetime.now(UTC))

    await asyncio.gather(pay(), pay(), stop())
    async with database.program(house.program_id) as session:
        ended = (await session.scalars(select(CampaignVersion).where(CampaignVersion.state == "ended"))).one()
        accruals = list(await session.scalars(select(Accrual)))
    for accrual in accruals:
        assert accrual.settled_at is not None
        assert accrual.points == (2 if accrual.settled_at < ended.effective_from else 1)
    assert await house.findings() == []


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_left_after_undoing_is_what_would_have_been_without_it(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    houses = [await a_house(database, points_per_unit=3, unit_micro_usd=70_001) for _ in range(2)]
    campaigns = [await house.campaign(multiplier="1.2345", stacking="add", max_budget_points="100000") for house in houses]
    payments = [
        paid(chance.randint(1, 90_000), chance.choice((ANN, BOB, CID)), at=NOW - chance.random() * 20 * DAY, is_final=False)
        for _ in range(40)
    ]
    gone = chance.sample(payments, 15)
    await _life(houses[0], chance, payments, [payment.id for payment in gone])
    await houses[1].credit(*(payment for payment in payments if payment not in gone))
    totals: list[list[Any]] = []
    for house, campaign in zip(houses, campaigns, strict=True):
        told: list[Any] = [await house.spending(campaign)]
        for account in (ANN, BOB, CID):
            available, held, _ = await house.points(account)
            told.append(((available + held) * 10**6 + await house.fraction(account), await house.volume(account)))
        totals.append(told)
        assert await house.findings() == []
    assert totals[0] == totals[1]


async def _life(house: House, chance: random.Random, payments: list[Any], gone: list[Any]) -> None:
    """Credit in odd batches; then undo, finalise, review and approve, each in an order of its own."""
    waiting = list(payments)
    while waiting:
        size = chance.randint(1, 9)
        await house.credit(*waiting[:size])
        waiting = waiting[size:]
    await house.credit(*payments)
    steps = [("undo", [one]) for one in gone] + [("review", [one.id]) for one in chance.sample(payments, 8)]
    chance.shuffle(steps)
    kept = [one.id for one in payments if one.id not in gone]
    for what, ids in [*steps, ("final", kept), ("approve", [one.id for one in payments])]:

        async def work(session: ProgramSession, what: str = what, ids: list[Any] = ids) -> None:
            program = house.program_id
            if what == "undo":
                await undo(session, program, ids, Held.REORGANISED, NOW)
            elif what == "review":
                await hold_for_review(session, program, ids, "odd", NOW)
            elif what == "final":
                await finalise(session, program, ids, NOW)
            else:
                await approve(session, program, ids, NOW)

        await run_in_program(house.database, house.program_id, work)


@pytest.mark.parametrize("volume", [0, -1, -(2**63), LARGEST_VOLUME + 1, 2**63, 2**200])
async def test_amounts_that_cannot_be_leave_no_trace(database: Database, volume: int) -> None:
    house = await a_house(database, cap_account=10)
    await house.campaign("bonus", bonus_points="5")
    (outcome,) = await house.credit(paid(volume))
    assert isinstance(outcome, NothingEarned)
    assert (await house.points(), await house.volume(), await house.fraction()) == ((0, 0, 0), 0, 0)
    assert await house.findings() == []


async def test_the_largest_amounts_are_booked_and_taken_back_exactly(database: Database) -> None:
    funds = 2**63 - 1
    house = await a_house(database, funds=funds, points_per_unit=4_000, unit_micro_usd=1)
    pool = await house.campaign("pool", pool_points=str(2**62), boosts=[{"facilitator_id": "own", "multiplier": "1000"}])
    payment = paid(LARGEST_VOLUME, is_final=False, facilitator_id="own")
    (outcome,) = await house.credit(payment)
    assert isinstance(outcome, SettlementEarned)
    assert await house.points() == (0, 4 * 10**18, 0)
    (again,) = await house.credit(paid(LARGEST_VOLUME, BOB), now=NOW)
    assert isinstance(again, SettlementEarned)
    (short,) = await house.credit(paid(LARGEST_VOLUME, CID))
    assert short == NothingEarned("the program has no funds left for it", waits=True)
    assert await house.findings() == []
    async with database.program(house.program_id) as session:
        await undo(session, house.program_id, [payment.id], Held.REORGANISED, NOW)
    assert (await house.points(), await house.spending(pool)) == ((0, 0, 0), (0, 1))
    assert await house.funds() == funds - 4 * 10**18
    assert await house.findings() == []


async def test_dates_at_the_edge_of_a_day_and_a_window_are_the_chains_in_utc(database: Database) -> None:
    house = await a_house(database, cap_account=1)
    midnight = NOW.replace(hour=0)
    for at in (midnight, midnight - timedelta(microseconds=1), midnight.astimezone(), midnight + timedelta(hours=1)):
        await house.credit(paid(10_000, at=at))
    assert await house.points() == (2, 0, 0)
    async with database.program(house.program_id) as session:
        days = await session.execute(text("select day::text, settlements from account_volumes order by day"))
    assert [tuple(row) for row in days] == [((midnight - DAY).date().isoformat(), 1), (midnight.date().isoformat(), 3)]


async def test_what_waits_for_a_review_makes_no_tier_and_reaches_nothing_for_what_does_not(database: Database) -> None:
    """Held points of suspicious payments would come out by a clean one that is paid for their volume."""
    tiers = [*FLAT, {"name": "gold", "volume_micro_usd": "1000000000", "multiplier": "2"}]
    house = await a_house(database, tiers=tiers)
    await house.campaign("threshold", threshold_volume="1000000000", threshold_points="500")
    await house.campaign("bonus", milestones=[{"count": 3, "bonus_points": "70"}])
    await house.campaign("multiplier", multiplier="2", threshold_volume="999000000")
    washed = [paid(999_990_000, review="a loop"), paid(5_000_000, review="a loop")]
    await house.credit(*washed)
    # In a batch of its own, and in one with more of that kind.
    await house.credit(paid(10_000))
    await house.credit(paid(5_000_000, review="a loop", at=NOW - DAY), paid(10_000))
    assert (await house.points())[0] == 2
    assert await house.findings() == []

    async def approved(session: ProgramSession) -> int:
        return await approve(session, house.program_id, [one.id for one in washed], NOW)

    assert await run_in_program(house.database, house.program_id, approved) == 2
    before = (await house.points())[0]
    await house.credit(paid(10_000))
    # Twice by its tier, twice by its campaign.
    assert (await house.points())[0] - before == 4
    assert await house.findings() == []
