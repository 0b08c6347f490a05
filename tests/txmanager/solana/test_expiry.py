"""What is signed anew, and what is not (SAFETY S18): dropped, timed out, expired, pruned, lagging, lying, killed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from guerdon.chains.solana.markers import Marker
from guerdon.txmanager import service
from guerdon.txmanager.errors import IntentNotCancellableError
from guerdon.txmanager.models import IntentState
from tests.fakes.rpc_proxy import ALWAYS, Fault, answer_wrongly, lose_answer
from tests.txmanager.solana.scene import QUICK, Scene, swallow

LIFE = 260
"""Slots after which a form is proven dead."""
_FORM_LIVES_SLOTS = 150


async def _until_attempts(scene: Scene, intent_id: Any, count: int) -> None:
    for _ in range(500):
        if len(await scene.attempts(intent_id)) >= count:
            return
        await asyncio.sleep(0.02)
    message = f"not signed {count} times"
    raise AssertionError(message)


async def test_s18_what_a_node_drops_is_sent_again_as_the_same_bytes(scene: Scene) -> None:
    scene.proxy.add(swallow(times=3))
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.FINAL)
    assert len(await scene.attempts(intent_id)) == 1
    assert await scene.is_on_chain_once(1_000)


async def test_x402_defect_01_a_time_out_after_acceptance_pays_once(scene: Scene) -> None:
    scene.proxy.add(lose_answer("sendTransaction", times=3))
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.FINAL)
    assert len(await scene.attempts(intent_id)) == 1
    assert await scene.is_on_chain_once(1_000)


async def test_s18_what_expired_is_signed_anew_and_offers_more(scene: Scene) -> None:
    dropping = scene.proxy.add(swallow())
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.advance(LIFE)
        await _until_attempts(scene, intent_id, 2)
        dropping.release()
        await scene.until(intent_id, IntentState.FINAL)
    first, second = (await scene.attempts(intent_id))[:2]
    assert first.hash != second.hash
    assert second.max_fee_per_gas == 2 * first.max_fee_per_gas
    assert await scene.is_on_chain_once(1_000)


async def test_s18_nothing_is_signed_anew_before_the_margin_has_passed_at_finality(scene: Scene) -> None:
    scene.proxy.add(swallow())
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        (form,) = await scene.attempts(intent_id)
        height = await scene.node.rpc("getBlockHeight", {"commitment": "finalized"})
        # Expired for every node, and yet not final for long enough.
        await scene.node.advance((form.last_valid_height or 0) - height + 2)
        await asyncio.sleep(0.3)
        assert len(await scene.attempts(intent_id)) == 1
        with pytest.raises(IntentNotCancellableError):
            async with scene.database.platform() as session:
                await service.cancel(session, intent_id)


async def test_s18_a_second_form_of_what_was_paid_fails_on_the_chain(scene: Scene) -> None:
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.FINAL)
    # As if a lying node had made us believe that it expired.
    await scene.owner.execute(
        "UPDATE intents SET state = 'expired', block_number = NULL, succeeded = NULL WHERE id = $1", intent_id
    )
    async with scene.engine():
        held = await scene.eventually(lambda one: one.held_back is not None, intent_id)
    assert "already in use" in str(held.error) or "Custom" in str(held.error)
    assert await scene.is_on_chain_once(1_000)


async def test_s18_a_form_that_fails_since_another_one_paid_is_final_by_the_marker(scene: Scene) -> None:
    """Two forms of one intent are sent, as a lying node might bring about; the chain takes one."""
    dropping = scene.proxy.add(swallow())
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.owner.execute("UPDATE intents SET state = 'expired' WHERE id = $1", intent_id)
        await _until_attempts(scene, intent_id, 2)
        forms = await scene.attempts(intent_id)
        for form in forms:
            await scene.node.send_raw(form.raw)
        dropping.release()
        await scene.until(intent_id, IntentState.FINAL)
    assert await scene.is_on_chain_once(1_000)


async def test_s18_funding_the_markers_address_beforehand_does_not_jam_it(scene: Scene) -> None:
    intent_id = await scene.transfer(1_000)
    await scene.node.fund(Marker(scene.address, intent_id).address, 5_000_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.FINAL)
    assert await scene.is_on_chain_once(1_000)


async def test_s18_a_pruned_node_is_no_witness_and_an_operator_may_end_it(scene: Scene) -> None:
    scene.proxy.add(swallow())

    def pruned(_: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        return {**given, "result": 10**9}

    scene.proxy.add(answer_wrongly("getFirstAvailableBlock", pruned, times=ALWAYS))
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.advance(LIFE)
        unknown = await scene.until(intent_id, IntentState.UNKNOWN)
        assert "keeps its history" in str(unknown.error)
        assert "transaction.unknown" in await scene.alerts()
        assert len(await scene.attempts(intent_id)) == 1
        async with scene.database.platform() as session:
            await service.kill(session, intent_id)
        await scene.until(intent_id, IntentState.VOID)
    assert await scene.is_on_chain_once()
    assert "transaction.unknown" not in await scene.alerts()


async def test_s18_a_node_that_forgot_a_payment_does_not_make_it_paid_again(scene: Scene) -> None:
    """History is a weak witness: the node says that it never saw the signature, though it has all of its history."""

    def forgotten(_: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        value = [None for _ in given["result"]["value"]]
        return {**given, "result": {**given["result"], "value": value}}

    scene.proxy.add(answer_wrongly("getSignatureStatuses", forgotten, times=ALWAYS))
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.advance(LIFE)
        await scene.until(intent_id, IntentState.FINAL)
    assert len(await scene.attempts(intent_id)) == 1
    assert await scene.is_on_chain_once(1_000)


async def test_s18_a_lagging_node_is_no_knowledge(scene: Scene) -> None:
    dropping = scene.proxy.add(swallow())

    def behind(call: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "getMultipleAccounts":
            given["result"]["context"]["slot"] -= 200
        return given

    lag = scene.proxy.add(answer_wrongly("getMultipleAccounts", behind, times=ALWAYS))
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.advance(LIFE)
        await asyncio.sleep(6)
        assert len(await scene.attempts(intent_id)) == 1
        assert (await scene.intent(intent_id)).state == IntentState.SENT
        dropping.release()
        lag.release()
        await scene.until(intent_id, IntentState.FINAL)
    assert await scene.is_on_chain_once(1_000)


async def test_s18_a_node_that_lies_about_its_height_does_not_get_anything_signed_anew(scene: Scene) -> None:
    scene.proxy.add(swallow())

    def ahead(_: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        result = given["result"]
        return {**given, "result": {**result, "blockHeight": result["blockHeight"] + 10_000}}

    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        scene.proxy.add(answer_wrongly("getEpochInfo", ahead, times=ALWAYS))
        await asyncio.sleep(1.5)
        assert len(await scene.attempts(intent_id)) == 1


async def test_s24_what_is_confirmed_is_shown_and_what_is_finalized_is_final(scene: Scene) -> None:
    held = Fault("getMultipleAccounts", held=asyncio.Event(), times=ALWAYS)
    scene.proxy.add(held)
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        shown = await scene.until(intent_id, IntentState.INCLUDED)
        assert shown.succeeded
        held.release()
        await scene.until(intent_id, IntentState.FINAL)


async def test_what_fails_on_the_chain_for_good_is_failed(scene: Scene) -> None:
    """It could be paid when it was simulated, and could not any more when it was executed."""
    drain = 3 * 10**8
    dropping = scene.proxy.add(swallow())
    intent_id = await scene.transfer(10**9 // 2, to=None)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        away = transfer(
            TransferParams(from_pubkey=scene.pair.pubkey(), to_pubkey=Pubkey.from_string(scene.somebody), lamports=2 * drain)
        )
        await scene.node.send_from_outside(scene.pair, away)
        dropping.release()
        await scene.until(intent_id, IntentState.FAILED)
    assert await scene.is_on_chain_once(2 * drain)


async def test_s18_markers_are_closed_and_their_rent_returned_only_when_every_form_is_dead(scene: Scene) -> None:
    terms = replace(QUICK, close_markers_seconds=0.2)
    had, began = await scene.node.balance(scene.address), await scene.node.rpc("getSlot")
    intent_id = await scene.transfer(1_000)
    async with scene.engine(terms):
        paid = await scene.until(intent_id, IntentState.FINAL)
        await asyncio.sleep(0.6)
        is_closed = (await scene.intent(intent_id)).closed_by is not None or not await scene.node.exists(str(paid.marker))
        # A machine under load may have needed longer than a form lives.
        assert not is_closed or await scene.node.rpc("getSlot") - began > _FORM_LIVES_SLOTS
        await scene.node.advance(LIFE)
        await scene.eventually(lambda one: one.marker_closed_at is not None, intent_id, 15)
    assert not await scene.node.exists(str(paid.marker))
    spent = had - await scene.node.balance(scene.address)
    assert 1_000 < spent < 100_000
