"""What the chain has to say before anything counts as delivered, dead or given back (SAFETY S24; DESIGN section 6, rule 6)."""

from __future__ import annotations

from uuid import UUID

import pytest

from guerdon.payouts import remedies
from guerdon.payouts.errors import PayoutMayLandError
from guerdon.payouts.remedies import Settled
from tests.payouts.house import House


async def _sent_and_not_mined(house: House, points: int = 30) -> tuple[UUID, UUID, UUID]:
    """A program, its payout, and the batch whose transaction waits in the pool; no blocks come."""
    program = await house.program(funds=100)
    account = await house.account(program)
    house.may_mine.clear()
    (delivery,) = await house.owe(program, {account: points})
    await house.until_states({"sent": 1})
    return program, delivery, await house.value("select id from batches where state = 'frozen'")


async def _held(house: House, program: UUID) -> int:
    return await house.value("select sum(held) from account_balances where program_id = $1", program)


async def test_s24_inclusion_is_shown_at_once_and_delivery_is_booked_at_finality(house: House) -> None:
    async with house.working():
        program, _, _ = await _sent_and_not_mined(house)
        await house.node.mine()
        await house.until_states({"confirmed": 1})
        assert await house.value("select transaction_hash is not null and block_number is not null from deliveries")
        assert await _held(house, program) == 30
        assert (await house.treasury()).reserved == 30
        house.may_mine.set()
        await house.until_states({"final": 1})
        assert await _held(house, program) == 0
        assert (await house.treasury()).reserved == 0


async def test_s24_a_payout_in_a_block_that_vanishes_is_sent_again_and_paid_once(house: House) -> None:
    async with house.working():
        await _sent_and_not_mined(house)
        before = await house.node.rpc("evm_snapshot")
        await house.node.mine()
        await house.until_states({"confirmed": 1})
        assert await house.node.rpc("evm_revert", before)
        await house.node.mine(2)
        house.may_mine.set()
        await house.until_states({"final": 1})
        assert [amount for _, amount in await house.transfers()] == [30]
        assert await house.findings() == []


async def test_s23_a_transaction_that_was_killed_is_paid_anew_under_the_chains_guard(house: House) -> None:
    async with house.working():
        program, delivery, batch = await _sent_and_not_mined(house)
        with pytest.raises(PayoutMayLandError):
            await remedies.release_dead_batch(house.deps, batch)
        await remedies.kill(house.deps, batch)
        await house.until(lambda: house.value("select bool_or(kills) from attempts where sent_at is not null"))
        house.may_mine.set()
        await house.until_states({"unknown": 1})
        await house.until(lambda: house.value("select count(*) = 1 from outbox where kind = 'payouts.unknown'"))
        assert await _held(house, program) == 30
        assert await remedies.release_dead_batch(house.deps, batch) == [(program, delivery)]
        assert await remedies.release_dead_batch(house.deps, batch) == [(program, delivery)]
        assert await house.states() == {"quarantined": 1}
        assert await remedies.retry(house.deps, program, delivery) is Settled.RETRIED
        await house.until_states({"final": 1})
        assert [amount for _, amount in await house.transfers()] == [30]
        killed = await house.value("select chain_batch_id from batches where id = $1", batch)
        assert await house.value("select supersedes from batches where state = 'paid' and size > 0") == [killed]
        await house.until(
            lambda: house.value(
                "select count(*) = 0 from outbox where kind like 'payout%' and severity is not null and resolved_at is null"
            )
        )
        assert await house.findings() == []


async def test_s23_a_transaction_that_was_killed_is_given_back(house: House) -> None:
    async with house.working():
        program, delivery, batch = await _sent_and_not_mined(house)
        await remedies.kill(house.deps, batch)
        await house.until(lambda: house.value("select bool_or(kills) from attempts where sent_at is not null"))
        house.may_mine.set()
        await house.until_states({"unknown": 1})
        await remedies.release_dead_batch(house.deps, batch)
        assert await remedies.give_back(house.deps, program, delivery) is Settled.RETURNED
        assert await house.transfers() == []
        assert await house.value("select available from account_balances where program_id = $1", program) == 30
        assert await house.findings() == []


@pytest.mark.parametrize("remedy", [remedies.retry, remedies.give_back])
async def test_s17_what_the_chain_proves_to_be_paid_is_delivered_whatever_was_asked_for(
    house: House, remedy: remedies.Remedy
) -> None:
    """A database that believes a transaction dead (an old dump, say) meets a chain that has it."""
    async with house.working():
        program, delivery, batch = await _sent_and_not_mined(house)
        await house.owner.execute("update intents set state = 'void' where ref = $1", batch)
        await remedies.release_dead_batch(house.deps, batch)
        house.may_mine.set()
        await house.until(lambda: _is_transferred(house))
        await house.node.mine(3)
        assert await remedy(house.deps, program, delivery) is Settled.ALREADY_PAID
        assert await house.states() == {"final": 1}
        assert [amount for _, amount in await house.transfers()] == [30]


async def _is_transferred(house: House) -> bool:
    return bool(await house.transfers())
