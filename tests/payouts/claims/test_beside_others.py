"""Claims beside what else happens at the same time, by rows alone: a rate that changes, a review, a payout's delivery (SAFETY S3, S15)."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from guerdon.kit import driver
from guerdon.kit.database import Database, PlatformSession
from guerdon.kit.ids import uuid7
from guerdon.ledger.rates import Rate
from guerdon.payouts import repository as payouts
from guerdon.payouts.claims import checks
from guerdon.payouts.claims.errors import ClaimCooldownError, ClaimNotInReviewError
from guerdon.payouts.claims.review import Verdict, review
from guerdon.payouts.claims.service import ClaimRequest, request_claim
from guerdon.programs.models import Program
from guerdon.txmanager import repository_treasuries
from tests.payouts.claims.bank import Bank, a_bank_on_paper
from tests.support.postgres import Urls


@pytest.fixture
async def bank(database: Database, database_urls: Urls, owner: driver.RawConnection) -> Bank:
    return await a_bank_on_paper(database, database_urls, owner)


async def test_s3_s14_a_rate_is_changed_before_a_claim_or_after_it_and_never_beside_it(bank: Bank) -> None:
    ann = await bank.account(100)
    home = await bank.wallet(ann)
    async with bank.house.database.program(bank.program) as session:
        program = await session.get_one(Program, bank.program)
        await request_claim(session, program, ann, ClaimRequest(100, home))
        lowered = asyncio.create_task(bank.set_option(Rate(5)))
        await asyncio.sleep(0.3)
        # Else tokens that this claim is about to fix would back other points.
        assert not lowered.done()
    await lowered
    assert await bank.missing() == 0


async def test_s3_a_claim_that_ends_while_backing_is_compared_is_counted_once(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bank.house.owner.execute("update programs set claim_review_points = 1")
    ann = await bank.account(100)
    claim = await bank.claim(ann, 60)
    purses = repository_treasuries.treasuries_of_asset

    async def meanwhile(session: PlatformSession, asset_id: UUID):  # noqa: ANN202 - as the original
        async with bank.house.database.program(bank.program) as other:
            await review(other, bank.program, claim.id, Verdict(approved=False, reason="no", by="op"))
        monkeypatch.setattr(repository_treasuries, "treasuries_of_asset", purses)
        return await purses(session, asset_id)

    monkeypatch.setattr(repository_treasuries, "treasuries_of_asset", meanwhile)
    assert await bank.missing(60) >= 60


async def test_s15_a_review_of_what_is_on_its_way_waits_for_nobody(bank: Bank) -> None:
    """Who delivers a payout has it locked before its balance: whoever waited the other way round would wait for ever."""
    claim = await bank.claim(await bank.account(100), 60)
    async with bank.house.database.program(bank.program) as delivering:
        await payouts.lock_deliveries(delivering, bank.program, [claim.id])
        async with bank.house.database.program(bank.program) as session:
            reviewing = review(session, bank.program, claim.id, Verdict(approved=True, reason="late", by="op"))
            with pytest.raises(ClaimNotInReviewError):
                await asyncio.wait_for(reviewing, 5)


async def test_a_claim_that_was_refused_counts_against_no_limit(bank: Bank) -> None:
    await bank.set_option(Rate(10), period_points=60, period_seconds=3600, cooldown_seconds=3600)
    await bank.house.owner.execute("update programs set claim_review_points = 1")
    ann = await bank.account(100)
    refused = await bank.claim(ann, 60)
    async with bank.house.database.program(bank.program) as session:
        await review(session, bank.program, refused.id, Verdict(approved=False, reason="no", by="op"))
    assert (await bank.claim(ann, 60)).points_claimed == 60
    with pytest.raises(ClaimCooldownError):
        await bank.claim(ann, 1)


async def test_a_claim_that_is_reserved_meanwhile_is_not_turned_away(bank: Bank) -> None:
    ann = await bank.account(100)
    claim = await bank.claim(ann, 60)
    await bank.house.owner.execute("update deliveries set state = 'reserved', batch_id = $1", uuid7())
    await checks.turn_away(bank.house.database, bank.program, [claim.id], unproven=[claim.id])
    assert (await bank.state(claim.id), await bank.balance(ann)) == ("reserved", (40, 60, 0, 0))
