"""The engine on a chain that behaves: from queued to final."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest
from asyncpg import InterfaceError
from sqlalchemy.exc import DBAPIError

from guerdon.chains.evm import EvmClient
from guerdon.kit import driver
from guerdon.kit.errors import DatabaseUnavailableError
from guerdon.kit.ids import uuid7
from guerdon.kit.metrics import Gauges
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.txmanager import alerts, metrics, service, service_keys
from guerdon.txmanager.errors import IntentMismatchError, IntentNotCancellableError
from guerdon.txmanager.models import HeldBack, IntentState
from guerdon.txmanager.sightings import look_at_networks
from tests.txmanager.scene import NETWORK, QUICK, SOMEBODY, Scene

REVERTS = "0x60006000fd"


async def test_a_queued_transaction_becomes_final(scene: Scene) -> None:
    intent_id = await scene.transfer(7)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        assert len(await scene.node.pool()) == 1
        await scene.node.mine()
        included = await scene.until(intent_id, IntentState.INCLUDED)
        assert (included.block_number, included.succeeded) == (1, True)
        await scene.node.mine(2)
        final = await scene.until(intent_id, IntentState.FINAL)
    assert final.fee_paid_wei == (final.gas_used or 0) * await _price(scene, final.transaction_hash)
    assert await scene.values_on_chain() == [7]
    assert await scene.node.balance(SOMEBODY) == 7


async def _price(scene: Scene, transaction_hash: str | None) -> int:
    return int((await scene.node.rpc("eth_getTransactionReceipt", transaction_hash))["effectiveGasPrice"], 16)


async def test_transactions_get_nonces_in_the_order_they_were_queued(scene: Scene) -> None:
    intents = [await scene.transfer(value) for value in range(1, 11)]
    async with scene.engine(), scene.node.mining():
        finals = [await scene.until(intent_id, IntentState.FINAL) for intent_id in intents]
    assert [intent.nonce for intent in finals] == list(range(10))
    assert await scene.values_on_chain() == list(range(1, 11))


async def test_s26_no_more_than_the_limit_are_in_flight(scene: Scene) -> None:
    intents = [await scene.transfer(value) for value in range(1, 21)]
    async with scene.engine():
        await scene.until(intents[15], IntentState.SENT)
        await asyncio.sleep(0.5)
        assert len(await scene.node.pool()) == 16
        assert [(await scene.intent(one)).state for one in intents[16:]] == [IntentState.QUEUED] * 4
        async with scene.node.mining():
            for intent_id in intents:
                await scene.until(intent_id, IntentState.FINAL)
    assert await scene.is_on_chain_once(*range(1, 21))


async def test_what_is_queued_while_others_are_in_flight_is_sent_at_once(scene: Scene) -> None:
    async with scene.engine(replace(QUICK, idle_poll_seconds=30)):
        await scene.until(await scene.transfer(1), IntentState.SENT)
        await scene.until(await scene.transfer(2), IntentState.SENT, seconds=5)


async def test_an_idle_engine_sends_what_is_queued_at_once(scene: Scene) -> None:
    async with scene.engine(replace(QUICK, idle_poll_seconds=30)):
        await scene.until_leased()
        await asyncio.sleep(0.7)
        await scene.until(await scene.transfer(1), IntentState.SENT, seconds=5)


async def test_queueing_again_for_the_same_reference_is_the_same_transaction(scene: Scene) -> None:
    ref = uuid7()
    first, second = await scene.transfer(5, ref=ref), await scene.transfer(5, ref=ref)
    assert first == second
    with pytest.raises(IntentMismatchError):
        await scene.transfer(6, ref=ref)


async def test_queueing_at_the_same_time_for_one_reference_is_one_transaction(scene: Scene) -> None:
    ref = uuid7()
    assert len(set(await asyncio.gather(*(scene.transfer(5, ref=ref) for _ in range(8))))) == 1


async def test_the_owner_is_woken_at_every_change(scene: Scene, owner: driver.RawConnection) -> None:
    async def woken() -> bool:
        return await owner.fetchval("DELETE FROM work WHERE kind = 'test.work' RETURNING true") or False

    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        assert await woken()
        await scene.node.mine()
        await scene.until(intent_id, IntentState.INCLUDED)
        assert await woken()
        await scene.node.mine(2)
        await scene.until(intent_id, IntentState.FINAL)
        assert await woken()


async def test_a_contract_is_made_and_its_address_told(scene: Scene) -> None:
    async with scene.database.platform() as session:
        intent_id = await service.queue(
            session,
            key_id=scene.key_id,
            network=NETWORK,
            kind="deploy",
            to=None,
            data=bytes.fromhex("6001600c60003960016000f300"),
        )
    async with scene.engine(), scene.node.mining():
        final = await scene.until(intent_id, IntentState.FINAL)
    assert final.contract_address is not None
    assert await scene.node.rpc("eth_getCode", final.contract_address, "latest") != "0x"


async def test_s16_what_would_revert_gets_no_nonce_and_holds_up_nothing(scene: Scene) -> None:
    bad = await scene.transfer(0, data=bytes.fromhex("01"), to=await _reverter(scene))
    good = await scene.transfer(2)
    async with scene.engine():
        held = await scene.eventually(service.would_revert, bad)
        assert (held.nonce, held.error is not None) == (None, True)
        assert (await scene.until(good, IntentState.SENT)).nonce == 0
        await scene.until_alert("transaction.simulation_failed")
        assert await scene.owner.fetchval("SELECT count(*) FROM work WHERE kind = 'test.work'") == 1
        async with scene.database.platform() as session:
            await service.cancel(session, bad, "its owner gave up")
        assert (await scene.intent(bad)).state == IntentState.VOID
        await scene.until_alert("transaction.simulation_failed", is_open=False)


async def test_what_needs_an_earlier_transaction_waits_for_it_and_then_goes_on(scene: Scene) -> None:
    # It would revert until what is in flight before it is in a block: that is no failure, and its owner is not bothered.
    target = await _reverter(scene)
    first = await scene.transfer(1)
    async with scene.engine():
        await scene.until(first, IntentState.SENT)
        second = await scene.transfer(2, to=target)
        held = await scene.eventually(lambda one: one.held_back is not None, second)
        assert held.held_back == HeldBack.UNCLEAR
        await scene.node.rpc("anvil_setCode", target, "0x00")
        await scene.until(second, IntentState.SENT)
    assert "transaction.simulation_failed" not in await scene.alerts()


async def test_a_held_back_transaction_goes_on_by_itself_once_it_would_pass(scene: Scene) -> None:
    target = await _reverter(scene)
    intent_id = await scene.transfer(3, to=target)
    async with scene.engine():
        await scene.eventually(service.would_revert, intent_id)
        await scene.node.rpc("anvil_setCode", target, "0x00")
        assert (await scene.until(intent_id, IntentState.SENT)).held_back is None
        await scene.until_alert("transaction.simulation_failed", is_open=False)


async def test_a_transaction_that_reverts_in_a_final_block_has_failed(scene: Scene) -> None:
    target = "0x00000000000000000000000000000000000cAFe1"
    intent_id = await scene.transfer(3, to=target)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.rpc("anvil_setCode", target, REVERTS)
        await scene.node.mine()
        assert (await scene.until(intent_id, IntentState.INCLUDED)).succeeded is False
        await scene.node.mine(2)
        await scene.until(intent_id, IntentState.FAILED)
        assert "transaction.failed" in await scene.alerts()
        following = await scene.transfer(4)
        await scene.until(following, IntentState.SENT)
        await scene.node.mine(4)
        await scene.until(following, IntentState.FINAL)
    assert "transaction.failed" not in await scene.alerts()


async def test_what_a_worker_told_that_is_gone_is_over_when_another_one_works(scene: Scene) -> None:
    async with scene.database.platform() as session:
        await alerts.network_silent(session, "local", 60, "no answer")
        await alerts.key_failing(session, await service_keys.key(session, scene.key_id), 60, "an error")
    async with scene.engine():
        await scene.until_alert("network.silent", is_open=False)
        await scene.until_alert("key.failing", is_open=False)


async def test_s24_included_is_not_final_until_the_network_says_so(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.mine()
        await scene.until(intent_id, IntentState.INCLUDED)
        await scene.node.mine()
        await asyncio.sleep(0.5)
        assert (await scene.intent(intent_id)).state == IntentState.INCLUDED
        await scene.node.mine()
        await scene.until(intent_id, IntentState.FINAL)


async def test_a_transaction_without_a_nonce_can_be_cancelled_and_takes_none(scene: Scene) -> None:
    first, second = await scene.transfer(1), await scene.transfer(2)
    async with scene.database.platform() as session:
        await service.cancel(session, first)
    async with scene.engine(), scene.node.mining():
        assert (await scene.until(second, IntentState.FINAL)).nonce == 0
        with pytest.raises(IntentNotCancellableError):
            async with scene.database.platform() as session:
                await service.cancel(session, second)
    assert await scene.values_on_chain() == [2]


async def test_a_paused_key_signs_nothing_and_goes_on_when_resumed(scene: Scene) -> None:
    async with scene.database.platform() as session:
        await service_keys.pause_key(session, scene.key_id, "maintenance")
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until_leased()
        await asyncio.sleep(0.6)
        assert (await scene.intent(intent_id)).state == IntentState.QUEUED
        async with scene.database.platform() as session:
            await service_keys.resume_key(session, scene.key_id)
        await scene.until(intent_id, IntentState.SENT)


async def test_s22_a_key_without_native_coin_pauses_itself_and_resumes_when_funded(scene: Scene) -> None:
    await scene.node.rpc("anvil_setBalance", scene.address, "0x0")
    intent_id = await scene.transfer(1)
    async with scene.engine():
        key = await scene.until_paused()
        assert key.resumes_by_itself
        assert scene.address in (key.pause_reason or "")
        await scene.until_alert("key.out_of_gas")
        await asyncio.sleep(0.3)
        assert (await scene.intent(intent_id)).state == IntentState.QUEUED
        await scene.node.fund(scene.address)
        await scene.until(intent_id, IntentState.SENT)
        await scene.until_alert("key.out_of_gas", is_open=False)


async def test_a_key_that_cannot_sign_is_told_and_goes_on_once_it_can(scene: Scene) -> None:
    right, scene.ring = scene.ring, KeyRing(MasterKey.generate())
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until_alert("key.failing")
        assert (await scene.intent(intent_id)).state == IntentState.BOUND
    scene.ring = right
    async with scene.engine(), scene.node.mining():
        assert (await scene.until(intent_id, IntentState.FINAL)).nonce == 0


# Connections that were in use while their pool was replaced end with it, some of them only when collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_lost_database_connections_are_survived(scene: Scene) -> None:
    intents: list[UUID] = []
    async with scene.engine(), scene.node.mining():
        for value in range(1, 13):
            if value % 3 == 0:
                await scene.owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guerdon_app'")
            intents.append(await _transfer_whatever_happens(scene, value))
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert await scene.is_on_chain_once(*range(1, 13))
    gc.collect()


async def _transfer_whatever_happens(scene: Scene, value: int) -> UUID:
    ref = uuid7()
    for _ in range(10):
        with suppress(DBAPIError, DatabaseUnavailableError, InterfaceError):
            return await scene.transfer(value, ref=ref)
        await asyncio.sleep(0.1)
    raise AssertionError


async def test_gauges_tell_of_chains_and_keys(scene: Scene) -> None:
    async def its_chain(_network: str, /) -> EvmClient:
        return scene.client()

    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await look_at_networks(scene.database, its_chain)
        told = Gauges()
        told.ask(metrics.gauges(scene.database))
        await told.refresh()
    samples = {sample.name: sample for family in told.collect() for sample in family.samples}
    assert samples["guerdon_chain_head_block"].value >= 0
    assert samples["guerdon_chain_finalized_lag_blocks"].value >= 0
    assert samples["guerdon_chain_seen_seconds"].value < 60
    assert samples["guerdon_key_in_flight"].value == 1
    assert samples["guerdon_key_leased"].value == 1
    assert samples["guerdon_key_lease_epoch"].value == 1
    assert samples["guerdon_key_native_gwei"].value > 0
    assert samples["guerdon_key_in_flight"].labels["address"] == scene.address
    assert samples["guerdon_gauges_failed"].value == 0


async def test_a_chain_that_does_not_answer_is_not_seen_and_hurts_nobody(scene: Scene) -> None:
    async def no_chain(_network: str, /) -> EvmClient:
        return scene.client("http://127.0.0.1:9")

    await look_at_networks(scene.database, no_chain)
    async with scene.database.platform() as session:
        assert (await service_keys.network(session, "local")).seen_at is None


async def _reverter(scene: Scene) -> str:
    """The address of a contract that refuses everything."""
    address = "0x00000000000000000000000000000000000cAFe0"
    await scene.node.rpc("anvil_setCode", address, REVERTS)
    return address
