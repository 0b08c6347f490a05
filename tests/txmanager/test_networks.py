"""What an operator says of a network is changed, and nothing else."""

from __future__ import annotations

from typing import Any

from guerdon.chains.networks import KNOWN_NETWORKS
from guerdon.kit.database import Database
from guerdon.txmanager import service_keys
from guerdon.txmanager.models import IntentState, Network
from tests.txmanager.node import GWEI
from tests.txmanager.scene import Scene, set_fee_cap

OWN = "own-chain"


async def set_up(database: Database, name: str, **changes: Any) -> Network:
    async with database.platform() as session:
        known = KNOWN_NETWORKS.get(name)
        await service_keys.set_network(session, name=name, chain_id=777 if known is None else known.chain_id, **changes)
    async with database.platform() as session:
        return await service_keys.network(session, name)


async def test_a_known_network_begins_with_a_fee_cap_and_an_unknown_one_with_none(database: Database) -> None:
    assert (await set_up(database, "base")).max_fee_per_gas == 10 * GWEI
    assert (await set_up(database, "ethereum")).block_time_ms == 12_000
    assert (await set_up(database, OWN)).max_fee_per_gas is None


async def test_only_what_is_given_changes(database: Database) -> None:
    await set_up(database, "base", max_fee_per_gas=7)
    changed = await set_up(database, "base", block_time_ms=1_000)
    assert (changed.max_fee_per_gas, changed.block_time_ms, changed.explorer_url) == (7, 1_000, "https://basescan.org")
    assert (await set_up(database, "base", max_fee_per_gas=9)).block_time_ms == 1_000
    assert (await set_up(database, "base")).max_fee_per_gas == 9
    assert (await set_up(database, "base", no_fee_cap=True)).max_fee_per_gas is None
    assert (await set_up(database, "base")).max_fee_per_gas is None


async def test_a_cap_that_is_raised_is_taken_up_by_a_running_engine(scene: Scene) -> None:
    await set_fee_cap(scene.database, 1)
    async with scene.engine(), scene.node.mining():
        intent_id = await scene.transfer(1)
        await scene.until_alert("transaction.fee_over_cap")
        await set_fee_cap(scene.database, 1_000 * GWEI)
        await scene.until(intent_id, IntentState.FINAL)
        await scene.until_alert("transaction.fee_over_cap", is_open=False)
