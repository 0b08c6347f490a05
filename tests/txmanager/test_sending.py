"""What a node answers, or does not, proves nothing (SAFETY S20): the world between engine and node misbehaves here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from guerdon.txmanager.models import IntentState
from tests.fakes.rpc_proxy import (
    ALWAYS,
    Fault,
    answer_error,
    answer_error_after,
    delay,
    drop_before,
    duplicate,
    hold_answer,
    http_status,
    lose_answer,
)
from tests.txmanager.scene import QUICK, Scene, until

SEND = "eth_sendRawTransaction"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(drop_before(SEND, times=2), id="lost-on-the-way"),
        pytest.param(lose_answer(SEND, times=2), id="answer-lost-after-acceptance"),
        pytest.param(duplicate(SEND), id="arrives-twice"),
        pytest.param(delay(SEND, 0.4), id="arrives-late"),
        pytest.param(http_status(SEND, 502, times=2), id="bad-gateway"),
        pytest.param(http_status(SEND, 429, times=2), id="rate-limited"),
        pytest.param(answer_error(SEND, -32000, "nonce too low", times=1), id="lie-nonce-too-low"),
        pytest.param(answer_error(SEND, -32000, "already known", times=1), id="lie-already-known"),
        pytest.param(answer_error(SEND, -32003, "replacement transaction underpriced", times=2), id="lie-underpriced"),
        pytest.param(answer_error(SEND, -32603, "internal error", times=2), id="internal-error"),
        pytest.param(answer_error_after(SEND, -32603, "internal error", times=2), id="internal-error-after-acceptance"),
        pytest.param(answer_error_after(SEND, -32000, "insufficient funds", times=1), id="lie-insufficient-funds"),
    ],
)
async def test_s20_whatever_sending_answers_each_transaction_lands_once(scene: Scene, fault: Fault) -> None:
    scene.proxy.add(fault)
    intents = [await scene.transfer(value) for value in (1, 2, 3)]
    async with scene.engine(), scene.node.mining():
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL, seconds=15)
    assert fault.reached.is_set()
    assert await scene.is_on_chain_once(1, 2, 3)


@pytest.mark.parametrize("method", ["eth_getTransactionReceipt", "eth_getBlockByNumber", "*"])
@pytest.mark.parametrize("fault", [drop_before, lose_answer])
async def test_no_answer_is_no_knowledge_and_nothing_moves(scene: Scene, method: str, fault: Callable[..., Fault]) -> None:
    async with scene.engine():
        sent = await scene.transfer(1)
        await scene.until(sent, IntentState.SENT)
        silent = scene.proxy.add(fault(method, times=ALWAYS))
        await scene.node.mine(3)
        await scene.until_alert("network.silent")
        assert silent.reached.is_set()
        assert (await scene.intent(sent)).state == IntentState.SENT
        silent.stop()
        await scene.until(sent, IntentState.FINAL)
        await scene.until_alert("network.silent", is_open=False)
    assert await scene.is_on_chain_once(1)


@pytest.mark.parametrize("fault", [drop_before, lose_answer])
async def test_without_an_answer_to_simulation_nothing_is_bound(scene: Scene, fault: Callable[..., Fault]) -> None:
    silent = scene.proxy.add(fault("eth_estimateGas", times=ALWAYS))
    async with scene.engine():
        intent_id = await scene.transfer(1)
        await scene.until_alert("network.silent")
        one = await scene.intent(intent_id)
        assert (one.state, one.nonce, one.held_back) == (IntentState.QUEUED, None, None)
        silent.stop()
        await scene.until(intent_id, IntentState.SENT)


async def test_an_error_for_a_single_question_is_no_knowledge_either(scene: Scene) -> None:
    async with scene.engine():
        intent_id = await scene.transfer(1)
        await scene.until(intent_id, IntentState.SENT)
        lie = scene.proxy.add(answer_error("eth_getTransactionReceipt", -32005, "limit exceeded", times=ALWAYS))
        await scene.node.mine(4)
        await asyncio.sleep(0.5)
        assert lie.reached.is_set()
        assert (await scene.intent(intent_id)).state == IntentState.SENT
        lie.stop()
        await scene.until(intent_id, IntentState.FINAL)


async def test_bytes_are_stored_before_they_are_sent(scene: Scene) -> None:
    held = scene.proxy.add(hold_answer(SEND))
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await until(lambda: _pool_is_filled(scene), "in the pool")
        (attempt,) = await scene.attempts(intent_id)
        assert (await scene.intent(intent_id)).state == IntentState.SIGNED
        assert await scene.node.pool() == [attempt.hash]
        held.release()
        await scene.until(intent_id, IntentState.SENT)


async def test_what_a_pool_dropped_is_sent_again_as_the_same_bytes(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine(replace(QUICK, replace_after_blocks=100)):
        sent = await scene.until(intent_id, IntentState.SENT)
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        assert await scene.node.pool() == []
        async with scene.node.mining():
            final = await scene.until(intent_id, IntentState.FINAL)
    assert final.transaction_hash == sent.transaction_hash
    assert len(await scene.attempts(intent_id)) == 1


async def test_an_outage_of_the_network_is_told_and_its_end_too(scene: Scene) -> None:
    async with scene.engine():
        intent_id = await scene.transfer(1)
        await scene.until(intent_id, IntentState.SENT)
        scene.proxy.is_down = True
        await scene.until_alert("network.silent")
        scene.proxy.is_down = False
        await scene.until_alert("network.silent", is_open=False)


async def test_an_engine_that_starts_before_its_network_waits_for_it(scene: Scene) -> None:
    scene.proxy.is_down = True
    intent_id = await scene.transfer(1)
    async with scene.engine(), scene.node.mining():
        await asyncio.sleep(0.5)
        scene.proxy.is_down = False
        await scene.until(intent_id, IntentState.FINAL)


async def _pool_is_filled(scene: Scene) -> bool:
    return bool(await scene.node.pool())
