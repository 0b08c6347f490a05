"""Reversals that reach payouts which are reserved, while nothing was ever signed for them (SAFETY S13)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from guerdon.activity.models import Event, Reversal
from guerdon.activity.reversals import ReversalRequest, reverse_event
from guerdon.earning.models import Accrual
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform
from guerdon.kit.ids import uuid7
from guerdon.ledger.verify import verify_program
from guerdon.payouts.distributor import Distributor
from guerdon.payouts.freezing import close_and_freeze
from guerdon.payouts.rail import Refusal
from guerdon.payouts.recalling import PayoutRecall
from guerdon.payouts.reserving import GasPrice, reserve
from guerdon.programs.models import ReversalPolicy
from tests.payouts.house import House


@dataclass
class Rewards:
    """A program whose accounts earned ten points each, none of them delivered; nobody works yet."""

    house: House
    program: UUID
    events: list[UUID]
    payouts: list[UUID]

    async def reserve(self) -> None:
        treasury = await self.house.treasury()
        await reserve(self.house.database, self.program, treasury.id, terms=self.house.terms, gas_price=GasPrice(None))

    async def reverse(
        self, which: int, points: int | None = None, policy: ReversalPolicy = ReversalPolicy.WITHIN_BALANCE
    ) -> tuple[int, int, int, int]:
        """(from what is pending, from what is available, as a debt, written off)."""

        async def work(session: PlatformSession) -> Reversal | None:
            wanted = ReversalRequest(self.events[which], points, "order refunded", (uuid7().bytes,), b"body")
            async with program_scope(session, self.program):
                return (await reverse_event(session, self.program, policy, wanted, PayoutRecall()))[0]

        taken = await run_in_platform(self.house.database, work)
        assert taken is not None
        return taken.from_pending, taken.from_available, taken.as_debt, taken.written_off

    async def reserved(self) -> tuple[int, int, int]:
        """What the treasury has reserved; the sum and the size of the batches that are not over."""
        batches = "select coalesce(sum({}), 0)::bigint from batches where state in ('open', 'closed', 'frozen')"
        treasury = int((await self.house.treasury()).reserved)
        total, size = [await self.house.value(batches.format(column)) for column in ("total_atomic", "size")]
        return treasury, total, size

    async def check(self) -> None:
        assert await self.house.findings() == []
        async with self.house.database.program(self.program) as session:
            assert await verify_program(session, self.program) == []


async def some_rewards(house: House, accounts: int = 1, points: int = 10) -> Rewards:
    async with house.working():
        program = await house.program(funds=1_000)
    people = [await house.account(program) for _ in range(accounts)]
    payouts = await house.owe(program, dict.fromkeys(people, points))
    events = [uuid7() for _ in people]
    async with house.database.program(program) as session:
        for event, account, payout in zip(events, people, payouts, strict=True):
            now = house.clock.now()
            session.add(
                Event(
                    program_id=program, id=event, account_id=account, identity="email:ann@example.org", event_type="order",
                    trust="server", received_at=now,
                )
            )  # fmt: skip
            session.add(
                Accrual(
                    program_id=program, id=event, account_id=account, asset_id=house.asset_id, earned_by="order", points=points,
                    reversed=0, reasons=[], delivery_id=payout, accrued_at=now,
                )
            )  # fmt: skip
    return Rewards(house, program, events, payouts)


@pytest.mark.parametrize("state", ["open", "closed"])
async def test_s13_a_reserved_payout_that_is_not_frozen_is_taken_back_whole(house: House, state: str) -> None:
    rewards = await some_rewards(house, accounts=2)
    await rewards.reserve()
    await house.owner.execute("update batches set state = $1", state)
    assert await rewards.reverse(0) == (10, 0, 0, 0)
    assert await rewards.reserved() == (10, 10, 1)
    await rewards.check()
    async with house.working():
        await house.until_states({"refused": 1, "final": 1})
    assert await house.transfers() == [((await house.wallet_of(rewards.payouts[1])).lower(), 10)]
    assert await rewards.reserved() == (0, 0, 0)
    await rewards.check()


async def test_s13_a_part_of_a_reserved_payout_is_taken_and_the_rest_is_paid(house: House) -> None:
    rewards = await some_rewards(house)
    await rewards.reserve()
    assert await rewards.reverse(0, 4) == (4, 0, 0, 0)
    assert await rewards.reserved() == (6, 6, 1)
    await rewards.check()
    async with house.working():
        await house.until_states({"final": 1})
    assert await house.transfers() == [((await house.wallet_of(rewards.payouts[0])).lower(), 6)]
    await rewards.check()


async def test_s13_the_last_payout_of_a_batch_may_go_and_the_batch_ends(house: House) -> None:
    rewards = await some_rewards(house)
    await rewards.reserve()
    await rewards.reverse(0)
    async with house.working():
        await house.until(lambda: house.value("select bool_and(size = 0) from batches"))
        again = await house.account(rewards.program)
        await house.owe(rewards.program, {again: 3})
        await house.until_states({"refused": 1, "final": 1})
    assert [amount for _, amount in await house.transfers()] == [3]
    await rewards.check()


async def test_s13_what_is_frozen_is_past_recall_and_becomes_a_debt(house: House) -> None:
    rewards = await some_rewards(house)
    await rewards.reserve()
    await house.owner.execute("update batches set state = 'closed'")
    await close_and_freeze(house.deps)
    assert await rewards.reverse(0, policy=ReversalPolicy.DEBT) == (0, 0, 10, 0)
    assert await rewards.reserved() == (10, 10, 1)
    async with house.working():
        await house.until_states({"final": 1})
    assert [amount for _, amount in await house.transfers()] == [10]
    await rewards.check()


async def test_s13_what_was_in_a_frozen_batch_once_is_past_recall_in_its_next_one_too(house: House) -> None:
    rewards = await some_rewards(house)
    await rewards.reserve()
    await house.owner.execute("update batches set state = 'closed'")
    await close_and_freeze(house.deps)
    # As after a batch that can never land: its payouts are in a new one, and the old one stays on record.
    await house.owner.execute("update intents set state = 'void' where kind = 'pay'")
    async with house.working():
        await house.until(lambda: house.value("select count(*) = 2 from batches"))
        await house.until_states({"final": 1})
    await house.owner.execute("update batches set state = 'closed' where state = 'paid'")
    await house.owner.execute(
        "update batch_members set settled = false where batch_id in (select id from batches where state = 'closed')"
    )
    await house.owner.execute("update deliveries set state = 'reserved'")
    async with house.database.platform() as session, program_scope(session, rewards.program):
        account = await house.value("select account_id from deliveries")
        assert await PayoutRecall().lock(session, rewards.program, house.asset_id, account) == []


async def test_s13_s15_a_payout_recalled_between_simulation_and_freezing_is_not_frozen(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was simulated is frozen only if it is still the list; the reversal in between changed it."""
    rewards = await some_rewards(house, accounts=3)
    await rewards.reserve()
    await house.owner.execute("update batches set state = 'closed'")
    simulate: Any = Distributor.simulate
    taken: list[tuple[int, int, int, int]] = []

    async def reversed_meanwhile(self: Distributor, *args: Any) -> Refusal | None:
        answer: Refusal | None = await simulate(self, *args)
        if not taken:
            taken.extend([await rewards.reverse(0), await rewards.reverse(1, 3)])
        return answer

    monkeypatch.setattr(Distributor, "simulate", reversed_meanwhile)
    await close_and_freeze(house.deps)
    assert taken == [(10, 0, 0, 0), (3, 0, 0, 0)]
    assert await rewards.reserved() == (17, 17, 2)
    async with house.working():
        await house.until_states({"refused": 1, "final": 2})
    assert sorted(amount for _, amount in await house.transfers()) == [7, 10]
    await rewards.check()


async def test_s13_s15_reversals_and_batches_that_race_pay_or_take_each_point_once(house: House) -> None:
    """However they meet, a point is taken back or paid; they wait for each other in one order and nobody is stuck."""
    house.with_terms(batch_size=4)
    rewards = await some_rewards(house, accounts=24)
    outcomes: list[tuple[int, int, int, int]] = []

    async def reverse(which: int) -> None:
        await asyncio.sleep(which * 0.02)
        outcomes.append(await rewards.reverse(which, 6 if which % 2 else None))

    async with house.working(workers=3):
        await asyncio.gather(*(reverse(which) for which in range(24)))
        await house.until(lambda: house.value("select bool_and(state in ('refused', 'final')) from deliveries"))
        await house.until(lambda: house.value("select reserved = 0 from treasuries"))
    taken = sum(pending for pending, _, _, _ in outcomes)
    assert sum(pending + available + debt + lost for pending, available, debt, lost in outcomes) == 12 * 10 + 12 * 6
    assert sum(amount for _, amount in await house.transfers()) == 240 - taken
    await rewards.check()
