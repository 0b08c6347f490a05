"""Keys of a Solana: what the database does not know, leases, funds (SAFETY S19, S21)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer

from guerdon.chains.port import WrongChainError
from guerdon.kit.ids import uuid7
from guerdon.txmanager import service_keys
from guerdon.txmanager.errors import DeploymentMismatchError, InvalidKeyError, UnknownOutgoingError
from guerdon.txmanager.models import IntentState, KeyPurpose
from guerdon.txmanager.solana import importing
from tests.fakes.rpc_proxy import ALWAYS, answer_wrongly
from tests.txmanager.solana.scene import NETWORK, QUICK, Scene


def _away(scene: Scene, lamports: int):  # noqa: ANN202 - an instruction
    return transfer(
        TransferParams(from_pubkey=scene.pair.pubkey(), to_pubkey=Pubkey.from_string(scene.somebody), lamports=lamports)
    )


async def test_s21_a_transaction_that_the_database_does_not_know_pauses_the_key(scene: Scene) -> None:
    signature = await scene.node.send_from_outside(scene.pair, _away(scene, 7))
    await scene.node.advance(40)
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        key = await scene.until_paused()
        assert signature in str(key.pause_reason)
        await asyncio.sleep(0.5)
    assert (await scene.intent(intent_id)).state == IntentState.QUEUED
    assert "key.paused" in await scene.alerts()


async def test_s21_one_that_comes_while_the_engine_works_pauses_it_too(scene: Scene) -> None:
    async with scene.engine():
        await scene.until(await scene.transfer(1_000), IntentState.FINAL)
        await scene.node.send_from_outside(scene.pair, _away(scene, 7))
        await scene.until_paused()


async def test_s21_a_restored_database_finds_by_its_marker_what_it_had_sent(scene: Scene) -> None:
    """The dump is from before the payment was signed: the intent is queued in it, and paid on the chain."""
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await scene.until(intent_id, IntentState.FINAL)
    await scene.owner.execute("DELETE FROM attempts")
    await scene.owner.execute(
        "UPDATE intents SET state = 'queued', marker = NULL, transaction_hash = NULL, block_number = NULL, succeeded = NULL"
    )
    await scene.owner.execute("UPDATE keys SET reviewed_signature = NULL")
    async with scene.engine():
        await scene.until_paused()
        chain = scene.chain()
        with pytest.raises(UnknownOutgoingError):
            await importing.resume(scene.database, chain, scene.key_id)
        (told,) = await importing.import_key(scene.database, chain, scene.key_id)
        assert told.unmatched is None
        await importing.resume(scene.database, chain, scene.key_id)
        await scene.until(intent_id, IntentState.FINAL)
        await scene.until(await scene.transfer(1_001), IntentState.FINAL)
    assert await scene.is_on_chain_once(1_000, 1_001)


async def test_s21_what_is_not_recognised_has_to_be_accepted(scene: Scene) -> None:
    await scene.node.send_from_outside(scene.pair, _away(scene, 7))
    await scene.node.advance(40)
    async with scene.engine():
        await scene.until_paused()
        chain = scene.chain()
        for _ in range(2):
            (told,) = await importing.import_key(scene.database, chain, scene.key_id)
            assert told.unmatched == "it moved lamports only"
        with pytest.raises(UnknownOutgoingError):
            await importing.resume(scene.database, chain, scene.key_id)
        await importing.resume(scene.database, chain, scene.key_id, accept="known")
        await scene.until(await scene.transfer(1_000), IntentState.FINAL)


async def test_s21_what_others_send_to_the_key_does_not_pause_it(scene: Scene) -> None:
    for _ in range(3):
        await scene.node.fund(scene.address, 1_000_000)
    await scene.node.advance(40)
    async with scene.engine():
        await scene.until(await scene.transfer(1_000), IntentState.FINAL)
    assert (await scene.key()).paused_at is None


async def test_s21_one_that_failed_moved_nothing_and_does_not_pause_the_key(scene: Scene) -> None:
    await scene.node.send_from_outside(scene.pair, _away(scene, 10**15))
    await scene.node.advance(40)
    async with scene.engine():
        await scene.until(await scene.transfer(1_000), IntentState.FINAL)
    assert (await scene.key()).paused_at is None


async def test_s21_after_a_gap_nothing_is_signed_before_what_was_forgotten_can_land_no_more(scene: Scene) -> None:
    """A restored database does not know what is on its way to a block, and no node tells."""
    await scene.owner.execute("UPDATE keys SET reviewed_at = now() - interval '1 hour', created_at = now() - interval '1 day'")
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await asyncio.sleep(1.5)
        assert (await scene.intent(intent_id)).state == IntentState.QUEUED
        await scene.node.advance(260)
        await scene.until(intent_id, IntentState.FINAL)


async def test_s21_what_lands_in_the_meantime_pauses_the_key(scene: Scene) -> None:
    await scene.owner.execute("UPDATE keys SET reviewed_at = now() - interval '1 hour', created_at = now() - interval '1 day'")
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        await asyncio.sleep(0.5)
        await scene.node.send_from_outside(scene.pair, _away(scene, 1_000))
        await scene.node.advance(260)
        await scene.until_paused()
    assert (await scene.intent(intent_id)).state == IntentState.QUEUED


async def test_s21_another_deployment_or_another_chain_stops_the_engine(scene: Scene) -> None:
    scene.deployment_id, ours = uuid7(), scene.deployment_id
    with pytest.raises(DeploymentMismatchError):
        await asyncio.wait_for(scene.new_engine().run(asyncio.Event()), 10)
    scene.deployment_id = ours
    await scene.owner.execute("UPDATE networks SET genesis_hash = 'another'")
    with pytest.raises(WrongChainError):
        await asyncio.wait_for(scene.new_engine().run(asyncio.Event()), 10)
    assert "network.refused" in await scene.alerts()


async def test_s21_a_node_of_another_chain_in_the_middle_of_the_work_stops_the_engine(scene: Scene) -> None:
    engine = scene.new_engine()
    task = asyncio.create_task(engine.run(asyncio.Event()))
    await scene.until(await scene.transfer(1_000), IntentState.FINAL)
    scene.proxy.add(answer_wrongly("getGenesisHash", lambda _, given: {**given, "result": "another"}, times=ALWAYS))
    await scene.transfer(1_001)
    with pytest.raises(WrongChainError):
        await asyncio.wait_for(task, 10)


async def test_a_key_without_lamports_pauses_and_resumes_by_itself(scene: Scene) -> None:
    lamports = await scene.node.balance(scene.address)
    await scene.node.send_from_outside(scene.pair, _away(scene, lamports - 2_000_000))
    await scene.node.advance(40)
    newest = (await scene.node.rpc("getSignaturesForAddress", scene.address))[0]["signature"]
    await scene.owner.execute("UPDATE keys SET reviewed_signature = $1", newest)
    intent_id = await scene.transfer(1_000)
    async with scene.engine():
        key = await scene.until_paused()
        assert key.resumes_by_itself
        assert "key.out_of_gas" in await scene.alerts()
        await scene.node.fund(scene.address)
        await scene.until(intent_id, IntentState.FINAL)
    assert await scene.is_on_chain_once(lamports - 2_000_000, 1_000)
    assert "key.out_of_gas" not in await scene.alerts()


async def test_s19_two_workers_sign_for_a_key_one_after_the_other(scene: Scene) -> None:
    intents = [await scene.transfer(1_000 + place) for place in range(10)]
    async with scene.process(), scene.process():
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL, seconds=30)
    assert await scene.is_on_chain_once(*range(1_000, 1_010))


async def test_s19_a_worker_that_wakes_up_after_its_lease_was_taken_stores_and_pays_nothing(scene: Scene) -> None:
    terms = replace(QUICK, lease_seconds=2)
    async with scene.process(terms) as sleeper:
        await scene.until(await scene.transfer(1_000), IntentState.FINAL, seconds=20)
        sleeper.freeze()
        slept_at = (await scene.key()).lease_epoch
        intent_id = await scene.transfer(1_001)
        async with scene.engine(terms):
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
            sleeper.thaw()
            await asyncio.sleep(1.5)
        epochs = await scene.owner.fetch("SELECT lease_epoch FROM attempts WHERE intent_id = $1", intent_id)
    assert [row["lease_epoch"] > slept_at for row in epochs] == [True]
    assert await scene.is_on_chain_once(1_000, 1_001)


async def test_a_key_is_made_sealed_and_taken_in_as_wallets_write_it(scene: Scene) -> None:
    async with scene.database.platform() as session:
        made = await service_keys.create_key(session, scene.signer, NETWORK, KeyPurpose.RELAYER)
    message = b"a message"
    (signature,) = scene.signer.sign_messages(made, [message])
    assert Signature.from_bytes(signature).verify(Pubkey.from_string(made.address), message)
    for write in (str, lambda pair: str(list(bytes(pair))), lambda pair: bytes(pair)[:32].hex()):
        pair = Keypair()
        async with scene.database.platform() as session:
            taken = await service_keys.import_key(session, scene.signer, NETWORK, KeyPurpose.RELAYER, private_key=write(pair))
        assert taken.address == str(pair.pubkey())
    for text in ("", "nonsense", "[1, 2]", str(Keypair())[:-3], "0" * 88):
        with pytest.raises(InvalidKeyError):
            async with scene.database.platform() as session:
                await service_keys.import_key(session, scene.signer, NETWORK, KeyPurpose.RELAYER, private_key=text)
