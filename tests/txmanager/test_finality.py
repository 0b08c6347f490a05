"""Blocks that go away, nodes that lag, nonces used from outside, chains and databases that are not the right ones."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from eth_account import Account

from guerdon.chains.port import WrongChainError
from guerdon.kit.ids import uuid7
from guerdon.txmanager import importing, service, service_keys
from guerdon.txmanager.errors import DeploymentMismatchError, IntentNotAdoptableError, NotFinalYetError
from guerdon.txmanager.models import Contract, IntentState, KeyPurpose
from tests.fakes.rpc_proxy import older_block
from tests.txmanager.node import FAUCET, running_node
from tests.txmanager.scene import NETWORK, PRIVATE_KEY, QUICK, SOMEBODY, Scene, until

OUR_CONTRACT = "0x000000000000000000000000000000000000c0de"


async def test_s24_what_a_reorganisation_takes_out_is_sent_again_as_the_same_bytes(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine(replace(QUICK, replace_after_blocks=100)):
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.mine()
        included = await scene.until(intent_id, IntentState.INCLUDED)
        await scene.node.rpc("anvil_reorg", 1, [])
        back = await scene.until(intent_id, IntentState.SIGNED, IntentState.SENT)
        assert (back.block_number, back.succeeded) == (None, None)
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.mine()
        again = await scene.until(intent_id, IntentState.INCLUDED)
        await scene.node.mine(2)
        await scene.until(intent_id, IntentState.FINAL)
    assert again.transaction_hash == included.transaction_hash
    assert again.block_hash != included.block_hash
    assert len(await scene.attempts(intent_id)) == 1
    assert await scene.is_on_chain_once(1)


async def test_a_reorganisation_that_moves_a_transaction_to_another_block_is_followed(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine():
        sent = await scene.until(intent_id, IntentState.SENT)
        await scene.node.mine(2)
        first = await scene.until(intent_id, IntentState.INCLUDED)
        raw = f"0x{(await scene.attempts(intent_id))[0].raw.hex()}"
        await scene.node.rpc("anvil_reorg", 2, [[raw, 1]])
        await scene.eventually(lambda one: one.block_number == 2, intent_id)
        moved = await scene.intent(intent_id)
        await scene.node.mine(2)
        await scene.until(intent_id, IntentState.FINAL)
    assert first.block_number == 1
    assert moved.transaction_hash == sent.transaction_hash
    assert await scene.is_on_chain_once(1)


async def test_a_node_that_lags_takes_nothing_back(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    async with scene.engine():
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.mine()
        await scene.until(intent_id, IntentState.INCLUDED)
        lag = scene.proxy.add(older_block(1))
        await asyncio.sleep(0.4)
        assert lag.reached.is_set()
        assert (await scene.intent(intent_id)).state == IntentState.INCLUDED
        lag.stop()
        await scene.node.mine(2)
        await scene.until(intent_id, IntentState.FINAL)
    assert len(await scene.attempts(intent_id)) == 1


async def test_s20_a_nonce_used_harmlessly_from_outside_gives_the_same_intent_a_new_one(scene: Scene) -> None:
    intent_id = await scene.transfer(7)
    async with scene.engine():
        sent = await scene.until(intent_id, IntentState.SENT)
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        await scene.node.send_from_outside(PRIVATE_KEY, nonce=0, to=FAUCET, value=5)
        await scene.node.mine(2)
        await asyncio.sleep(0.3)
        # Used, but not finally: nothing may follow from it.
        assert (await scene.intent(intent_id)).nonce == 0
        async with scene.node.mining():
            final = await scene.until(intent_id, IntentState.FINAL)
    assert final.nonce == 1
    assert await scene.values_on_chain() == [5, 7]
    assert (await scene.key()).paused_at is None


async def test_s20_several_nonces_used_from_outside_are_passed_over(scene: Scene) -> None:
    first = await scene.transfer(1)
    async with scene.engine():
        sent = await scene.until(first, IntentState.SENT)
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        for nonce in range(3):
            await scene.node.send_from_outside(PRIVATE_KEY, nonce=nonce, to=FAUCET, value=5)
        second = await scene.transfer(2)
        async with scene.node.mining():
            for intent_id in (first, second):
                await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert sorted(await scene.values_on_chain()) == [1, 2, 5, 5, 5]
    assert (await scene.key()).paused_at is None


@pytest.mark.parametrize("creates", [False, True])
async def test_s20_s21_a_nonce_used_by_something_that_touches_what_is_ours_pauses_the_key(scene: Scene, creates: bool) -> None:
    await _name_a_contract(scene)
    intent_id, waiting = await scene.transfer(7), await scene.transfer(8)
    async with scene.engine():
        sent = await scene.until(intent_id, IntentState.SENT)
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        foreign = await scene.node.send_from_outside(
            PRIVATE_KEY, nonce=0, to=None if creates else OUR_CONTRACT, value=0, data="0x00"
        )
        await scene.node.mine(3)
        unknown = await scene.until(intent_id, IntentState.UNKNOWN)
        assert foreign in (unknown.error or "")
        key = await scene.until_paused()
        assert not key.resumes_by_itself
        await scene.until_alert("key.paused")
        await scene.until_alert("transaction.unknown")
        async with scene.node.mining():
            await scene.until(waiting, IntentState.FINAL)  # what was signed before goes on
        await scene.transfer(9)
        await asyncio.sleep(0.4)
    assert 9 not in await scene.values_on_chain()


async def test_s21_what_is_unknown_is_found_adopted_and_the_key_goes_on(scene: Scene) -> None:
    await _name_a_contract(scene)
    intent_id = await scene.transfer(7)
    async with scene.engine():
        sent = await scene.until(intent_id, IntentState.SENT)
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        foreign = await scene.node.send_from_outside(PRIVATE_KEY, nonce=0, to=OUR_CONTRACT, value=0)
        await scene.node.mine(3)
        await scene.until(intent_id, IntentState.UNKNOWN)
        await scene.until_paused()
        (found,) = (await importing.review(scene.database, scene.chain(), scene.key_id)).found
        assert (found.transaction.hash, found.transaction.nonce) == (foreign, 0)
        async with scene.database.platform() as session:
            await service.adopt(session, intent_id, found.transaction, found.receipt)
            await service_keys.resume_key(session, scene.key_id, next_nonce=1)
        adopted = await scene.intent(intent_id)
        assert (adopted.state, adopted.transaction_hash) == (IntentState.FINAL, foreign)
        assert (await importing.review(scene.database, scene.chain(), scene.key_id)).found == ()
        following = await scene.transfer(8)
        async with scene.node.mining():
            await scene.until(following, IntentState.FINAL)
    assert await scene.values_on_chain() == [0, 8]
    assert await scene.alerts() == set()


async def test_s21_an_operator_with_proof_lets_an_unknown_intent_go_on_with_a_new_nonce(scene: Scene) -> None:
    await _name_a_contract(scene)
    intent_id = await scene.transfer(7)
    async with scene.engine():
        sent = await scene.until(intent_id, IntentState.SENT)
        await scene.node.rpc("anvil_dropTransaction", sent.transaction_hash)
        await scene.node.send_from_outside(PRIVATE_KEY, nonce=0, to=OUR_CONTRACT, value=0)
        await scene.node.mine(3)
        await scene.until(intent_id, IntentState.UNKNOWN)
        await scene.until_paused()
        with pytest.raises(IntentNotAdoptableError):
            async with scene.database.platform() as session:
                await service.bind_anew(session, intent_id, final_nonce=0)
        async with scene.database.platform() as session:
            await service.bind_anew(session, intent_id, final_nonce=1)
            await service_keys.resume_key(session, scene.key_id, next_nonce=1)
        async with scene.node.mining():
            assert (await scene.until(intent_id, IntentState.FINAL)).nonce == 1
    assert await scene.values_on_chain() == [0, 7]


async def test_s21_an_older_database_pauses_the_key_before_anything_is_signed(scene: Scene) -> None:
    # What a restored dump looks like: the chain counts more of the key's transactions than the database.
    for nonce in range(3):
        await scene.node.send_from_outside(PRIVATE_KEY, nonce=nonce, to=FAUCET)
    await scene.node.mine(3)
    intent_id = await scene.transfer(1)
    async with scene.engine():
        key = await scene.until_paused()
        assert "3 transactions" in (key.pause_reason or "")
        await scene.until_alert("key.paused")
        seen = await importing.review(scene.database, scene.chain(), scene.key_id)
        assert [one.transaction.nonce for one in seen.found] == [0, 1, 2]
        async with scene.database.platform() as session:
            await service_keys.resume_key(session, scene.key_id, next_nonce=3)
        await scene.until(intent_id, IntentState.SENT)
    assert (await scene.intent(intent_id)).nonce == 3


async def test_s21_a_transaction_in_the_pool_that_the_database_does_not_know_pauses_the_key(scene: Scene) -> None:
    # What a restored dump looks like when the last transactions have not landed yet: at the same nonce both could not land, but
    # payments of the same payouts can at different ones.
    await scene.node.send_from_outside(PRIVATE_KEY, nonce=0, to=FAUCET)
    intent_id = await scene.transfer(1)
    async with scene.engine():
        key = await scene.until_paused()
        assert "1 of which wait for a block, the database 0" in (key.pause_reason or "")
        assert (await scene.intent(intent_id)).state == IntentState.QUEUED
        with pytest.raises(NotFinalYetError):
            await importing.resume(scene.database, scene.chain(), scene.key_id)
        await scene.node.mine(3)
        assert (await importing.review(scene.database, scene.chain(), scene.key_id)).waiting == 0
        async with scene.database.platform() as session:
            await service_keys.resume_key(session, scene.key_id, next_nonce=1)
        async with scene.node.mining():
            assert (await scene.until(intent_id, IntentState.FINAL)).nonce == 1


async def test_s21_transactions_of_an_imported_key_from_before_its_import_are_known(scene: Scene) -> None:
    other = "0x" + "3c" * 32
    address = Account.from_key(other).address
    await scene.node.fund(address)
    await scene.node.send_from_outside(other, nonce=0, to=FAUCET)
    await scene.node.mine()
    async with scene.database.platform() as session:
        key = await service_keys.import_key(
            session, scene.signer, NETWORK, KeyPurpose.MINTER, private_key=other, next_nonce=await scene.node.nonce(address)
        )
        intent_id = await service.queue(
            session, key_id=key.id, network=NETWORK, kind="transfer", to=SOMEBODY, data=b"", value_wei=4
        )
    async with scene.engine():
        assert (await scene.until(intent_id, IntentState.SENT)).nonce == 1


async def test_s21_another_chain_stops_the_engine_with_a_remedy(scene: Scene) -> None:
    async with scene.engine():
        await scene.until_leased()
    async with running_node("--no-mining", "--timestamp", "1700000000") as other:
        with pytest.raises(WrongChainError, match="point its RPC address"):
            await scene.new_engine(rpc_url=other.url).run(asyncio.Event())
    assert "network.refused" in await scene.alerts()
    assert (await scene.key()).lease_owner is None
    async with scene.engine():
        await scene.until_leased()
        await scene.until_alert("network.refused", is_open=False)


async def test_s21_another_chain_id_stops_the_engine_with_a_remedy(scene: Scene) -> None:
    async with running_node("--no-mining", "--chain-id", "4242") as other:
        with pytest.raises(WrongChainError, match="4242"):
            await scene.new_engine(rpc_url=other.url).run(asyncio.Event())


async def test_s21_another_deployments_database_stops_the_engine_with_a_remedy(scene: Scene) -> None:
    intent_id = await scene.transfer(1)
    scene.deployment_id = uuid7()
    with pytest.raises(DeploymentMismatchError, match="another deployment"):
        await scene.new_engine().run(asyncio.Event())
    assert (await scene.intent(intent_id)).state == IntentState.QUEUED
    assert "network.refused" in await scene.alerts()


async def test_s21_a_chain_that_is_swapped_under_a_running_engine_gets_nothing(scene: Scene) -> None:
    engine, stop = scene.new_engine(), asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    await scene.until(await scene.transfer(1), IntentState.SENT)
    scene.node.kill()
    async with running_node("--no-mining", "--timestamp", "1700000000") as other:
        scene.proxy.point_to(other.url)
        await scene.transfer(2)
        with pytest.raises(WrongChainError):
            await asyncio.wait_for(task, 15)
        assert await other.pool() == []


async def test_s27_what_a_chain_lost_is_sent_again_in_nonce_order(scene: Scene) -> None:
    # A kill of a local chain goes back to its last saved state: to before everything here, the final ones too.
    earlier = await scene.node.state()
    intents = [await scene.transfer(value) for value in (1, 2, 3)]
    async with scene.engine():
        await scene.until(intents[2], IntentState.SENT)
        await scene.node.mine(3)
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL)
        last = await scene.transfer(4)
        await scene.until(last, IntentState.SENT)
        await scene.node.mine()
        await scene.until(last, IntentState.INCLUDED)
    await scene.node.restart_from(earlier)
    assert await scene.node.nonce(scene.address) == 0
    async with scene.engine(), scene.node.mining():
        await scene.until(last, IntentState.FINAL, seconds=20)
        assert await scene.values_on_chain() == [1, 2, 3, 4]
    assert [len(await scene.attempts(intent_id)) for intent_id in (*intents, last)] == [1, 1, 1, 1]


async def test_s27_a_chain_that_loses_blocks_under_a_running_engine_gets_them_again(scene: Scene) -> None:
    earlier = await scene.node.state()
    async with scene.engine():
        intent_id = await scene.transfer(1)
        await scene.until(intent_id, IntentState.SENT)
        await scene.node.mine()
        await scene.until(intent_id, IntentState.INCLUDED)
        await scene.node.restart_from(earlier)
        async with scene.node.mining():
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert await scene.values_on_chain() == [1]


async def test_s27_a_chain_that_loses_final_blocks_under_an_idle_engine_gets_them_again(scene: Scene) -> None:
    earlier = await scene.node.state()
    async with scene.engine(replace(QUICK, idle_check_seconds=0.5)):
        intent_id = await scene.transfer(1)
        async with scene.node.mining():
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
            # So quickly that no question is asked in between.
            await scene.node.restart_from(earlier)

        async def is_back() -> bool:
            return await scene.node.pool() != []

        await until(is_back, "sent again")
        await scene.node.mine()
    assert await scene.values_on_chain() == [1]


async def test_s27_what_waits_for_final_transactions_that_the_chain_lost_lands_after_them(scene: Scene) -> None:
    earlier = await scene.node.state()
    async with scene.engine():
        first = await scene.transfer(1)
        async with scene.node.mining():
            await scene.until(first, IntentState.FINAL, seconds=20)
        second = await scene.transfer(2)
        await scene.until(second, IntentState.SENT)
        # So quickly that no question is asked in between.
        await scene.node.restart_from(earlier)
        async with scene.node.mining():
            await scene.until(second, IntentState.FINAL, seconds=20)
    assert await scene.values_on_chain() == [1, 2]


async def _name_a_contract(scene: Scene) -> None:
    async with scene.database.platform() as session:
        session.add(
            Contract(
                network=NETWORK, name="RewardDistributor", address=OUR_CONTRACT, intent_id=None, created_at=datetime.now(UTC)
            )
        )
