"""What payouts cost in gas is their program's to bear, up to its daily budget (SAFETY S25)."""

from __future__ import annotations

from uuid import UUID

from tests.payouts.house import House, a_wallet
from tests.payouts.moody import Mood

PLENTY = "10::numeric ^ 18"
_COST = """
    select coalesce(sum(i.fee_paid_wei), 0)::bigint from batches b join intents i on i.id = b.intent_id
"""


async def _spent(house: House, program: UUID) -> int:
    return await house.value("select coalesce(sum(wei), 0)::bigint from gas_spent where program_id = $1", program)


async def test_s25_what_reverted_counts_against_the_budget_too(house: House) -> None:
    asset, token = await house.moody_asset(stock=1_000)
    program = await house.stocked_program(asset, 1_000)
    await house.owner.execute(f"update programs set gas_budget_wei = {PLENTY} where id = $1", program)
    good, bad = a_wallet(), a_wallet()
    await token.feel(Mood.REVERTS_IN_BLOCKS, bad)
    async with house.working():
        accounts = [await house.account(program, wallet) for wallet in (good, bad)]
        await house.owe(program, dict.fromkeys(accounts, 10), asset_id=asset)
        await house.until_states({"final": 1, "quarantined": 1})
        await house.until(lambda: house.value("select reserved = 0 from treasuries where asset_id = $1", asset))
    failed = await house.value(f"{_COST} where i.state = 'failed'")
    assert failed > 0
    # To the last unit: what was reserved is gone, what each transaction cost is counted once, whether it paid or not.
    assert await _spent(house, program) == await house.value(_COST)


async def test_s25_the_programs_of_a_batch_that_reverted_share_its_cost(house: House) -> None:
    house.with_terms(batch_window_seconds=0.8)
    asset, token = await house.moody_asset(stock=1_000)
    programs = [await house.stocked_program(asset, 100) for _ in range(2)]
    wallets = [a_wallet() for _ in range(3)]
    await token.feel(Mood.REVERTS_IN_BLOCKS, wallets[0])
    async with house.working():
        for program, theirs in zip(programs, (wallets[:1], wallets[1:]), strict=True):
            accounts = [await house.account(program, wallet) for wallet in theirs]
            await house.owe(program, dict.fromkeys(accounts, 10), asset_id=asset)
        await house.until_states({"final": 2, "quarantined": 1})
        await house.until(lambda: house.value("select reserved = 0 from treasuries where asset_id = $1", asset))
    shares = [await _spent(house, program) for program in programs]
    cost, batches = await house.value(_COST), await house.value("select count(*) from batches where intent_id is not null")
    first = await house.value(f"{_COST} where b.supersedes = '{{}}' and b.size = 3")
    # Rounded up, so that no budget is undercounted: a unit for each program and batch at most.
    assert cost <= sum(shares) <= cost + 2 * batches
    assert shares[0] >= first // 3
    assert shares[1] >= first * 2 // 3


async def test_s25_a_budget_that_reverts_have_used_up_holds_the_program_back(house: House) -> None:
    asset, token = await house.moody_asset(stock=1_000)
    program = await house.stocked_program(asset, 1_000)
    bad = a_wallet()
    await token.feel(Mood.REVERTS_IN_BLOCKS, bad)
    async with house.working():
        await house.owe(program, {await house.account(program, bad): 10}, asset_id=asset)
        await house.until_states({"quarantined": 1})
        await house.owner.execute("update programs set gas_budget_wei = $2 where id = $1", program, await _spent(house, program))
        await house.owe(program, {await house.account(program): 10}, asset_id=asset)
        await house.until(lambda: house.value("select count(*) = 1 from work where kind = 'payouts.reserve' and due_at > now()"))
        assert await house.states() == {"quarantined": 1, "approved": 1}
        await house.owner.execute(f"update programs set gas_budget_wei = {PLENTY} where id = $1", program)
        await house.until_states({"quarantined": 1, "final": 1})
