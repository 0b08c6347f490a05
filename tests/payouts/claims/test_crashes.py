"""Claims while workers are killed, answers are lost and points are taken back: each is paid once, or not at all."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from guerdon.activity.models import Event, Reversal
from guerdon.activity.reversals import ReversalRequest, reverse_event
from guerdon.earning.models import Accrual
from guerdon.kit.database import PlatformSession, program_scope, run_in_platform
from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import uuid7
from guerdon.payouts.recalling import PayoutRecall
from guerdon.programs.models import ReversalPolicy
from tests.payouts.claims.bank import Bank, a_bank
from tests.payouts.house import House
from tests.payouts.test_crashes import EVERY, killed_at


async def earned(bank: Bank, points: int) -> tuple[UUID, UUID]:
    """(account, event): points that an event earned and that are available, so that they can be taken back."""
    house, account, event = bank.house, await bank.account(points), uuid7()
    async with house.database.program(bank.program) as session:
        now = house.clock.now()
        session.add(
            Event(
                program_id=bank.program, id=event, account_id=account, identity="email:ann@example.org", event_type="order",
                trust="server", received_at=now,
            )
        )  # fmt: skip
        session.add(
            Accrual(
                program_id=bank.program, id=event, account_id=account, asset_id=bank.points, earned_by="order", points=points,
                reversed=0, reasons=[], accrued_at=now,
            )
        )  # fmt: skip
    return account, event


async def taken_back(bank: Bank, event: UUID, points: int, policy: ReversalPolicy = ReversalPolicy.DEBT) -> Reversal:
    async def work(session: PlatformSession) -> Reversal | None:
        wanted = ReversalRequest(event, points, "refunded", (uuid7().bytes,), b"body")
        async with program_scope(session, bank.program):
            return (await reverse_event(session, bank.program, policy, wanted, PayoutRecall()))[0]

    found = await run_in_platform(bank.house.database, work)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("when", "first"), [("before", 2), ("after", 3)])
async def test_x402_defect_01_x402_defect_02_killed_at_every_commit_each_claim_is_paid_once(
    house: House, when: str, first: int
) -> None:
    bank = await a_bank(house)
    async with house.working():
        await house.until(lambda: house.value("select count(*) = 2 from intents where kind = 'approve' and state = 'final'"))
    kills = range(first, 20, EVERY)
    wallets: dict[str, int] = {}
    for nth in kills:
        for _ in range(2):
            ann = await bank.account(100)
            claim = await bank.claim(ann, nth)
            wallets[claim.destination_address.lower()] = claim.token_amount
        await killed_at(house, nth, when)
    async with house.working():
        await house.until_states({"final": 2 * len(kills)}, seconds=60)
        await house.until(lambda: house.value("select bool_and(reserved = 0) from treasuries"))
    assert sorted(await house.transfers(bank.token.address)) == sorted(wallets.items())
    await bank.check()


async def test_x402_defect_01_an_answer_that_is_lost_after_the_node_took_the_transaction_pays_once(house: House) -> None:
    """An error is no proof of failure: nothing is given back, nothing is made anew, the same bytes are found on the chain."""
    bank = await a_bank(house)
    ann = await bank.account(100)
    async with house.working():
        await house.until(lambda: house.value("select count(*) = 2 from intents where kind = 'approve' and state = 'final'"))
    lost: list[str] = []
    batch = house.rpc.batch

    async def losing(calls, *args, **kwargs):  # noqa: ANN001, ANN002, ANN003, ANN202 - the client's own
        answers = await batch(calls, *args, **kwargs)
        if any(method == "eth_sendRawTransaction" for method, _ in calls) and len(lost) < 3:
            lost.append("answer")
            message = "no answer within a second"
            raise TimeoutError(message)
        return answers

    house.rpc.batch = losing  # type: ignore[method-assign]
    claim = await bank.claim(ann, 100)
    async with house.working():
        await house.until_states({"final": 1}, seconds=40)
    assert await bank.state(claim.id) == "final"
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [1_000]
    assert await bank.balance(ann) == (0, 0, 100, 0)
    await bank.check()


async def test_s13_a_reversal_cancels_a_claim_that_nothing_is_signed_for_and_the_rest_is_available_again(house: House) -> None:
    bank = await a_bank(house)
    ann, event = await earned(bank, 100)
    claim = await bank.claim(ann, 80)
    taken = await taken_back(bank, event, 30)
    assert (taken.from_pending, taken.from_available, taken.as_debt) == (30, 0, 0)
    assert await bank.state(claim.id) == "refused"
    assert await bank.balance(ann) == (70, 0, 0, 0)
    async with house.working():
        again = await bank.claim(ann, 70)
        await house.until_states({"refused": 1, "final": 1})
    assert await bank.state(again.id) == "final"
    assert [amount for _, amount in await house.transfers(bank.token.address)] == [700]
    await bank.check()


async def test_s13_claims_and_reversals_at_once_pay_or_take_each_point_once(house: House) -> None:
    bank = await a_bank(house)
    people = [await earned(bank, 100) for _ in range(12)]
    homes = {account: await bank.wallet(account) for account, _ in people}
    refused = set[str]()

    async def claim(account: UUID, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await bank.claim(account, 100, homes[account])
        except GuerdonError as error:
            refused.add(error.code)

    async def reverse(event: UUID, delay: float) -> None:
        await asyncio.sleep(delay)
        await taken_back(bank, event, 60)

    async with house.working(workers=2):
        await asyncio.gather(
            *(claim(account, place * 0.03) for place, (account, _) in enumerate(people)),
            *(reverse(event, place * 0.04) for place, (_, event) in enumerate(people)),
        )
        await house.until(lambda: house.value("select coalesce(bool_and(state in ('refused', 'final')), true) from deliveries"))
        await house.until(lambda: house.value("select bool_and(reserved = 0) from treasuries"))
    assert refused <= {"NOT_ENOUGH_POINTS", "ACCOUNT_IN_DEBT"}
    paid = dict(await house.transfers(bank.token.address))
    for account, _ in people:
        available, held, claimed, debt = await bank.balance(account)
        assert held == 0
        assert paid.get(homes[account].lower(), 0) == claimed * 10
        # 60 of 100 were taken: out of what was there, or as a debt where all of it was on its way.
        assert available + claimed - debt == 40
    await bank.check()
