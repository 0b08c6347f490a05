"""Funding: what it takes for a program's funds to rise, and that it happens once. On a real chain with the real engine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from guerdon.kit import jobs
from guerdon.ledger import repository
from guerdon.ledger.errors import NotEnoughPointsError
from guerdon.programs import funding
from guerdon.programs.errors_funding import (
    DepositAmountError,
    DepositNotFoundError,
    DepositUsedError,
    FundingConflictError,
    NotMintableError,
)
from guerdon.programs.funding import FundingRequest
from guerdon.programs.models import Funding
from tests.payouts.house import House, a_wallet


async def _ask(house: House, request: FundingRequest) -> Funding:
    async with house.database.platform() as session:
        return await funding.request_funding(session, request)


async def _funds(house: House, program: UUID) -> int | None:
    return await house.value("select funds from program_balances where program_id = $1", program)


async def _until_booked(house: House, count: int) -> None:
    await house.until(lambda: house.value("select count(*) = $1 from fundings where state = 'booked'", count))


async def test_s3_minted_funds_are_booked_when_their_tokens_are_final_in_the_treasury(house: House) -> None:
    program = await house.program()
    async with house.engine():
        asked = await _ask(house, FundingRequest(program, 500))
        assert await house.value("select state from intents where ref = $1", asked.id) == "queued"
        assert await _funds(house, program) is None
        await house.until(lambda: house.value("select state in ('included', 'final') from intents where ref = $1", asked.id))
        await funding.advance(house.funding_deps)
        if await house.value("select state from intents where ref = $1", asked.id) == "included":
            assert await _funds(house, program) is None
    async with house.working():
        await _until_booked(house, 1)
    assert await _funds(house, program) == 500
    treasury = await house.treasury()
    assert treasury.balance_final == await house.balance(treasury.address) == 500


async def test_a_funding_asked_for_many_times_is_minted_and_booked_once(house: House) -> None:
    async with house.working():
        program = await house.program()
        request = FundingRequest(program, 500)
        await asyncio.gather(*(_ask(house, request) for _ in range(5)))
        await _until_booked(house, 1)
        await asyncio.gather(*(funding.advance(house.funding_deps) for _ in range(5)))
        with pytest.raises(FundingConflictError):
            await _ask(house, FundingRequest(program, 501, id=request.id))
    assert await _funds(house, program) == 500
    assert await house.balance((await house.treasury()).address) == 500
    assert await house.value("select count(*) from intents where kind = 'mint'") == 1


async def test_s29_more_than_the_daily_cap_waits_and_says_why(house: House) -> None:
    async with house.working():
        program = await house.program()
        asked = await _ask(house, FundingRequest(program, 10**15 + 1))
        await house.until(lambda: house.value("select reason like '%DailyCapExceeded%' or reason like '%revert%' from fundings"))
    assert await house.value("select state from fundings where id = $1", asked.id) == "pending"
    assert await _funds(house, program) is None


async def test_what_we_may_not_mint_is_funded_by_deposits_only(house: House) -> None:
    asset, _ = await house.moody_asset()
    program = await house.program(asset_id=asset)
    with pytest.raises(NotMintableError):
        await _ask(house, FundingRequest(program, 10))


async def test_s3_a_deposit_is_booked_once_for_one_program(house: House) -> None:
    asset, token = await house.moody_asset()
    first, second = await house.program(asset_id=asset), await house.program(asset_id=asset)
    treasury = await house.treasury(asset)
    async with house.working():
        paid = await token.mint(treasury.address, 100)
        deposit, points = await funding.find_deposit(house.funding_deps, first, paid.upper().replace("0X", "0x"), None)
        assert points == 100
        asked = [_ask(house, FundingRequest(program, 100, deposit)) for program in (first, second, first)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(answer) for answer in answers].count(Funding) == 1
        assert all(isinstance(answer, Funding | DepositUsedError) for answer in answers)
        with pytest.raises(DepositUsedError):
            await funding.find_deposit(house.funding_deps, second, paid, None)
        await _until_booked(house, 1)
    assert sorted([await _funds(house, first) or 0, await _funds(house, second) or 0]) == [0, 100]


async def test_s10_a_deposit_that_is_in_no_block_is_given_up_after_a_day_by_the_databases_clock(house: House) -> None:
    asset, _ = await house.moody_asset()
    program = await house.program(asset_id=asset)
    asked = await _ask(house, FundingRequest(program, 5, funding.Deposit("0x" + "ab" * 32, 0, 5)))
    state = "select state from fundings where id = $1"
    await house.owner.execute("update fundings set created_at = now() - interval '23 hours 59 minutes'")
    await funding.advance(house.funding_deps)
    assert await house.value(state, asked.id) == "pending"
    await house.owner.execute("update fundings set created_at = now() - interval '24 hours 1 minute'")
    await funding.advance(house.funding_deps)
    assert await house.value(state, asked.id) == "failed"


async def test_s15_funding_wakes_waiting_programs_after_its_posting(house: House) -> None:
    """Bookings take a program's funds and then the row of its work: funding does too, or the two would wait for each other."""
    program = await house.program()
    async with house.engine():
        asked = await _ask(house, FundingRequest(program, 500))
        await house.until(lambda: house.value("select state = 'final' from intents where ref = $1", asked.id))
    async with house.database.program(program) as session:
        await jobs.wake(session, "payouts.reserve", program, datetime.now(UTC) + timedelta(hours=1))
        await repository.lock_program_balances(session, program, [house.asset_id])
    async with house.database.program(program) as booking:
        await repository.lock_program_balances(booking, program, [house.asset_id])
        advancing = asyncio.create_task(funding.advance(house.funding_deps))
        waiting = "select count(*) = 1 from pg_stat_activity where usename = 'guerdon_app' and wait_event_type = 'Lock'"
        await house.until(lambda: house.value(waiting))
        # The funding waits for the funds and holds no row of work: the booking takes its own at once, and ends nobody's deadlock.
        await booking.execute(text("set local lock_timeout = '100ms'"))
        await jobs.wake(booking, "payouts.reserve", program, datetime.now(UTC) + timedelta(minutes=30))
    await advancing
    assert await _funds(house, program) == 500
    assert await house.value("select due_at <= now() from work where kind = 'payouts.reserve' and program_id = $1", program)


