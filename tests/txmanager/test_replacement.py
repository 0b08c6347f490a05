"""Fees that rise, caps, and what never lands: replacement keeps nonce and payload (DESIGN section 6, rule 3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from guerdon.chains.signing import decode_transaction
from guerdon.txmanager import service
from guerdon.txmanager.errors import IntentNotKillableError
from guerdon.txmanager.models import HeldBack, IntentState
from tests.fakes.rpc_proxy import ALWAYS, Fault, answer_error
from tests.txmanager.node import GWEI
from tests.txmanager.scene import QUICK, Scene, set_fee_cap, until

SEND = "eth_sendRawTransaction"


async def _blocks_without_ours(scene: Scene, blocks: int) -> None:
    """Blocks whose base fee is above what was offered."""
    for _ in range(blocks):
        await scene.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * GWEI))
        await scene.node.mine()


async def test_what_waits_too_long_is_replaced_with_the_same_nonce_and_payload_and_higher_fees(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await _blocks_without_ours(scene, 3)
        await scene.eventually(lambda one: one.state == IntentState.SENT, intent_id)
        await scene.until_attempts(intent_id, 2)
        async with scene.node.mining():
            final = await scene.until(intent_id, IntentState.FINAL)
    attempts = await scene.attempts(intent_id)
    first, second = attempts[0], attempts[1]
    assert second.max_fee_per_gas * 8 >= first.max_fee_per_gas * 9
    assert second.max_priority_fee_per_gas * 8 >= first.max_priority_fee_per_gas * 9
    forms = [decode_transaction(attempt.raw) for attempt in attempts]
    assert len({(form.nonce, form.to, form.data, form.value, form.gas_limit) for form in forms}) == 1
    assert len({attempt.hash for attempt in attempts}) == len(attempts)
    assert final.transaction_hash in {attempt.hash for attempt in attempts}
    assert await scene.is_on_chain_once(1)


async def test_the_first_form_may_land_after_it_was_replaced(scene: Scene) -> None:
    # No node takes anything from us any more, but the first form is in somebody's pool.
    scene.proxy.add(answer_error(SEND, -32000, "replacement transaction underpriced", times=ALWAYS))
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SIGNED)
        await scene.node.mine(3)
        first, *others = await scene.until_attempts(intent_id, 2)
        await scene.node.rpc("eth_sendRawTransaction", f"0x{first.raw.hex()}")
        await scene.node.mine()
        assert (await scene.until(intent_id, IntentState.INCLUDED)).transaction_hash == first.hash
        await scene.node.mine(2)
        await scene.until(intent_id, IntentState.FINAL)
    assert others
    assert await scene.is_on_chain_once(1)


async def test_a_node_that_takes_nothing_does_not_drive_the_fee_up(scene: Scene) -> None:
    scene.proxy.add(answer_error(SEND, -32603, "internal error", times=ALWAYS))
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SIGNED)
        for _ in range(20):
            await scene.node.mine()
            await asyncio.sleep(0.1)
    assert 2 <= len(await scene.attempts(intent_id)) <= 4  # after 3, 6 and 12 blocks


async def test_above_the_cap_nothing_is_bound_and_an_operator_hears_of_it(scene: Scene) -> None:
    await set_fee_cap(scene.database, GWEI)
    await scene.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(40 * GWEI))
    await scene.node.mine()
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until_alert("transaction.fee_over_cap")
        held = await scene.intent(intent_id)
        assert (held.state, held.held_back, held.nonce) == (IntentState.QUEUED, HeldBack.FEE_CAP, None)
        await scene.node.rpc("anvil_setNextBlockBaseFeePerGas", "0x7")
        await scene.node.rpc("anvil_setBlockGasLimit", hex(30_000_000))
        scene.proxy.add(_cheap_tip())
        await scene.node.mine()
        await scene.until(intent_id, IntentState.SENT)
        await scene.until_alert("transaction.fee_over_cap", is_open=False)


async def test_no_form_offers_more_than_the_cap(scene: Scene) -> None:
    cap = 3 * GWEI
    await set_fee_cap(scene.database, cap)
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await _blocks_without_ours(scene, 9)
        await scene.until_alert("transaction.fee_over_cap")
        assert max(attempt.max_fee_per_gas for attempt in await scene.attempts(intent_id)) <= cap
        await scene.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
        async with scene.node.mining():
            await scene.until(intent_id, IntentState.FINAL, seconds=20)


async def test_s23_what_does_not_land_for_long_is_unknown_and_nothing_is_given_back(scene: Scene) -> None:
    scene.proxy.add(answer_error(SEND, -32603, "internal error", times=ALWAYS))
    intent_id = await scene.transfer(1)
    async with scene.engine(replace(QUICK, unknown_after_seconds=0.5)), scene.node.mining():
        await scene.until(intent_id, IntentState.UNKNOWN)
        await scene.until_alert("transaction.unknown")
        scene.proxy.clear()
        await scene.until(intent_id, IntentState.FINAL)  # unknown is no end: it may still land
        await scene.until_alert("transaction.unknown", is_open=False)
    assert await scene.is_on_chain_once(1)


async def test_s23_unknown_is_killed_by_a_final_self_transfer_at_its_nonce(scene: Scene) -> None:
    intent_id, later = await scene.transfer(1), await scene.transfer(2)
    async with scene.engine(replace(QUICK, unknown_after_seconds=0.3, replace_after_blocks=100)):
        sent = await scene.until(intent_id, IntentState.SENT)
        # Nobody mines it: the node never gets to it.
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        scene.proxy.add(answer_error(SEND, -32603, "internal error", times=ALWAYS))
        await asyncio.sleep(0.4)
        await scene.node.mine()
        await scene.until(intent_id, IntentState.UNKNOWN)
        async with scene.database.platform() as session:
            await service.kill(session, intent_id)
        scene.proxy.clear()
        await scene.node.mine()
        killed = (await scene.until_attempts(intent_id, 2))[-1]
        await until(lambda: _is_in_pool(scene, killed.hash), "in the pool")
        await scene.node.mine()
        await asyncio.sleep(0.2)
        assert (await scene.intent(intent_id)).state not in {IntentState.INCLUDED, IntentState.VOID}
        await scene.node.mine(2)
        void = await scene.until(intent_id, IntentState.VOID)
        assert killed.hash in (void.error or "")
        async with scene.node.mining():
            await scene.until(later, IntentState.FINAL)
    assert decode_transaction(killed.raw).to == scene.address
    assert await scene.values_on_chain() == [0, 2]


async def test_s23_a_kill_that_comes_too_late_changes_nothing(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine():
        sent = await scene.until(intent_id, IntentState.SENT)
        # The self-transfer never reaches a node: what it should kill lands.
        scene.proxy.add(answer_error(SEND, -32603, "internal error", times=ALWAYS))
        async with scene.database.platform() as session:
            await service.kill(session, intent_id)
        await scene.node.mine()
        final_hash = sent.transaction_hash
        await scene.until(intent_id, IntentState.INCLUDED)
        await scene.node.mine(2)
        final = await scene.until(intent_id, IntentState.FINAL)
        assert final.transaction_hash == final_hash
        with pytest.raises(IntentNotKillableError):
            async with scene.database.platform() as session:
                await service.kill(session, intent_id)
    assert await scene.is_on_chain_once(1)


async def _is_in_pool(scene: Scene, transaction_hash: str) -> bool:
    return transaction_hash in await scene.node.pool()


def _cheap_tip() -> Fault:
    fault = Fault("eth_maxPriorityFeePerGas", times=ALWAYS)
    fault.answer = lambda _call, answer: {**answer, "result": "0x1"}
    return fault
