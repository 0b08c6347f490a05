"""Points that are claimed at a campaign's rate: which one it is, what it takes to be published, and what runs beside (SAFETY S3, S14)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from guerdon.earning.errors import CampaignUnbackedError, InvalidCampaignError
from guerdon.kit import driver
from guerdon.kit.database import Database
from guerdon.kit.errors import GuerdonError
from guerdon.ledger.models import Asset
from guerdon.ledger.rates import Rate
from guerdon.payouts.claims.review import Verdict, review
from guerdon.payouts.claims.service import ClaimRequest, request_claim
from guerdon.programs.funding import FundingRequest, find_deposit, request_funding, way_of
from guerdon.programs.models import Program
from guerdon.txmanager import backing
from guerdon.txmanager.errors_options import OptionUnbackedError
from tests.payouts.claims.bank import Bank, a_bank, a_bank_on_paper
from tests.payouts.claims.rates import TWENTY, change, config, move_on, now, publish
from tests.payouts.house import House
from tests.support.postgres import Urls


@pytest.fixture
async def bank(database: Database, database_urls: Urls, owner: driver.RawConnection) -> Bank:
    """100 points at 10, and 2,000 units for them: what they are worth at 20."""
    return await a_bank_on_paper(database, database_urls, owner, stock=2_000)


async def rate_of(bank: Bank, claim_id: UUID) -> tuple[Rate, UUID | None]:
    row = await bank.house.owner.fetchrow(
        "select atomic_numerator, points_denominator, campaign_id from claims where id = $1", claim_id
    )
    return Rate(int(row["atomic_numerator"]), row["points_denominator"]), row["campaign_id"]


async def test_s14_a_claim_is_made_at_the_campaigns_rate_while_it_is_active_and_keeps_it(bank: Bank) -> None:
    ann = await bank.account(100)
    before = await bank.claim(ann, 10)
    campaign = await publish(bank)
    during = await bank.claim(ann, 10)
    await move_on(bank, "pause", campaign)
    paused = await bank.claim(ann, 10)
    await move_on(bank, "resume", campaign)
    resumed = await bank.claim(ann, 10)
    await change(bank, campaign, Rate(15))
    changed = await bank.claim(ann, 10)
    await move_on(bank, "end", campaign)
    after = await bank.claim(ann, 10)
    claims = [before, during, paused, resumed, changed, after]
    assert [claim.token_amount for claim in claims] == [100, 200, 100, 200, 150, 100]
    assert [claim.campaign_id for claim in claims] == [None, campaign, None, campaign, campaign, None]
    assert await rate_of(bank, during.id) == (TWENTY, campaign)


async def test_outside_its_dates_a_campaign_has_nothing_claimed(bank: Bank) -> None:
    ann = await bank.account(100)
    campaign = await publish(bank, start_at=(now() + timedelta(hours=1)).isoformat())
    assert (await bank.claim(ann, 10)).campaign_id is None
    for column in ("starts_at = now() - interval '1 hour'", "ends_at = now() - interval '1 second'"):
        await bank.house.owner.execute(f"update campaign_rates set {column}")
        found = (await bank.claim(ann, 10)).campaign_id
        assert found == (campaign if column.startswith("starts") else None)


async def test_of_several_campaigns_the_best_for_the_member_counts(bank: Bank) -> None:
    ann = await bank.account(100)
    await publish(bank, Rate(12))
    best = await publish(bank, Rate(31, 2))
    await publish(bank, Rate(15))
    assert (await bank.claim(ann, 10)).campaign_id == best
    await move_on(bank, "pause", best)
    assert (await bank.claim(ann, 10)).token_amount == 150
    # What is raised above them counts again.
    await bank.set_option(Rate(16))
    assert (await bank.claim(ann, 10)).campaign_id is None


async def test_s14_at_a_campaigns_rate_too_only_points_that_convert_are_debited(bank: Bank) -> None:
    await bank.set_option(Rate(1, 10))
    ann = await bank.account(100)
    campaign = await publish(bank, Rate(2, 7))
    claim = await bank.claim(ann, 27)
    # 27 points are 7.71 units: 7 of them, for which 25 points are enough.
    assert (claim.points_claimed, claim.token_amount, claim.points_requested) == (25, 7, 27)
    assert await bank.balance(ann) == (75, 25, 0, 0)
    with pytest.raises(GuerdonError, match="So few points") as small:
        await bank.claim(ann, 3)
    assert small.value.details == {"min_points": "4"}
    await move_on(bank, "end", campaign)
    assert (await bank.claim(ann, 27)).points_claimed == 20


async def test_s3_a_rate_is_published_only_where_the_treasuries_cover_it(bank: Bank) -> None:
    with pytest.raises(CampaignUnbackedError) as refused:
        await publish(bank, Rate(21))
    # Of 210 points at the option's rate, 200 are there.
    assert refused.value.details == {"missingPoints": "10"}
    # One that is not active yet may be before the points are claimed.
    with pytest.raises(CampaignUnbackedError):
        await publish(bank, Rate(21), start_at=(now() + timedelta(hours=1)).isoformat())
    campaign = await publish(bank)
    assert await bank.missing() == 0
    with pytest.raises(CampaignUnbackedError):
        await change(bank, campaign, Rate(2001, 100))
    await move_on(bank, "pause", campaign)
    assert await bank.missing() == -100
    await bank.house.owner.execute("update treasuries set balance_final = balance_final - 1")
    with pytest.raises(CampaignUnbackedError):
        await move_on(bank, "resume", campaign)


async def test_s3_an_option_is_changed_only_where_campaigns_stay_covered(bank: Bank) -> None:
    await publish(bank)
    # At a lower rate of the option the campaign pays as much as before.
    await bank.set_option(Rate(5))
    assert await bank.missing() == 0
    await bank.set_option(TWENTY)
    with pytest.raises(OptionUnbackedError):
        await bank.set_option(Rate(21))


async def test_s3_a_claim_that_is_given_back_is_covered_at_the_rate_that_came_meanwhile(bank: Bank) -> None:
    await bank.house.owner.execute("update programs set claim_review_points = 1")
    ann = await bank.account(100)
    claim = await bank.claim(ann, 50)
    with pytest.raises(CampaignUnbackedError):
        await publish(bank, Rate(21))
    await publish(bank)
    async with bank.house.database.program(bank.program) as session:
        await review(session, bank.program, claim.id, Verdict(approved=False, reason="no", by="op"))
    assert await bank.missing() == 0
    assert (await bank.claim(ann, 100)).token_amount == 2_000


async def test_s3_a_campaign_of_one_program_counts_for_its_own_points_alone(bank: Bank) -> None:
    first = bank.program
    await bank.house.owner.execute("update treasuries set balance_final = 3000")
    await bank.open_program(100)
    second = bank.program
    ann = await bank.account(100)
    bank.program = first
    bob = await bank.account(100)
    campaign = await publish(bank)
    # 100 points at 20 and 100 at 10.
    assert await bank.missing() == 0
    assert (await bank.claim(bob, 50)).campaign_id == campaign
    bank.program = second
    assert (await bank.claim(ann, 50)).campaign_id is None
    with pytest.raises(CampaignUnbackedError):
        await publish(bank)
    assert await bank.missing() == 0
    async with bank.house.database.platform() as session:
        asset = await session.get_one(Asset, bank.points)
        assert await backing.unbacked(session, asset, 7, of_program=second) == 7
        assert await backing.unbacked(session, asset, 7, of_program=first) == 14


async def test_s3_funding_needs_what_its_points_may_be_claimed_at(bank: Bank) -> None:
    await publish(bank)
    async with bank.house.database.platform() as session:
        asset, program = await session.get_one(Asset, bank.points), await session.get_one(Program, bank.program)
        assert (await way_of(session, program, asset, None)).rate.needed(7) == 140
    bank.program = await bank.house.program(asset_id=bank.points)
    async with bank.house.database.platform() as session:
        program = await session.get_one(Program, bank.program)
        assert (await way_of(session, program, asset, None)).rate.needed(7) == 70


async def test_what_a_rate_is_refused_for(bank: Bank) -> None:
    for said, complaint in [
        (config(Rate(10)), "not above"),
        (config(Rate(99, 10)), "not above"),
        (config(TWENTY, network="mars"), "name mars"),
        (config(TWENTY, Rate(30)), "same network twice"),
        ({"multiplier": 1}, "above 1"),
    ]:
        with pytest.raises(InvalidCampaignError, match=complaint):
            await publish(bank, config=said)
    assert await bank.house.value("select count(*) from campaign_rates") == 0


async def claim_beside(bank: Bank, account: UUID, *others: Any) -> UUID:
    """A claim whose transaction is open while others want to go on; they wait for it."""
    home = await bank.wallet(account)
    async with bank.house.database.program(bank.program) as session:
        program = await session.get_one(Program, bank.program)
        claim, _ = await request_claim(session, program, account, ClaimRequest(100, home))
        tasks = [asyncio.create_task(other) for other in others]
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in tasks)
    await asyncio.gather(*tasks)
    return claim.id


@pytest.mark.parametrize("what", ["pause", "end"])
async def test_s3_s14_a_campaign_is_paused_and_ended_before_a_claim_or_after_it_and_never_beside_it(
    bank: Bank, what: str
) -> None:
    ann = await bank.account(100)
    campaign = await publish(bank)
    # Else the tokens that this claim is about to fix would back other points.
    claim = await claim_beside(bank, ann, move_on(bank, what, campaign))
    assert await rate_of(bank, claim) == (TWENTY, campaign)
    assert await bank.missing() == 0
    assert await bank.missing(1) == 1


async def test_s3_s14_a_campaign_is_published_and_changed_before_a_claim_or_after_it(bank: Bank) -> None:
    ann, bob = await bank.account(100), await bank.account(0)
    campaign = await publish(bank, Rate(15))
    claim = await claim_beside(bank, ann, change(bank, campaign, TWENTY))
    assert await rate_of(bank, claim) == (Rate(15), campaign)
    await bank.house.owner.execute("update treasuries set balance_final = balance_final + 100 * 20")
    await bank.house.owner.execute("update program_balances set funds = 100, funded = 200")
    await bank.earn(bob, 100)
    second = await claim_beside(bank, bob, publish(bank, TWENTY))
    assert await rate_of(bank, second) == (TWENTY, campaign)


async def test_s3_s14_a_claim_that_waited_past_a_campaigns_end_is_made_at_the_usual_rate(bank: Bank) -> None:
    ann = await bank.account(100)
    await publish(bank)
    async with bank.house.database.platform() as session:
        # As a funding does; the claim's transaction begins while the campaign is active.
        await backing.lock_vaults(session, await session.get_one(Asset, bank.points))
        claiming = asyncio.create_task(bank.claim(ann, 100))
        await asyncio.sleep(0.3)
        await bank.house.owner.execute("update campaign_rates set ends_at = clock_timestamp()")
        assert await backing.unbacked(session, await session.get_one(Asset, bank.points), 100) == 0
    assert (await claiming).campaign_id is None


async def test_s3_funding_waits_for_claims_of_a_campaign_that_ended_by_its_date(bank: Bank) -> None:
    ann = await bank.account(100)
    await publish(bank)

    async def fund() -> None:
        await bank.house.owner.execute("update campaign_rates set ends_at = clock_timestamp()")
        # The whole stock went to the claim: nothing backs one more point.
        assert await bank.missing(1) == 1

    await claim_beside(bank, ann, fund())


async def refuse_one(bank: Bank) -> None:
    async with bank.house.database.program(bank.program) as session:
        waiting = text("select id from deliveries where state = 'in_review' order by random() limit 1")
        if (claim := await session.scalar(waiting)) is not None:
            await review(session, bank.program, claim, Verdict(approved=False, reason="no", by="op"))


async def test_s3_s14_claims_and_changes_of_campaigns_and_options_at_once_fix_no_more_than_there_is(bank: Bank) -> None:
    await bank.house.owner.execute("update programs set claim_review_points = 6")
    wallets = {account: await bank.wallet(account) for account in [await bank.account(10) for _ in range(10)]}
    campaign = await publish(bank)
    dice, refused = random.Random(7), set[str]()

    async def attempt(work: Awaitable[object]) -> None:
        await asyncio.sleep(dice.random() / 10)
        try:
            await work
        except GuerdonError as error:
            refused.add(error.code)

    async def disturb() -> None:
        for _ in range(15):
            steps = {
                "pause": lambda: move_on(bank, "pause", campaign),
                "resume": lambda: move_on(bank, "resume", campaign),
                "change": lambda: change(bank, campaign, Rate(dice.choice([15, 20, 21]))),
                "option": lambda: bank.set_option(Rate(dice.choice([9, 10, 11]))),
                "refuse": lambda: refuse_one(bank),
            }
            await attempt(steps[dice.choice(sorted(steps))]())
            assert await bank.missing() <= 0

    async def claim(account: UUID) -> None:
        for points in (3, 4, 3):
            await attempt(bank.claim(account, points, wallets[account]))

    await asyncio.gather(disturb(), disturb(), *(claim(account) for account in wallets))
    assert await bank.missing() <= 0
    assert refused <= {"CAMPAIGN_STATE", "CAMPAIGN_UNBACKED", "PAYOUT_OPTION_UNBACKED", "CLAIM_NOT_IN_REVIEW"}
    rows = await bank.house.owner.fetch(
        "select d.points, d.amount_atomic, c.* from claims c join deliveries d on d.program_id = c.program_id and d.id = c.id"
    )
    assert len(rows) == 30
    for row in rows:
        assert Rate(int(row["atomic_numerator"]), row["points_denominator"]).atomic(row["points"]) == row["amount_atomic"]
    assert {row["campaign_id"] for row in rows} == {None, campaign}


async def test_a_campaigns_rate_is_paid_from_stock_and_deposits_and_books_agree_with_the_chain(house: House) -> None:
    bank = await a_bank(house, stock=2_000, funds=100)
    campaign = await publish(bank)
    async with house.working():
        paid = await bank.token.mint((await bank.treasury()).address, 1_000)
        deposit, points = await find_deposit(house.funding_deps, bank.program, paid, None)
        # Each point may be claimed at 20 until the campaign is over.
        assert points == 50
        async with house.database.platform() as session:
            await request_funding(session, FundingRequest(bank.program, points, deposit))
        await house.until(lambda: house.value("select state = 'booked' from fundings where points = 50"))
        assert await bank.missing() == 0
        ann = await bank.account(150)
        claim = await bank.claim(ann, 150)
        await house.until_states({"final": 1})
    assert (claim.token_amount, claim.campaign_id) == (3_000, campaign)
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [3_000]
    await bank.check()
