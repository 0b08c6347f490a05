"""What is included becomes final, moves, or is taken back: never on the word of one missing answer."""

from __future__ import annotations

from typing import Any

import pytest

from guerdon.activity.settlements import watching
from guerdon.activity.settlements.models import HintState, SettlementState
from guerdon.activity.settlements.work import WATCH
from guerdon.chains import abi
from guerdon.earning.volume_terms import Held
from tests.activity.settlements.scene import USDC, Scene, Wallet
from tests.fakes.rpc_proxy import ALWAYS, Fault

MERCHANT = "0x" + "77" * 20
DOLLAR = 1_000_000


async def test_s34_points_of_a_reorganised_payment_go_back_and_come_again_with_it_once(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.mint(payer, DOLLAR)
    before = await scene.node.rpc("evm_snapshot")
    transaction = await scene.submit(scene.token, scene.authorize(payer, MERCHANT, DOLLAR).data, scene.facilitator)
    raw = await scene.node.rpc("eth_getRawTransactionByHash", transaction)
    await scene.report(transaction)
    await scene.prove()
    assert (await scene.balance(ann)).held == 100
    await scene.node.rpc("evm_revert", before)
    await scene.node.rpc("evm_increaseTime", 60)
    await scene.finalise()
    assert [one.state for one in await scene.settlements()] == [SettlementState.REORGANISED]
    balance = await scene.balance(ann)
    assert (balance.held, balance.available, balance.earned, balance.reversed) == (0, 0, 100, 100)
    assert [one.held_for for one in await scene.accruals()] == [Held.REORGANISED]
    await scene.check_books()
    # The same bytes land after all; other logs come before its own in the block, and its place stays.
    await scene.submit(scene.token, abi.call_data(USDC, "mint", MERCHANT, 1), Wallet(), mined=False)
    assert await scene.node.rpc("eth_sendRawTransaction", raw) == transaction
    await scene.node.mine()
    for _ in range(2):
        await scene.report(transaction)
        await scene.prove_again()
    rows = await scene.settlements()
    assert [(one.state, one.place) for one in rows] == [(SettlementState.REORGANISED, 1), (SettlementState.INCLUDED, 1)]
    await scene.finalise()
    balance = await scene.balance(ann)
    assert (balance.held, balance.available) == (0, 100)
    await scene.check_books()


async def test_s34_a_payment_that_moved_to_another_block_stays_the_same_payment(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.mint(payer, DOLLAR)
    before = await scene.node.rpc("evm_snapshot")
    transaction = await scene.submit(scene.token, scene.authorize(payer, MERCHANT, DOLLAR).data, scene.facilitator)
    raw = await scene.node.rpc("eth_getRawTransactionByHash", transaction)
    await scene.report(transaction)
    await scene.prove()
    (first,) = await scene.settlements()
    await scene.node.rpc("evm_revert", before)
    await scene.submit(scene.token, abi.call_data(USDC, "mint", MERCHANT, 1), Wallet(), mined=False)
    await scene.node.rpc("eth_sendRawTransaction", raw)
    await scene.node.rpc("evm_increaseTime", 60)
    await scene.node.mine()
    moved = await scene.node.rpc("eth_getTransactionReceipt", transaction)
    await scene.finalise()
    (settlement,) = await scene.settlements()
    assert settlement.id == first.id
    assert (settlement.state, settlement.block_hash) == (SettlementState.FINAL, moved["blockHash"])
    assert first.block_hash != settlement.block_hash
    assert (await scene.balance(ann)).available == 100


async def test_a_node_that_lost_a_transaction_takes_nothing_back(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.node.mine(4)

    def lost(_: object, answer: dict[str, object]) -> dict[str, object]:
        return {**answer, "result": None}

    fault = scene.proxy.add(Fault("eth_getTransactionReceipt", times=ALWAYS, answer=lost))
    await scene.work(WATCH)
    assert [one.state for one in await scene.settlements()] == [SettlementState.INCLUDED]
    assert (await scene.balance(ann)).held == 100
    fault.stop()
    await scene.work(WATCH)
    assert (await scene.balance(ann)).available == 100


async def test_a_payment_that_a_node_can_not_tell_of_keeps_none_that_came_after_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAYMENTS_A_ROUND", 1)
    payer = Wallet()
    ann = await scene.member(payer)
    first = await scene.settle(payer, MERCHANT, DOLLAR)
    for _ in range(2):
        await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.node.mine(4)

    def lost(_: object, answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "result": None} if (answer["result"] or {}).get("transactionHash") == first else answer

    scene.proxy.add(Fault("eth_getTransactionReceipt", times=ALWAYS, answer=lost))
    await scene.work(WATCH)
    assert [one.state for one in await scene.settlements()] == [SettlementState.INCLUDED, *[SettlementState.FINAL] * 2]
    assert (await scene.balance(ann)).available == 200


async def test_an_asset_that_counts_no_more_takes_nothing_back_of_what_was_paid_in_it(scene: Scene) -> None:
    payer = Wallet()
    ann = await scene.member(payer)
    await scene.settle(payer, MERCHANT, DOLLAR)
    await scene.admin("DELETE", f"/settlement-assets/local/{scene.token}")
    await scene.finalise()
    assert (await scene.balance(ann)).available == 100
    await scene.settle(payer, MERCHANT, DOLLAR)
    assert [one.state for one in await scene.hints()] == [HintState.PROVEN, HintState.NOTHING]
