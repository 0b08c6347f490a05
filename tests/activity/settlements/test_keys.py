"""A payment's key and its id: there once, whoever brings it however often; in the order of time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from guerdon.activity.settlements import repository_settlements
from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.crediting import Proven, Surroundings, credit_proven
from guerdon.activity.settlements.models import SettlementState
from guerdon.activity.settlements.names import Network, Networks
from guerdon.activity.settlements.proofs import Landed, Payment
from guerdon.activity.settlements.proving import credited
from guerdon.earning.repository_members import accruals_before
from guerdon.kit.database import ProgramSession
from tests.activity.settlements.scene import Scene, Wallet

MERCHANT = "0x" + "77" * 20
DOLLAR = 1_000_000


async def test_the_history_is_in_the_order_in_which_payments_were_booked(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    for cents in range(1, 9):
        await scene.settle(payer, MERCHANT, cents * DOLLAR // 100)
    # As `/api/rewards/history` pages through it.
    seen: list[int] = []
    before: UUID | None = None
    async with scene.database.program(scene.program_id) as session:
        while page := await accruals_before(session, scene.program_id, ann, before, 3):
            seen += [accrual.points for accrual in page]
            before = page[-1].id
    assert seen == [8, 7, 6, 5, 4, 3, 2, 1]


async def test_a_batch_is_booked_in_the_order_of_its_blocks(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    sent = [await scene.pay(payer, MERCHANT, cents * DOLLAR // 100) for cents in range(1, 9)]
    for transaction in reversed(sent):
        await scene.report(transaction)
    await scene.prove()
    async with scene.database.program(scene.program_id) as session:
        page = await accruals_before(session, scene.program_id, ann, None, 10)
    assert [accrual.points for accrual in page] == [8, 7, 6, 5, 4, 3, 2, 1]


async def test_s33_a_chain_that_is_set_up_under_two_names_has_each_payment_once(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    now = datetime.now(UTC)
    landed = Landed(
        transaction_hash="0x" + "ab" * 32, sender=scene.facilitator.stored, block_number=7, block_hash="0x" + "22" * 32,
        settled_at=now, is_final=True, reason=None,
        payments=(Payment(1, "0xaa", payer.stored, MERCHANT, DOLLAR), Payment(3, "0xaa", payer.stored, MERCHANT, DOLLAR)),
    )  # fmt: skip
    names = [Network("local", "eip155", "31337"), Network("also", "eip155", "31337")]
    proven = [Proven(network, UUID(scene.source["id"]), landed) for network in names]
    assets = {network.name: {"0xaa": Listed("0xaa", "USDC", 6, DOLLAR)} for network in names}
    around = Surroundings(Networks.of(names), {}, assets, now)
    for some, new in ((proven, 2), (proven[1:], 0), (proven, 0)):
        async with scene.database.program(scene.program_id) as session:
            assert await credit_proven(session, scene.program_id, some, around) == new
    assert (await scene.balance(ann)).available == 200
    await scene.check_books()


def a_batch(scene: Scene, payer: Wallet, *hashes: str) -> tuple[list[Proven], Surroundings]:
    """Transactions with two payments each, as they are proven."""
    network, now = Network("local", "eip155", "31337"), datetime.now(UTC)
    payments = tuple(Payment(place, "0xaa", payer.stored, MERCHANT, DOLLAR) for place in (1, 3))
    landed = [
        Landed(
            transaction_hash=one, sender=scene.facilitator.stored, block_number=7, block_hash="0x" + "22" * 32, settled_at=now,
            is_final=True, reason=None, payments=payments,
        )
        for one in hashes
    ]  # fmt: skip
    proven = [Proven(network, UUID(scene.source["id"]), one) for one in landed]
    return proven, Surroundings(Networks.of([network]), {}, {"local": {"0xaa": Listed("0xaa", "USDC", 6, DOLLAR)}}, now)


async def test_s34_what_is_taken_back_while_it_is_brought_again_is_new_and_what_is_brought_again_is_not_taken_back(
    scene: Scene,
) -> None:
    payer = Wallet()
    await scene.member(payer)
    proven, around = a_batch(scene, payer, "0x" + "ab" * 32)

    async def bring() -> int:
        async with scene.database.program(scene.program_id) as session:
            return await credit_proven(session, scene.program_id, proven, around)

    async def take_back() -> None:
        async with scene.database.program(scene.program_id) as session:
            hashes = [one.landed.transaction_hash for one in proven]
            for one in await repository_settlements.of_transactions(session, scene.program_id, "local", hashes):
                one.state = SettlementState.REORGANISED

    assert await bring() == 2
    hashes = [one.landed.transaction_hash for one in proven]
    async with scene.database.program(scene.program_id) as session:
        locked = await repository_settlements.of_transactions(session, scene.program_id, "local", hashes)
        bringing = asyncio.create_task(bring())
        await asyncio.sleep(0.2)
        assert not bringing.done()
        locked[0].state = SettlementState.REORGANISED
    assert await bringing == 1
    async with scene.database.program(scene.program_id) as session:
        assert await credit_proven(session, scene.program_id, proven, around) == 0
        taking = asyncio.create_task(take_back())
        await asyncio.sleep(0.2)
        assert not taking.done()
    await taking
    assert [one.state for one in await scene.settlements()] == [SettlementState.REORGANISED] * 3
    assert await bring() == 2


@pytest.mark.parametrize("owned", [True, False])
async def test_s33_the_same_payments_by_several_at_once_in_any_order_count_once(scene: Scene, owned: bool) -> None:
    payer = Wallet()
    ann = await scene.member(payer if owned else Wallet())
    proven, around = a_batch(scene, payer, *(f"0x{number:064x}" for number in range(20)))
    deps = scene.api.runtime.settlement_deps()
    new: list[int] = []

    async def bring(some: list[Proven]) -> None:
        async def work(session: ProgramSession) -> None:
            count = await credit_proven(session, scene.program_id, some, around)
            await asyncio.sleep(0.05)
            new.append(count)

        await credited(deps, scene.program_id, work)

    await asyncio.gather(*(bring(proven[::-1] if number % 2 else proven) for number in range(6)))
    assert sum(one.account_id is not None for one in await scene.settlements()) == (40 if owned else 0)
    assert len(await scene.settlements()) == 40
    assert (await scene.balance(ann)).available == (4_000 if owned else 0)
    assert max(new) == 40
    await scene.check_books()
