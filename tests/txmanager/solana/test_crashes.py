"""The engine is killed (SIGKILL, a real process) between any two of its steps; another goes on, and everything lands once."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import pytest

from guerdon.txmanager.models import IntentState
from tests.fakes.rpc_proxy import Fault, drop_before, hold, hold_answer, lose_answer
from tests.txmanager.scene import until
from tests.txmanager.solana.scene import QUICK, Scene, swallow
from tests.txmanager.test_crashes import stopped_at

TERMS = replace(QUICK, lease_seconds=1.5)
AMOUNTS = (1_001, 1_002, 1_003)


async def _finish(scene: Scene, intents: list[UUID], amounts: tuple[int, ...] = AMOUNTS) -> None:
    async with scene.engine(TERMS):
        for intent_id in intents:
            await scene.until(intent_id, IntentState.FINAL, seconds=20)
    assert await scene.is_on_chain_once(*amounts)
    await assert_all_is_known(scene)


async def assert_all_is_known(scene: Scene) -> None:
    """Whatever the key has on the chain was stored before, and nobody paused it."""
    stored = {row["hash"] for row in await scene.owner.fetch("SELECT hash FROM attempts")}
    assert {one["transaction"]["signatures"][0] for one in await scene.node.transactions(scene.address)} <= stored
    assert (await scene.key()).paused_at is None


@pytest.mark.parametrize(
    ("table", "event", "condition"),
    [
        pytest.param("keys", "UPDATE", "new.lease_epoch > old.lease_epoch", id="taking-the-lease"),
        pytest.param("attempts", "INSERT", "true", id="between-signing-and-storing"),
        pytest.param("intents", "UPDATE", "new.state = 'signed'", id="marking-signed"),
        pytest.param("attempts", "UPDATE", "true", id="between-sending-and-noting-it"),
        pytest.param("intents", "UPDATE", "new.state = 'sent'", id="marking-sent"),
        pytest.param("intents", "UPDATE", "new.state = 'included'", id="marking-included"),
        pytest.param("intents", "UPDATE", "new.state = 'final'", id="marking-final"),
    ],
)
async def test_s18_a_kill_in_the_middle_of_a_write_loses_nothing_and_repeats_nothing(
    scene: Scene, table: str, event: str, condition: str
) -> None:
    intents = [await scene.transfer(amount) for amount in AMOUNTS]
    async with (
        scene.process(TERMS) as victim,
        stopped_at(scene.urls, table, event, condition) as somebody_waits,
    ):
        await until(somebody_waits, f"stopped at {table}", seconds=15)
        await victim.kill()
    await _finish(scene, intents)


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(hold("simulateTransaction"), id="before-simulation"),
        pytest.param(hold_answer("simulateTransaction"), id="between-simulation-and-signing"),
        pytest.param(hold("sendTransaction"), id="between-storing-and-sending"),
        pytest.param(hold_answer("sendTransaction"), id="after-acceptance"),
        pytest.param(hold("getSignatureStatuses"), id="before-looking"),
        pytest.param(hold_answer("getSignatureStatuses"), id="after-looking"),
        pytest.param(hold_answer("getTransaction"), id="after-looking-closely"),
    ],
)
async def test_s18_a_kill_between_two_steps_loses_nothing_and_repeats_nothing(scene: Scene, stop: Fault) -> None:
    scene.proxy.add(stop)
    intents = [await scene.transfer(amount) for amount in AMOUNTS]
    async with scene.process(TERMS) as victim:
        await until(lambda: _is_set(stop.reached), "stopped", seconds=15)
        await asyncio.sleep(0.1)  # what the node was asked, it has done
        await victim.kill()
    stop.release()
    await _finish(scene, intents)


@pytest.mark.parametrize(
    ("table", "event", "condition"),
    [
        pytest.param("intents", "UPDATE", "new.state = 'expired'", id="marking-expired"),
        pytest.param("attempts", "INSERT", "new.number = 2", id="storing-the-second-form"),
    ],
)
async def test_s18_a_kill_while_signing_anew_pays_once(scene: Scene, table: str, event: str, condition: str) -> None:
    dropping = scene.proxy.add(swallow())
    intents = [await scene.transfer(AMOUNTS[0])]
    async with (
        scene.process(TERMS) as victim,
        stopped_at(scene.urls, table, event, condition) as somebody_waits,
    ):
        await scene.until(intents[0], IntentState.SENT)
        await scene.node.advance(260)
        await until(somebody_waits, f"stopped at {table}", seconds=15)
        await victim.kill()
    dropping.release()
    await _finish(scene, intents, AMOUNTS[:1])


async def test_s18_a_kill_while_markers_are_closed_returns_their_rent_all_the_same(scene: Scene) -> None:
    intents = [await scene.transfer(amount) for amount in AMOUNTS]
    await _finish(scene, intents)
    await scene.node.advance(260)
    await asyncio.sleep(2)
    terms = replace(TERMS, close_markers_seconds=0.3)
    stop = scene.proxy.add(hold_answer("sendTransaction"))
    async with scene.process(terms) as victim:
        await until(lambda: _is_set(stop.reached), "stopped", seconds=15)
        await victim.kill()
    stop.release()
    async with scene.engine(terms):
        for intent_id in intents:
            await scene.eventually(lambda one: one.marker_closed_at is not None, intent_id, 15)
    for intent_id in intents:
        assert not await scene.node.exists(str((await scene.intent(intent_id)).marker))


@pytest.mark.parametrize("seed", [1, 2])
async def test_s18_kills_at_random_with_a_network_that_loses_answers_pay_everything_once(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    amounts = list(range(1_001, 1_041))
    waiting: list[UUID] = []

    async def queue_all() -> None:
        for amount in amounts:
            waiting.append(await scene.transfer(amount))
            await asyncio.sleep(chance.uniform(0, 0.15))

    async def trouble() -> None:
        while True:
            method = chance.choice(["sendTransaction", "*", "getSignatureStatuses", "getTransaction"])
            scene.proxy.add(chance.choice([drop_before, lose_answer])(method))
            if chance.random() < 0.3:
                await scene.node.advance(chance.choice([20, 200]))
            await asyncio.sleep(chance.uniform(0.1, 0.5))

    queueing, troubling = asyncio.create_task(queue_all()), asyncio.create_task(trouble())
    for _ in range(5):
        async with scene.process(TERMS):
            await asyncio.sleep(chance.uniform(0.8, 2.5))
    troubling.cancel()
    with suppress(asyncio.CancelledError):
        await troubling
    scene.proxy.clear()
    await queueing
    async with scene.process(TERMS):
        for intent_id in waiting:
            await scene.until(intent_id, IntentState.FINAL, seconds=40)
    assert await scene.is_on_chain_once(*amounts)
    await assert_all_is_known(scene)


async def _is_set(event: asyncio.Event) -> bool:
    return event.is_set()
