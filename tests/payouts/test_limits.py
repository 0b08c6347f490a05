"""What holds payouts back: an empty treasury, a pause, a limit, a budget, a debt. Each waits as approved and goes on by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts.reserving import GasPrice, Outcome, reserve
from guerdon.txmanager import repository_treasuries, treasuries
from tests.payouts.house import House


async def test_s23_without_funds_payouts_wait_and_go_on_by_themselves_once_funded(house: House) -> None:
    asset, token = await house.moody_asset()
    program = await house.stocked_program(asset, 100)
    account = await house.account(program)
    async with house.working():
        await house.owe(program, {account: 30}, asset_id=asset)
        await asyncio.sleep(1)
        assert await house.states() == {"approved": 1}
        await token.mint((await house.treasury(asset)).address, 100)
        await house.until_states({"final": 1})
    treasury = await house.treasury(asset)
    assert (treasury.balance_final, treasury.reserved) == (70, 0)


async def test_a_treasury_pays_the_oldest_first_as_far_as_its_funds_go(house: House) -> None:
    asset, token = await house.moody_asset(stock=50)
    program = await house.stocked_program(asset, 100)
    accounts = [await house.account(program) for _ in range(3)]
    async with house.working():
        first, second, third = await house.owe(program, dict(zip(accounts, (40, 20, 5), strict=True)), asset_id=asset)
        await house.until_states({"final": 1, "approved": 2})
        # The small one behind does not pass the one that does not fit: else the large ones might wait for ever.
        assert await house.value("select state from deliveries where id = $1", first) == "final"
        await token.mint((await house.treasury(asset)).address, 15)
        await house.until_states({"final": 3})
    assert {second, third} <= {row["id"] for row in await house.owner.fetch("select id from deliveries where state = 'final'")}


async def test_a_paused_treasury_reserves_nothing_until_it_is_resumed(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
        account = await house.account(program)
        treasury = await house.treasury()
        async with house.database.platform() as session:
            await treasuries.pause(session, treasury.id, "audit", house.clock.now())
        await house.owe(program, {account: 30})
        await asyncio.sleep(1)
        assert await house.states() == {"approved": 1}
        async with house.database.platform() as session:
            await treasuries.resume(session, treasury.id)
        await house.until_states({"final": 1})


async def test_a_treasury_pays_no_more_in_a_period_than_its_limit(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
        accounts = [await house.account(program) for _ in range(2)]
        treasury = await house.treasury()
        async with house.database.platform() as session:
            await treasuries.limit(session, treasury.id, amount_atomic=30, period_seconds=4)
        await house.owe(program, dict.fromkeys(accounts, 30))
        await house.until_states({"final": 1, "approved": 1})
        assert (await house.treasury()).period_reserved == 30
        await house.until_states({"final": 2})


async def test_s10_a_period_ends_by_the_databases_clock(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
        treasury = await house.treasury()
        async with house.database.platform() as session:
            await treasuries.limit(session, treasury.id, amount_atomic=30, period_seconds=3600)
        await house.owe(program, {await house.account(program): 30})
        await house.until_states({"final": 1})
        await house.owe(program, {await house.account(program): 30})
        started = "update treasuries set period_started_at = now() - interval '{} minutes'"
        await house.owner.execute(started.format(59))
        looks = "select max(claim) from work where kind = 'payouts.reserve'"
        before = await house.value(looks)
        await house.until(lambda: house.value(f"select ({looks}) > {before} + 1"))
        assert await house.states() == {"final": 1, "approved": 1}
        await house.owner.execute(started.format(60))
        await house.until_states({"final": 2})


async def test_an_alert_is_raised_below_the_low_balance_and_closed_above_it(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
        treasury = await house.treasury()
        async with house.database.platform() as session:
            await treasuries.limit(session, treasury.id, amount_atomic=None, period_seconds=None, low_balance=101)
        is_open = "select count(*) from outbox where kind = 'treasury.low_balance' and resolved_at is null"
        assert await house.value(is_open) == 1
        await house.fund(program, 50)
        await house.until(lambda: house.value(f"select ({is_open}) = 0"))


async def test_s25_a_program_over_its_gas_budget_waits_and_others_go_on(house: House) -> None:
    async with house.working():
        poor, rich = await house.program(funds=100), await house.program(funds=100)
        await house.owner.execute("update programs set gas_budget_wei = 1 where id = $1", poor)
        await house.owe(poor, {await house.account(poor): 30})
        await house.owe(rich, {await house.account(rich): 30})
        await house.until_states({"approved": 1, "final": 1})
        assert await house.states(poor) == {"approved": 1}
        await house.owner.execute("update programs set gas_budget_wei = 10::numeric ^ 18 where id = $1", poor)
        await house.until_states({"final": 2})
        spent = await house.owner.fetch("select program_id, wei from gas_spent order by program_id")
        paid = await house.owner.fetch("select i.fee_paid_wei from batches b join intents i on i.id = b.intent_id")
        # Settled to what was really paid, whatever had been reserved.
        assert sum(row["wei"] for row in spent) == sum(row["fee_paid_wei"] for row in paid)
        assert {row["program_id"] for row in spent} == {poor, rich}


async def test_s13_nothing_is_sent_to_an_account_with_open_debt(house: House) -> None:
    async with house.working():
        program = await house.program(funds=100)
        account = await house.account(program)
        async with house.database.program(program) as session:
            owe = Movement(PostingKind.OWE, uuid7(), house.asset_id, 5, account)
            await ledger.post(session, program, [owe], house.clock.now())
        await house.owe(program, {account: 30})
        await asyncio.sleep(1)
        assert await house.states() == {"approved": 1}
        async with house.database.program(program) as session:
            settled = Movement(PostingKind.SETTLE_DEBT, uuid7(), house.asset_id, 5, account)
            await ledger.post(session, program, [settled], house.clock.now())
        await house.until_states({"final": 1})


@dataclass
class _Race:
    """Many reservations of one program at once, by hand and without workers."""

    house: House
    program: UUID
    outcomes: list[Outcome] = field(default_factory=list)

    async def run(self, times: int) -> None:
        async with self.house.database.platform() as session:
            (treasury,) = await repository_treasuries.treasuries_of_asset(session, self.house.asset_id)

        async def one() -> None:
            self.outcomes.append(
                await reserve(
                    self.house.database, self.program, treasury.id,
                    terms=self.house.terms, gas_price=GasPrice(None),
                )
            )  # fmt: skip

        await asyncio.gather(*(one() for _ in range(times)))


async def test_s15_reserving_many_times_at_once_reserves_each_payout_once(house: House) -> None:
    async with house.working():
        program = await house.program(funds=1_000)
    accounts = [await house.account(program) for _ in range(40)]
    await house.owe(program, dict.fromkeys(accounts, 10))
    await _Race(house, program).run(8)
    assert await house.states() == {"reserved": 40}
    assert (await house.treasury()).reserved == 400
    assert await house.value("select count(*) from batch_members") == 40
    assert await house.value("select sum(total_atomic) from batches") == 400


async def test_s15_a_reservation_never_exceeds_what_the_treasury_holds(house: House) -> None:
    asset, _ = await house.moody_asset(stock=105)
    programs = [await house.stocked_program(asset, 100) for _ in range(4)]
    async with house.working():
        await house.until(lambda: house.value("select balance_final = 105 from treasuries where asset_id = $1", asset))
    for program in programs:
        await house.owe(program, {await house.account(program): 10 for _ in range(5)}, asset_id=asset)
    house.asset_id = asset
    await asyncio.gather(*(_Race(house, program).run(3) for program in programs))
    assert (await house.treasury(asset)).reserved == 100
    assert await house.states() == {"reserved": 10, "approved": 10}


async def test_too_many_batches_ahead_leave_payouts_approved_until_there_is_room(house: House) -> None:
    house.with_terms(batch_size=2, batches_ahead=3)
    async with house.working():
        program = await house.program(funds=1_000)
        accounts = [await house.account(program) for _ in range(30)]
        await house.owe(program, dict.fromkeys(accounts, 10))
        await house.until_states({"final": 30})
    assert await house.value("select max(size) from batches") == 2


async def test_booking_goes_on_while_a_payout_is_reserved(house: House) -> None:
    """What an account earns after its payout was reserved is a new payout, and both arrive."""
    async with house.working():
        program = await house.program(funds=1_000)
        account = await house.account(program)
        await house.owe(program, {account: 10})
        await house.until(lambda: house.value("select count(*) = 0 from deliveries where state = 'approved'"))
        await house.owe(program, {account: 7})
        await house.until_states({"final": 2})
    ((_, held),) = (await house.wallets_of(program)).items()
    assert held == 17
