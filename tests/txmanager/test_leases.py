"""One worker a key (SAFETY S19): leases by the database's clock, and what happens to a worker that lost one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from guerdon.kit.database import Database
from guerdon.txmanager import leases
from guerdon.txmanager.errors import LeaseLostError
from guerdon.txmanager.leases import Lease
from guerdon.txmanager.models import IntentState
from tests.fakes.rpc_proxy import hold
from tests.txmanager.scene import NETWORK, QUICK, Scene, until


async def _acquire(database: Database, owner: str, seconds: float = 5) -> list[Lease]:
    async with database.platform() as session:
        return await leases.acquire(session, NETWORK, owner, seconds)


async def _holds(database: Database, lease: Lease) -> bool:
    try:
        async with database.platform() as session:
            await leases.hold(session, lease)
    except LeaseLostError:
        return False
    return True


async def test_s19_a_key_is_leased_to_one_worker(scene: Scene) -> None:
    (lease,) = await _acquire(scene.database, "one")
    assert await _acquire(scene.database, "two") == []
    assert await _holds(scene.database, lease)


async def test_s19_of_many_workers_that_try_at_once_one_gets_it(scene: Scene) -> None:
    taken = await asyncio.gather(*(_acquire(scene.database, f"worker {number}") for number in range(8)))
    assert sorted(len(one) for one in taken) == [0] * 7 + [1]


async def test_s19_a_lease_that_ran_out_is_worth_nothing_even_if_nobody_took_it(scene: Scene) -> None:
    (lease,) = await _acquire(scene.database, "one", seconds=0.1)
    await asyncio.sleep(0.15)
    assert not await _holds(scene.database, lease)
    (again,) = await _acquire(scene.database, "one")
    assert again.epoch == lease.epoch + 1
    assert await _holds(scene.database, again)
    assert not await _holds(scene.database, lease)


async def test_s19_a_lease_is_renewed_only_by_its_holder_and_before_it_runs_out(scene: Scene) -> None:
    (lease,) = await _acquire(scene.database, "one", seconds=0.2)
    async with scene.database.platform() as session:
        assert await leases.renew(session, [lease], 5) == {lease.key_id}
        assert await leases.renew(session, [replace(lease, owner="two")], 5) == set()
        assert await leases.renew(session, [replace(lease, epoch=lease.epoch - 1)], 5) == set()
    await asyncio.sleep(0.25)
    assert await _holds(scene.database, lease)


async def test_s19_a_released_key_is_free_at_once_and_its_epoch_goes_on(scene: Scene) -> None:
    (lease,) = await _acquire(scene.database, "one", seconds=60)
    async with scene.database.platform() as session:
        await leases.release(session, lease)
    (other,) = await _acquire(scene.database, "two")
    assert other.epoch == lease.epoch + 1
    assert not await _holds(scene.database, lease)


async def test_s19_a_take_over_waits_for_the_transaction_that_holds_the_lease(scene: Scene) -> None:
    (lease,) = await _acquire(scene.database, "one", seconds=0.2)
    async with scene.database.platform() as session:
        await leases.hold(session, lease)
        await asyncio.sleep(0.3)
        assert await _acquire(scene.database, "two") == []
    assert len(await _acquire(scene.database, "two")) == 1


async def test_s19_two_engines_at_once_send_everything_once(scene: Scene) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(scene.engine())
        await stack.enter_async_context(scene.node.mining())
        intents = [await scene.transfer(value) for value in range(1, 31)]
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert await scene.is_on_chain_once(*range(1, 31))


async def test_s19_two_processes_at_once_send_everything_once_and_one_goes_on_when_the_other_is_killed(scene: Scene) -> None:
    async with scene.process() as first, scene.process() as second, scene.node.mining():
        early = [await scene.transfer(value) for value in range(1, 11)]
        for intent_id in early:
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
        holder = (await scene.until_leased()).lease_owner or ""
        victim = first if f"/{first.child.pid}/" in holder else second
        late = [await scene.transfer(value) for value in range(11, 21)]
        await victim.kill()
        for intent_id in late:
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
        assert (await scene.until_leased()).lease_owner != holder
    assert await scene.is_on_chain_once(*range(1, 21))


async def test_a_worker_that_is_stopped_gives_its_keys_back_at_once(scene: Scene) -> None:
    async with scene.process(replace(QUICK, lease_seconds=60)) as process:
        await scene.until_leased()
        assert await process.terminate() == 0
    assert (await scene.key()).lease_owner is None


@pytest.mark.parametrize("method", ["eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"])
async def test_s19_a_worker_that_froze_and_lost_its_lease_writes_nothing_when_it_wakes(scene: Scene, method: str) -> None:
    held = scene.proxy.add(hold(method))
    intent_id = await scene.transfer(1)
    async with scene.process() as frozen:
        await until(lambda: _is_set(held.reached), "reached")
        first = await scene.key()
        frozen.freeze()
        held.release()
        async with scene.engine(rpc_url=scene.node.url), scene.node.mining():
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
            second = await scene.key()
            before = await scene.owner.fetchrow("SELECT * FROM intents")
            frozen.thaw()
            await asyncio.sleep(1)
            assert await scene.owner.fetchrow("SELECT * FROM intents") == before
    assert second.lease_epoch > first.lease_epoch
    assert {attempt.lease_epoch for attempt in await scene.attempts(intent_id)} <= {first.lease_epoch, second.lease_epoch}
    assert await scene.is_on_chain_once(1)


async def test_s19_a_lease_that_is_lost_in_the_middle_of_signing_stores_nothing(scene: Scene) -> None:
    # The engine holds the world still between the survey that precedes signing and the storing of bytes.
    intent_id = await scene.transfer(1)
    held = scene.proxy.add(hold("eth_feeHistory", skip=1))  # the first survey is binding's
    async with scene.engine():
        await until(lambda: _is_set(held.reached), "reached")
        assert (await scene.intent(intent_id)).state == IntentState.BOUND
        await scene.owner.execute(
            "UPDATE keys SET lease_owner = 'somebody else', lease_epoch = lease_epoch + 1, lease_until = clock_timestamp() + interval '2 s'"
        )
        held.release()
        before = time.monotonic()
        while time.monotonic() - before < 1:
            assert await scene.attempts(intent_id) == []
            await asyncio.sleep(0.05)
        # When the other's lease has run out, it takes the key again, under a new epoch, and signs the same nonce.
        await scene.until(intent_id, IntentState.SENT)
    (attempt,) = await scene.attempts(intent_id)
    assert (attempt.nonce, attempt.lease_epoch) == (0, 3)


async def _is_set(event: asyncio.Event) -> bool:
    return event.is_set()
