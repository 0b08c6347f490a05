"""The engine for Solana on the local one: from queued to final, and what it needs on the way."""

from __future__ import annotations

from guerdon.chains.solana.markers import RENT_LAMPORTS
from guerdon.txmanager.models import IntentState
from tests.txmanager.solana.scene import Scene


async def test_what_is_queued_is_paid_once_and_shown_final_when_it_is(scene: Scene) -> None:
    before = await scene.node.balance(scene.address)
    intents = [await scene.transfer(1_000 + place) for place in range(3)]
    async with scene.engine():
        finished = [await scene.until(intent_id, IntentState.FINAL) for intent_id in intents]
    assert await scene.is_on_chain_once(1_000, 1_001, 1_002)
    assert all(one.succeeded and one.marker and one.gas_used for one in finished)
    spent = before - await scene.node.balance(scene.address)
    # What the intents say they cost, and the markers' rent, which comes back.
    assert spent == sum(int(one.fee_paid_wei or 0) for one in finished) + 3 * RENT_LAMPORTS
    assert [len(await scene.attempts(one.id)) for one in finished] == [1, 1, 1]
