"""A payment's key and its id: there once, whoever brings it however often; in the order of time."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime
from uuid import UUID

from guerdon.activity.settlements import repository_settlements
from guerdon.activity.settlements.assets import Listed
from guerdon.activity.settlements.crediting import Proven, Surroundings, credit_proven
from guerdon.activity.settlements.models import SettlementState
from guerdon.activity.settlements.names import Network, Networks
from guerdon.activity.settlements.proofs import Landed, Payment
from guerdon.activity.settlements.repository_settlements import Row
from guerdon.earning.repository_members import accruals_before
from guerdon.kit.ids import uuid7
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


async def test_s34_what_is_taken_back_while_it_is_brought_again_is_new_and_what_is_brought_again_is_not_taken_back(
    scene: Scene,
) -> None:
    payer = Wallet()
    await scene.member(payer)
    transaction = await scene.settle(payer, MERCHANT, DOLLAR)
    (settlement,) = await scene.settlements()
    row = Row(**{field.name: getattr(settlement, field.name) for field in fields(Row)})

    async def bring_again() -> bool:
        async with scene.database.program(scene.program_id) as session:
            again = replace(row, id=uuid7())
            return again.id in await repository_settlements.put(session, scene.program_id, [again], datetime.now(UTC))

    async def take_back() -> None:
        async with scene.database.program(scene.program_id) as session:
            for one in await repository_settlements.of_transactions(session, scene.program_id, "local", [transaction]):
                one.state = SettlementState.REORGANISED

    async with scene.database.program(scene.program_id) as session:
        (locked,) = await repository_settlements.of_transactions(session, scene.program_id, "local", [transaction])
        bringing = asyncio.create_task(bring_again())
        await asyncio.sleep(0.2)
        assert not bringing.done()
        locked.state = SettlementState.REORGANISED
    assert await bringing
    async with scene.database.program(scene.program_id) as session:
        known = replace(row, id=uuid7())
        assert await repository_settlements.put(session, scene.program_id, [known], datetime.now(UTC)) == set()
        taking = asyncio.create_task(take_back())
        await asyncio.sleep(0.2)
        assert not taking.done()
    await taking
    assert [one.state for one in await scene.settlements()] == [SettlementState.REORGANISED] * 2
    assert await bring_again()


async def test_s33_the_same_payments_by_two_at_once_in_any_order_are_kept_once(scene: Scene) -> None:
    payer = Wallet()
    await scene.member(payer)
    await scene.settle(payer, MERCHANT, DOLLAR)
    (settlement,) = await scene.settlements()
    row = Row(**{field.name: getattr(settlement, field.name) for field in fields(Row)})
    keys = [(f"0x{number:064x}", place) for number in range(20) for place in (1, 3)]

    async def keep(*, backwards: bool) -> int:
        rows = [replace(row, id=uuid7(), transaction_hash=one, place=place) for one, place in keys]
        async with scene.database.program(scene.program_id) as session:
            ordered = rows[::-1] if backwards else rows
            return len(await repository_settlements.put(session, scene.program_id, ordered, datetime.now(UTC)))

    assert sorted(await asyncio.gather(*(keep(backwards=number % 2 == 1) for number in range(6)))) == [0] * 5 + [len(keys)]
