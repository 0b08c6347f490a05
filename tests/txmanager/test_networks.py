"""What an operator says of a network is changed, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from guerdon.chains.networks import KNOWN_NETWORKS
from guerdon.kit.database import Database
from guerdon.kit.ids import uuid7
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.settings import Settings
from guerdon.txmanager import service_keys
from guerdon.txmanager.connections import ChainClients
from guerdon.txmanager.engines import Engines
from guerdon.txmanager.errors import NetworkNotFoundError, WrongNamespaceError
from guerdon.txmanager.models import IntentState, KeyPurpose, Network
from guerdon.txmanager.signer import Signer
from guerdon.txmanager.terms import EngineTerms
from tests.txmanager.node import GWEI
from tests.txmanager.scene import Scene, set_fee_cap

OWN = "own-chain"


async def set_up(database: Database, name: str, **changes: Any) -> Network:
    async with database.platform() as session:
        known = KNOWN_NETWORKS.get(name)
        await service_keys.set_network(session, name=name, chain_id=777 if known is None else known.chain_id, **changes)
    async with database.platform() as session:
        return await service_keys.network(session, name)


async def set_up_solana(database: Database, name: str, **changes: Any) -> Network:
    async with database.platform() as session:
        await service_keys.set_network(session, name=name, chain_id=None, **changes)
    async with database.platform() as session:
        return await service_keys.network(session, name)


async def test_a_known_network_begins_with_a_fee_cap_and_an_unknown_one_with_none(database: Database) -> None:
    assert (await set_up(database, "base")).max_fee_per_gas == 10 * GWEI
    assert (await set_up(database, "ethereum")).block_time_ms == 12_000
    assert (await set_up(database, OWN)).max_fee_per_gas is None


async def test_a_solana_has_no_chain_id_and_no_fee_a_unit_of_gas(database: Database) -> None:
    for name in ("solana-devnet", "a-test-validator"):
        made = await set_up_solana(database, name)
        assert (made.namespace, made.chain_id, made.block_time_ms, made.max_fee_per_gas) == ("solana", None, 400, None)
        with pytest.raises(WrongNamespaceError, match="no fees a unit of gas"):
            await set_up_solana(database, name, max_fee_per_gas=7)
    assert (await set_up_solana(database, "solana-devnet", block_time_ms=401)).explorer_url is not None


async def test_a_network_stays_the_kind_of_chain_that_it_is(database: Database) -> None:
    await set_up_solana(database, "mine")
    with pytest.raises(NetworkNotFoundError, match="mine is a Solana; give chain 777 a name of its own"):
        await set_up(database, "mine")
    with pytest.raises(WrongNamespaceError, match="known as solana:5eykt"):
        async with database.platform() as session:
            await service_keys.set_network(session, name="solana", chain_id=777)
    with pytest.raises(WrongNamespaceError, match="known as eip155:8453"):
        await set_up_solana(database, "base")


async def test_keys_are_of_their_networks_kind(database: Database) -> None:
    await set_up_solana(database, "mine")
    await set_up(database, "base")
    signer = Signer(KeyRing(MasterKey(b"k" * 32)))
    async with database.platform() as session:
        assert not (await service_keys.create_key(session, signer, "mine", KeyPurpose.TREASURY)).address.startswith("0x")
        assert (await service_keys.create_key(session, signer, "base", KeyPurpose.TREASURY)).address.startswith("0x")


async def test_contracts_are_deployed_on_evm_networks_only(database: Database) -> None:
    await set_up_solana(database, "mine")
    with pytest.raises(WrongNamespaceError, match="mine is no EVM network"):
        async with database.platform() as session:
            await service_keys.evm_network(session, "mine")


async def test_each_kind_of_network_has_its_engine(database: Database) -> None:
    await set_up_solana(database, "mine")
    await set_up(database, "base")
    chains = ChainClients(Settings(), database)
    engines = Engines(database, chains, KeyRing(MasterKey(b"k" * 32)), uuid7(), EngineTerms())
    assert await engines.networks() == {"base": "eip155", "mine": "solana"}
    await chains.close()


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
