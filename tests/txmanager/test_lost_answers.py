"""The answer to sending is lost: what is stored is what was sent, and nothing else is ever signed for it (SAFETY S16)."""

from __future__ import annotations

from dataclasses import replace

from guerdon.txmanager.models import IntentState
from tests.fakes.rpc_proxy import ALWAYS, drop_before, hold_answer, lose_answer
from tests.txmanager.scene import QUICK, Scene, until

SEND = "eth_sendRawTransaction"


async def test_s16_a_worker_that_dies_before_the_answer_left_bytes_that_are_the_ones_that_land(scene: Scene) -> None:
    held = scene.proxy.add(hold_answer(SEND))
    intent_id = await scene.transfer(1)
    async with scene.process() as first:
        await until(lambda: in_the_pool(scene), "in the pool")
        await first.kill()
    held.release()
    (stored,) = await scene.attempts(intent_id)
    assert (await scene.intent(intent_id)).state == IntentState.SIGNED
    assert await scene.node.pool() == [stored.hash]
    async with scene.engine(), scene.node.mining():
        final = await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert final.transaction_hash == stored.hash
    assert len(await scene.attempts(intent_id)) == 1
    assert await scene.is_on_chain_once(1)


async def test_s16_without_an_answer_the_same_bytes_are_sent_again_and_no_others(scene: Scene) -> None:
    lost = scene.proxy.add(lose_answer(SEND, times=2))
    intent_id = await scene.transfer(1)
    async with scene.engine(replace(QUICK, replace_after_blocks=1_000)):
        await scene.until(intent_id, IntentState.SENT, seconds=20)
        assert lost.reached.is_set()
        (stored,) = await scene.attempts(intent_id)
        assert await scene.node.pool() == [stored.hash]
        async with scene.node.mining():
            final = await scene.until(intent_id, IntentState.FINAL)
    assert final.transaction_hash == stored.hash
    assert await scene.is_on_chain_once(1)


async def test_s16_bytes_that_never_arrived_wait_as_they_are(scene: Scene) -> None:
    silent = scene.proxy.add(drop_before(SEND, times=ALWAYS))
    intent_id = await scene.transfer(1)
    async with scene.engine(replace(QUICK, replace_after_blocks=1_000)):
        await silent.reached.wait()
        (stored,) = await scene.attempts(intent_id)
        assert (await scene.intent(intent_id)).state == IntentState.SIGNED
        silent.stop()
        await scene.until(intent_id, IntentState.SENT, seconds=20)
        assert await scene.node.pool() == [stored.hash]


async def in_the_pool(scene: Scene) -> bool:
    return len(await scene.node.pool()) == 1
