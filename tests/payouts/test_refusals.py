"""Recipients that can't be paid, and times when nobody can: who is held back, who is not, and how it ends."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from guerdon.payouts import remedies
from guerdon.payouts.errors import PayoutNotStuckError
from guerdon.payouts.remedies import Settled
from tests.payouts.house import House, a_wallet
from tests.payouts.moody import Mood, MoodyToken


async def _owe_everybody(house: House, asset: UUID, wallets: list[str], points: int = 10) -> tuple[UUID, list[UUID]]:
    program = await house.stocked_program(asset, 10_000)
    accounts = [await house.account(program, wallet) for wallet in wallets]
    return program, await house.owe(program, dict.fromkeys(accounts, points), asset_id=asset)


async def _quarantined(house: House) -> set[str]:
    return {
        row["destination"] for row in await house.owner.fetch("select destination from deliveries where state = 'quarantined'")
    }


async def _paid(house: House, token: MoodyToken) -> dict[str, int]:
    paid: dict[str, int] = {}
    for recipient, amount in await house.transfers(token.address):
        assert recipient not in paid, "paid twice"
        paid[recipient] = amount
    return paid


@pytest.mark.parametrize("mood", [Mood.REVERTS, Mood.REVERTS_SILENTLY, Mood.ANSWERS_FALSE])
async def test_s22_recipients_that_can_not_be_paid_do_not_hold_up_the_others(house: House, mood: Mood) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    wallets = [a_wallet() for _ in range(20)]
    await token.feel(mood, wallets[3], wallets[11])
    async with house.working():
        await _owe_everybody(house, asset, wallets)
        await house.until_states({"final": 18, "quarantined": 2})
        assert await _quarantined(house) == {wallets[3], wallets[11]}
        assert len(await _paid(house, token)) == 18
        await house.until(lambda: house.value("select reserved = 0 from treasuries where asset_id = $1", asset))
        alerts = await house.value("select count(*) from outbox where kind = 'payout.quarantined' and resolved_at is null")
        assert alerts == 2
        assert await house.findings() == []


async def test_s22_when_nobody_can_be_paid_nobody_is_quarantined_and_it_resumes_by_itself(house: House) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    await token.pause()
    async with house.working():
        await _owe_everybody(house, asset, [a_wallet() for _ in range(5)])
        await house.until(lambda: house.value("select paused_at is not null from treasuries where asset_id = $1", asset))
        await asyncio.sleep(1)
        assert await house.states() == {"reserved": 5}
        treasury = await house.treasury(asset)
        assert str(treasury.pause_reason).startswith("the token refuses every transfer")
        assert treasury.resumes_by_itself
        await token.pause(paused=False)
        await house.until_states({"final": 5})
        assert (await house.treasury(asset)).paused_at is None
        still_open = "select count(*) = 0 from outbox where kind = 'treasury.cannot_pay' and resolved_at is null"
        await house.until(lambda: house.value(still_open))


async def test_s22_tokens_that_left_the_treasury_pause_it_until_they_are_back(house: House) -> None:
    asset, token = await house.moody_asset(stock=100)
    async with house.working():
        await house.until(lambda: house.value("select balance_final = 100 from treasuries where asset_id = $1", asset))
        treasury = await house.treasury(asset)
        await token.seize(treasury.address, a_wallet(), 95)
        await _owe_everybody(house, asset, [a_wallet()])
        await house.until(
            lambda: house.value("select pause_reason like 'balance short%' from treasuries where asset_id = $1", asset)
        )
        assert await house.states() == {"reserved": 1}
        await token.mint(treasury.address, 95)
        await house.until_states({"final": 1})


async def test_s22_a_missing_allowance_is_approved_again_and_payouts_go_on(house: House) -> None:
    asset, token = await house.moody_asset(stock=100)
    async with house.working():
        await house.until(lambda: house.value("select count(*) = 2 from intents where kind = 'approve' and state = 'final'"))
        treasury = await house.treasury(asset)
        await token.forget(treasury.address, house.distributor)
        await _owe_everybody(house, asset, [a_wallet()])
        await house.until_states({"final": 1})
        assert await house.value("select count(*) from intents where kind = 'approve'") == 3


async def test_s17_a_batch_that_reverts_on_chain_is_taken_apart_and_superseded(house: House) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    wallets = [a_wallet() for _ in range(6)]
    await token.feel(Mood.REVERTS_IN_BLOCKS, wallets[2])
    async with house.working():
        _, deliveries = await _owe_everybody(house, asset, wallets)
        await house.until_states({"final": 5, "quarantined": 1}, seconds=60)
        assert await _quarantined(house) == {wallets[2]}
        assert len(await _paid(house, token)) == 5
        await house.until(lambda: house.value("select reserved = 0 from treasuries where asset_id = $1", asset))
        # Every frozen batch but the first names what was not final of its ancestors, and no payout is in two paid ones.
        frozen = await house.owner.fetch(
            "select id, state, supersedes, chain_batch_id from batches where chain_batch_id is not null order by id"
        )
        roots = [row for row in frozen if not row["supersedes"]]
        assert len(roots) == 1
        names = [row["chain_batch_id"] for row in frozen]
        assert all(set(row["supersedes"]) <= set(names) for row in frozen)
        assert [row for row in frozen if roots[0]["chain_batch_id"] in row["supersedes"]]
        assert {row["state"] for row in frozen} == {"paid", "dissolved"}
        assert await house.findings() == []

        (stuck,) = [
            one for one in deliveries if await house.value("select state = 'quarantined' from deliveries where id = $1", one)
        ]
        await token.feel(Mood.KIND, wallets[2])
        program = await house.value("select program_id from deliveries where id = $1", stuck)
        assert await remedies.retry(house.deps, program, stuck) is Settled.RETRIED
        await house.until_states({"final": 6})
        assert (await _paid(house, token))[wallets[2].lower()] == 10
        assert await house.findings() == []


async def test_s17_a_split_of_a_split_names_every_ancestor_that_is_not_final(house: House) -> None:
    asset, token = await house.moody_asset(stock=1_000)
    wallets = [a_wallet() for _ in range(4)]
    for wallet in wallets:
        await token.feel(Mood.REVERTS_IN_BLOCKS, wallet)
    async with house.working():
        await _owe_everybody(house, asset, wallets)
        # None of them was ever paid or made void on chain, so each stays to be named by whatever comes after it.
        await house.until_states({"quarantined": 4}, seconds=180)
    frozen = await house.owner.fetch(
        """
        select b.id, b.chain_batch_id as name, b.supersedes, array_agg(m.delivery_id) as payouts
          from batches b join batch_members m on m.batch_id = b.id
         where b.chain_batch_id is not null group by b.id order by b.frozen_at
        """
    )
    generations: dict[str, int] = {}
    for place, batch in enumerate(frozen):
        ancestors = {before["name"] for before in frozen[:place] if set(before["payouts"]) & set(batch["payouts"])}
        assert set(batch["supersedes"]) == ancestors
        generations[batch["name"]] = 1 + max((generations[name] for name in ancestors), default=0)
    # 4 wallets, 2 and 2, 1 each; and a lonely one is tried again.
    assert {len(batch["payouts"]) for batch in frozen} == {4, 2, 1}
    assert max(generations.values()) >= 3


async def test_a_quarantined_payout_is_retried_once_however_often_it_is_asked_for(house: House) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    wallet = a_wallet()
    await token.feel(Mood.REVERTS, wallet)
    async with house.working():
        program, (delivery,) = await _owe_everybody(house, asset, [wallet])
        await house.until_states({"quarantined": 1})
        await token.feel(Mood.KIND, wallet)
        # Its approval of the distributor may be as new as the payout, and the treasury waits for it.
        can_pay = "select paused_at is null and balance_final - reserved >= 10 from treasuries where asset_id = $1"
        await house.until(lambda: house.value(can_pay, asset))
        asked = await asyncio.gather(*(remedies.retry(house.deps, program, delivery) for _ in range(5)), return_exceptions=True)
        assert asked.count(Settled.RETRIED) == 1
        assert all(isinstance(one, PayoutNotStuckError) for one in asked if one is not Settled.RETRIED)
        await house.until_states({"final": 1})
        assert await _paid(house, token) == {wallet.lower(): 10}
        assert await house.value("select count(*) from outbox where kind = 'payout.quarantined' and resolved_at is null") == 0


async def test_s23_a_quarantined_payout_is_given_back_and_its_points_are_available(house: House) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    wallet = a_wallet()
    await token.feel(Mood.REVERTS, wallet)
    async with house.working():
        program, (delivery,) = await _owe_everybody(house, asset, [wallet])
        await house.until_states({"quarantined": 1})
        assert await remedies.give_back(house.deps, program, delivery) is Settled.RETURNED
        with pytest.raises(PayoutNotStuckError):
            await remedies.give_back(house.deps, program, delivery)
        with pytest.raises(PayoutNotStuckError):
            await remedies.retry(house.deps, program, delivery)
    assert await house.value("select available from account_balances where program_id = $1", program) == 10
    assert await house.value("select held from account_balances where program_id = $1", program) == 0
    assert await _paid(house, token) == {}
    assert await house.findings() == []


async def test_s23_a_payout_that_reverted_on_chain_is_given_back_only_once_that_is_final(house: House) -> None:
    asset, token = await house.moody_asset(stock=10_000)
    wallet = a_wallet()
    await token.feel(Mood.REVERTS_IN_BLOCKS, wallet)
    async with house.working():
        program, (delivery,) = await _owe_everybody(house, asset, [wallet])
        await house.until_states({"quarantined": 1})
        states = {
            row["state"] for row in await house.owner.fetch("select i.state from intents i join batches b on b.intent_id = i.id")
        }
        assert states == {"failed"}
        assert await remedies.give_back(house.deps, program, delivery) is Settled.RETURNED
    assert await house.findings() == []
