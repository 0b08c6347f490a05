"""What is wrong with one payout, account or network stops no other, and an operator hears of it."""

from __future__ import annotations

from uuid import UUID

import pytest

from guerdon.chains.evm import EvmClient
from guerdon.kit.ids import uuid7
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement
from guerdon.payouts import remedies
from guerdon.payouts.errors import AccountInDebtError
from guerdon.txmanager import treasuries
from guerdon.txmanager.connections import RpcNotConfiguredError
from tests.payouts.house import House, a_wallet
from tests.payouts.moody import Mood


async def a_stuck_payout_with_debt(house: House, debt: int) -> tuple[UUID, UUID, UUID, str]:
    """(program, account, payout, wallet): 30 points are quarantined, and then a reversal made the account owe `debt`."""
    asset, token = await house.moody_asset(stock=100)
    program = await house.stocked_program(asset, 100)
    wallet = a_wallet()
    account = await house.account(program, wallet)
    await token.feel(Mood.REVERTS, wallet)
    (payout,) = await house.owe(program, {account: 30}, asset_id=asset)
    await house.until_states({"quarantined": 1})
    async with house.database.program(program) as session:
        owe = Movement(PostingKind.OWE, uuid7(), asset, debt, account)
        await ledger.post(session, program, [owe], house.clock.now())
    await token.feel(Mood.KIND, wallet)
    return program, account, payout, wallet


@pytest.mark.parametrize(("debt", "left", "available"), [(20, 0, 10), (30, 0, 0), (50, 20, 0)])
async def test_s13_a_returned_payout_repays_the_debt_first(house: House, debt: int, left: int, available: int) -> None:
    async with house.working():
        program, account, payout, _ = await a_stuck_payout_with_debt(house, debt)
        assert await remedies.give_back(house.deps, program, payout) is remedies.Settled.RETURNED
    row = await house.owner.fetchrow("select available, held, debt from account_balances where account_id = $1", account)
    assert row is not None
    assert (row["available"], row["held"], row["debt"]) == (available, 0, left)
    assert await house.findings() == []


async def test_s13_nothing_is_sent_while_a_debt_is_open(house: House) -> None:
    async with house.working():
        program, _, payout, _ = await a_stuck_payout_with_debt(house, 30)
        with pytest.raises(AccountInDebtError):
            await remedies.retry(house.deps, program, payout)
    assert await house.states(program) == {"quarantined": 1}


async def test_a_payout_that_can_never_be_paid_holds_nobody_up_and_goes_on_when_the_limit_is_raised(house: House) -> None:
    async with house.working():
        program = await house.program(funds=1000)
        large, small = await house.account(program), await house.account(program)
        treasury = await house.treasury()
        async with house.database.platform() as session:
            await treasuries.limit(session, treasury.id, amount_atomic=30, period_seconds=1)
        await house.owe(program, {large: 31})
        await house.owe(program, {small: 1})
        await house.until_states({"approved": 1, "final": 1})
        assert await open_alerts(house) == ["payouts.too_large"]
        async with house.database.platform() as session:
            await treasuries.limit(session, treasury.id, amount_atomic=31, period_seconds=1)
        await house.until_states({"final": 2})
        # Nobody has met them for some minutes: the alert ends by itself.
        await house.owner.execute("update outbox set last_seen_at = now() - interval '6 minutes'")
        await house.until(
            lambda: house.value("select count(*) = 0 from outbox where severity is not null and resolved_at is null")
        )


async def test_a_network_without_an_address_stops_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.working():
        healthy = await house.program(funds=1000)
    orphan_asset = await a_network_that_nobody_can_ask(house)
    ask = House.chain

    async def chain(self: House, network: str, /) -> EvmClient:
        if network == "orphan":
            raise RpcNotConfiguredError
        return await ask(self, network)

    monkeypatch.setattr(House, "chain", chain)
    orphan = await house.stocked_program(orphan_asset, 100)
    async with house.working():
        await house.owe(orphan, {await house.account(orphan): 5}, asset_id=orphan_asset)

        async def is_reserved() -> bool:
            return await house.states(orphan) == {"reserved": 1}

        await house.until(is_reserved)
        await house.owe(healthy, {await house.account(healthy): 7})

        async def is_paid() -> bool:
            return await house.states(healthy) == {"final": 1}

        await house.until(is_paid)
    assert "work.step_failed" in await open_alerts(house)


async def open_alerts(house: House) -> list[str]:
    rows = await house.owner.fetch("select kind from outbox where severity is not null and resolved_at is null order by 1")
    return [row["kind"] for row in rows]


async def a_network_that_nobody_can_ask(house: House) -> UUID:
    """The asset of a network, with a treasury that has 1,000 of it."""
    asset = uuid7()
    key = await house.value("select id from keys where purpose = 'treasury'")
    await house.owner.execute(
        "insert into networks (name, chain_id, block_time_ms, created_at) values ('orphan', 999, 2000, now())"
    )
    await house.owner.execute(
        "insert into assets (id, symbol, decimals, delivery, network, token_address, mintable, created_at) "
        "values ($1, 'ORPHAN', 0, 'automatic', 'orphan', $2, false, now())",
        asset,
        f"0x{'33' * 20}",
    )
    await house.owner.execute(
        "insert into treasuries (id, network, asset_id, key_id, token_address, token_decimals, address, balance_final, created_at) "
        f"values ($1, 'orphan', $2, $3, '0x{'33' * 20}', 0, $4, 1000, now())",
        uuid7(),
        asset,
        key,
        f"0x{'44' * 20}",
    )
    await house.owner.execute(
        "insert into contracts (network, name, address, created_at) values ('orphan', 'RewardDistributor', $1, now())",
        f"0x{'55' * 20}",
    )
    return asset
