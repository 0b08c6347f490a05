"""A database that is older than the chain: what a restored dump does, and how an operator gets out of it (SAFETY S21)."""

from __future__ import annotations

import asyncio

from guerdon.kit import driver
from guerdon.txmanager import importing, service, service_keys
from guerdon.txmanager.models import IntentState
from tests.txmanager.scene import Scene

TABLES = ("keys", "intents", "nonces", "attempts", "outbox", "work")


async def _dump(owner: driver.RawConnection) -> None:
    await owner.execute(
        "CREATE SCHEMA dump; " + "".join(f"CREATE TABLE dump.{table} AS TABLE public.{table}; " for table in TABLES)
    )


async def _restore(owner: driver.RawConnection) -> None:
    rows = "".join(
        f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM dump.{table}; " for table in TABLES if table != "outbox"
    )
    await owner.execute(
        f"SET session_replication_role = replica; BEGIN; {rows} DELETE FROM outbox; COMMIT; RESET session_replication_role"
    )


async def test_s21_a_restored_dump_pays_nothing_twice_and_the_key_goes_on_after_import(scene: Scene) -> None:
    try:
        first, second = await scene.transfer(1), None
        async with scene.engine(), scene.node.mining():
            await scene.until(first, IntentState.FINAL)
        second = await scene.transfer(2)
        await _dump(scene.owner)
        async with scene.engine(), scene.node.mining():
            await scene.until(second, IntentState.FINAL)
            await scene.until(await scene.transfer(3), IntentState.FINAL)
        await _restore(scene.owner)
        async with scene.engine(), scene.node.mining():
            key = await scene.until_paused()
            assert (key.next_nonce, key.resumes_by_itself) == (1, False)
            await asyncio.sleep(0.5)
            assert (await scene.intent(second)).state == IntentState.QUEUED
            assert await scene.values_on_chain() == [1, 2, 3]
            # The owner knows its own by what they did; the rest is its business too, and none is sent again.
            unknown = (await importing.review(scene.database, scene.chain(), scene.key_id)).found
            assert [(one.transaction.nonce, one.transaction.value) for one in unknown] == [(1, 2), (2, 3)]
            async with scene.database.platform() as session:
                await service.adopt(session, second, unknown[0].transaction, unknown[0].receipt)
                await service_keys.resume_key(session, scene.key_id, next_nonce=3)
            assert (await scene.intent(second)).state == IntentState.FINAL
            fourth = await scene.transfer(4)
            assert (await scene.until(fourth, IntentState.FINAL)).nonce == 3
        assert await scene.values_on_chain() == [1, 2, 3, 4]
        assert await scene.alerts() == set()
    finally:
        await scene.owner.execute("DROP SCHEMA IF EXISTS dump CASCADE")