async def test_a_deposit_is_what_the_chain_says_and_not_what_is_claimed(house: House) -> None:
    asset, token = await house.moody_asset()
    program = await house.program(asset_id=asset)
    treasury = await house.treasury(asset)
    paid = await token.mint(treasury.address, 100)
    elsewhere = await token.mint(a_wallet(), 100)
    with pytest.raises(DepositAmountError):
        await funding.find_deposit(house.funding_deps, program, paid, 101)
    for unknown in (elsewhere, "0x" + "ab" * 32):
        with pytest.raises(DepositNotFoundError):
            await funding.find_deposit(house.funding_deps, program, unknown, None)


async def test_what_we_minted_ourselves_is_no_deposit(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
    minted = await house.value("select transaction_hash from fundings")
    with pytest.raises(DepositNotFoundError):
        await funding.find_deposit(house.funding_deps, program, minted, None)


async def test_s3_funds_that_the_treasury_does_not_back_are_not_booked(house: House) -> None:
    """A deposit whose tokens have left the treasury again waits, with an alert, until they are back."""
    asset, token = await house.moody_asset()
    program = await house.program(asset_id=asset)
    treasury = await house.treasury(asset)
    paid = await token.mint(treasury.address, 100)
    await token.seize(treasury.address, a_wallet(), 30)
    # Both are final: else the deposit may be looked at when only it is.
    await house.node.mine(3)
    async with house.working():
        deposit, points = await funding.find_deposit(house.funding_deps, program, paid, None)
        await _ask(house, FundingRequest(program, points, deposit))
        await house.until(lambda: house.value("select count(*) = 1 from outbox where kind = 'funding.stuck'"))
        assert await _funds(house, program) is None
        await token.mint(treasury.address, 30)
        await _until_booked(house, 1)
        still_open = "select count(*) from outbox where kind = 'funding.stuck' and resolved_at is null"
        assert await house.value(still_open) == 0
    assert await house.findings() == []


async def test_s3_verification_finds_tokens_that_left_the_treasury(house: House) -> None:
    asset, token = await house.moody_asset(stock=100)
    await house.stocked_program(asset, 100)
    async with house.working():
        await house.until(lambda: house.value("select balance_final = 100 from treasuries where asset_id = $1", asset))
        assert await house.findings() == []
        await token.seize((await house.treasury(asset)).address, a_wallet(), 1)
        await house.node.mine(3)
        (found,) = await house.findings()
    assert found.check == "funds and what is owed are backed by the treasury"
    assert (found.detail["promised_points"], found.detail["held_atomic"]) == ("100", "99")


async def test_s13_funds_that_were_not_booked_can_not_be_promised(house: House) -> None:
    program = await house.program()
    account = await house.account(program)
    await _ask(house, FundingRequest(program, 500))
    with pytest.raises(NotEnoughPointsError):
        await house.owe(program, {account: 1})
