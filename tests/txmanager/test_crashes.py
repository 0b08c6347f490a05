"""The engine is killed (SIGKILL, a real process) between any two of its steps; another goes on, and everything lands once.

The world is stopped from outside: by the proxy at a call to the node, by a trigger in the test's database at a write.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import UUID

import pytest

from guerdon.kit import driver
from guerdon.txmanager.models import IntentState
from tests.fakes.rpc_proxy import Fault, drop_before, hold, hold_answer, lose_answer
from tests.support.postgres import Urls
from tests.txmanager.scene import QUICK, Scene, until

TERMS = replace(QUICK, lease_seconds=1.5)
VALUES = (1, 2, 3)
_LOCK = 4711


@asynccontextmanager
async def stopped_at(urls: Urls, table: str, event: str, condition: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Inside, whoever writes this stops in the middle of its transaction; yields whether somebody has."""
    holder, watcher = await driver.connect(urls.superuser), await driver.connect(urls.superuser)
    await holder.execute(f"SELECT pg_advisory_lock({_LOCK})")
    await watcher.execute(
        f"""
        CREATE OR REPLACE FUNCTION stop_here() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock({_LOCK}); RETURN new; END $$;
        CREATE TRIGGER stop_here BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION stop_here();
        """
    )

    async def somebody_waits() -> bool:
        return await watcher.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0

    try:
        yield somebody_waits
    finally:
        await holder.close()  # lets go of the lock
        await watcher.execute(f"DROP TRIGGER stop_here ON {table}")
        await watcher.close()


async def _finish(scene: Scene, intents: list[UUID]) -> None:
    async with scene.engine(TERMS), scene.node.mining(0.05):
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert await scene.is_on_chain_once(*VALUES)
    await assert_nothing_was_signed_twice(scene)


async def assert_nothing_was_signed_twice(scene: Scene) -> None:
    """Each nonce belongs to one intent, and every hash on chain is one of its intent's stored forms."""
    rows = await scene.owner.fetch("SELECT nonce, count(DISTINCT intent_id) AS intents FROM attempts GROUP BY nonce")
    assert all(row["intents"] == 1 for row in rows)
    stored = {row["hash"] for row in await scene.owner.fetch("SELECT hash FROM attempts")}
    assert {one["hash"] for one in await scene.node.sent_by(scene.address)} <= stored


@pytest.mark.parametrize(
    ("table", "event", "condition"),
    [
        pytest.param("keys", "UPDATE", "new.lease_epoch > old.lease_epoch", id="taking-the-lease"),
        pytest.param("intents", "UPDATE", "new.state = 'bound'", id="binding"),
        pytest.param("nonces", "INSERT", "true", id="storing-the-nonce"),
        pytest.param("keys", "UPDATE", "new.next_nonce > old.next_nonce", id="moving-the-counter"),
        pytest.param("attempts", "INSERT", "true", id="between-signing-and-storing"),
        pytest.param("attempts", "INSERT", "new.nonce = 2", id="storing-the-last-of-three"),
        pytest.param("intents", "UPDATE", "new.state = 'signed'", id="marking-signed"),
        pytest.param("attempts", "UPDATE", "true", id="between-sending-and-noting-it"),
        pytest.param("intents", "UPDATE", "new.state = 'sent'", id="marking-sent"),
        pytest.param("intents", "UPDATE", "new.state = 'included'", id="marking-included"),
        pytest.param("intents", "UPDATE", "new.state = 'final'", id="marking-final"),
    ],
)
async def test_s16_a_kill_in_the_middle_of_a_write_loses_nothing_and_repeats_nothing(
    scene: Scene, table: str, event: str, condition: str
) -> None:
    intents = [await scene.transfer(value) for value in VALUES]
    async with (
        scene.node.mining(),
        scene.process(TERMS) as victim,
        stopped_at(scene.urls, table, event, condition) as somebody_waits,
    ):
        await until(somebody_waits, f"stopped at {table}", seconds=15)
        await victim.kill()
    await _finish(scene, intents)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(hold("eth_estimateGas"), id="before-simulation"),
        pytest.param(hold_answer("eth_estimateGas"), id="after-simulation"),
        pytest.param(hold("eth_feeHistory", skip=1), id="between-binding-and-signing"),
        pytest.param(hold("eth_sendRawTransaction"), id="between-storing-and-sending"),
        pytest.param(hold_answer("eth_sendRawTransaction"), id="after-acceptance"),
        pytest.param(hold("eth_getTransactionReceipt"), id="before-looking"),
        pytest.param(hold_answer("eth_getTransactionReceipt"), id="after-looking"),
    ],
)
async def test_s16_a_kill_between_two_steps_loses_nothing_and_repeats_nothing(scene: Scene, stop: Fault) -> None:
    scene.proxy.add(stop)
    intents = [await scene.transfer(value) for value in VALUES]
    async with scene.process(TERMS) as victim, scene.node.mining():
        await until(lambda: _is_set(stop.reached), "stopped", seconds=15)
        await asyncio.sleep(0.1)  # what the node was asked, it has done
        await victim.kill()
    stop.release()
    await _finish(scene, intents)


async def test_s16_a_kill_between_storing_and_sending_a_replacement_leaves_both_forms_known(scene: Scene) -> None:
    intents = [await scene.transfer(value) for value in VALUES]
    async with scene.process(TERMS) as victim:
        for intent_id in intents:
            await scene.until(intent_id, IntentState.SENT)
        stop = scene.proxy.add(hold("eth_sendRawTransaction", skip=1))  # after the same bytes were sent again
        for _ in range(3):
            await scene.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
            await scene.node.mine()
            await asyncio.sleep(0.2)
        await until(lambda: _is_set(stop.reached), "stopped", seconds=15)
        await victim.kill()
    assert len(await scene.attempts(intents[0])) > 1
    stop.release()
    await scene.node.rpc("anvil_setNextBlockBaseFeePerGas", "0x7")
    await _finish(scene, intents)


@pytest.mark.parametrize("seed", [1, 2])
async def test_s16_kills_at_random_with_a_network_that_loses_answers_send_everything_once(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    values = list(range(1, 41))
    waiting: list[UUID] = []

    async def queue_all() -> None:
        for value in values:
            waiting.append(await scene.transfer(value))
            await asyncio.sleep(chance.uniform(0, 0.15))

    async def trouble() -> None:
        while True:
            method = chance.choice(["eth_sendRawTransaction", "*", "eth_getTransactionReceipt"])
            scene.proxy.add(chance.choice([drop_before, lose_answer])(method))
            await asyncio.sleep(chance.uniform(0.1, 0.5))

    queueing, troubling = asyncio.create_task(queue_all()), asyncio.create_task(trouble())
    async with scene.node.mining():
        for _ in range(5):
            async with scene.process(TERMS):
                await asyncio.sleep(chance.uniform(0.5, 2.5))
        troubling.cancel()
        with suppress(asyncio.CancelledError):
            await troubling
        scene.proxy.clear()
        await queueing
        async with scene.process(TERMS):
            for intent_id in waiting:
                await scene.until(intent_id, IntentState.FINAL, seconds=30)
    assert await scene.is_on_chain_once(*values)
    await assert_nothing_was_signed_twice(scene)


async def _is_set(event: asyncio.Event) -> bool:
    return event.is_set()
