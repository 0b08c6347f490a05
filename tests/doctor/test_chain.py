"""`guerdon doctor` on chains: one that is right, another data directory's, one that does not answer, contracts that are not ours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from guerdon.chains.anvil import LocalChain
from guerdon.chains.port import WrongChainError
from guerdon.doctor import chain as doctor
from guerdon.doctor.findings import Finding, Verdict
from guerdon.kit.database import Database
from guerdon.settings import Settings, load_settings
from guerdon.txmanager import repository_keys, service_keys
from guerdon.txmanager.connections import ChainClients
from guerdon.txmanager.errors import WrongNamespaceError
from guerdon.txmanager.models import Contract, Network
from guerdon.txmanager.sightings import look_at_networks
from tests.support.local_solana import running_solana


def to_mend(findings: list[Finding]) -> dict[str, tuple[str, str | None]]:
    return {finding.check: (finding.message, finding.remedy) for finding in findings if finding.verdict is Verdict.MEND}


def settings(url: str | None) -> Settings:
    return load_settings(rpc_urls={} if url is None else {"local": SecretStr(url)})


async def set_up(database: Database, *, genesis: str | None = None, contract: str | None = None) -> None:
    async with database.platform() as session:
        now = datetime.now(UTC)
        session.add(Network(name="local", chain_id=31337, genesis_hash=genesis, block_time_ms=2000, created_at=now))
        await session.flush()
        if contract is not None:
            session.add(Contract(network="local", name="RewardDistributor", address=contract, created_at=now))


async def test_s21_the_chain_of_another_data_directory_is_told(database: Database, tmp_path: Path) -> None:
    await set_up(database, genesis="0x" + "ab" * 32)
    async with LocalChain(tmp_path / "chain") as chain:
        found = to_mend(await doctor.look(settings(chain.url), database))
    message, remedy = found["local"]
    assert "it is another one with the same id" in message
    assert remedy is not None
    assert "different data directories" in remedy


async def test_an_address_without_our_code_is_told_and_the_right_chain_is_not(database: Database, tmp_path: Path) -> None:
    async with LocalChain(tmp_path / "chain") as chain:
        await set_up(database, contract="0x" + "11" * 20)
        found = to_mend(await doctor.look(settings(chain.url), database))
    assert list(found) == ["RewardDistributor"]
    assert "is not the artifact's" in found["RewardDistributor"][0]


async def test_a_node_that_does_not_answer_is_told(database: Database, port: int) -> None:
    await set_up(database)
    found = to_mend(await doctor.look(settings(f"http://127.0.0.1:{port}"), database))
    assert "can't be reached" in found["local"][0]


async def test_a_network_without_an_address_is_told(database: Database) -> None:
    await set_up(database)
    assert "is not known" in to_mend(await doctor.look(settings(None), database))["local"][0]


async def test_a_local_solana_is_looked_at_and_another_ones_told(database: Database, tmp_path: Path) -> None:
    with running_solana(tmp_path / "solana", slot_ms=400) as solana:
        solana.advance(40)
        given = load_settings(rpc_urls={"solana-local": SecretStr(solana.url)})
        async with database.platform() as session:
            made = datetime.now(UTC)
            session.add(Network(name="solana-local", namespace="solana", chain_id=None, block_time_ms=400, created_at=made))
        found = {one.check: one for one in await doctor.look(given, database)}
        assert found["solana-local"].verdict is Verdict.OK
        assert "final up to" in found["solana-local"].message
        async with database.platform() as session:
            await repository_keys.record_genesis(session, "solana-local", solana.ask("getGenesisHash")[:-1] + "z")
        told = to_mend(await doctor.look(given, database))
        assert "another one of the same kind" in told["solana-local"][0]
    told = to_mend(await doctor.look(given, database))
    assert "can't be reached" in told["solana-local"][0]


async def test_s21_a_solana_is_asked_once_it_is_proven_to_be_the_right_one(database: Database, tmp_path: Path) -> None:
    async with database.platform() as session:
        for name in ("solana-local", "solana-devnet"):
            await service_keys.set_network(session, name=name, chain_id=None)
        await service_keys.set_network(session, name="base", chain_id=8453)
    with running_solana(tmp_path / "one") as one, running_solana(tmp_path / "two") as two:
        urls = {name: SecretStr(where.url) for name, where in (("solana-local", one), ("solana-devnet", two), ("base", two))}
        chains = ChainClients(load_settings(rpc_urls=urls), database)
        client = await chains.solana("solana-local")
        assert await chains.solana("solana-local") is client
        with pytest.raises(WrongNamespaceError, match="base is no Solana"):
            await chains.solana("base")
        with pytest.raises(WrongNamespaceError, match="solana-local is no EVM network"):
            await chains("solana-local")
        # Known by name, so its genesis is too.
        with pytest.raises(WrongChainError, match="another cluster"):
            await chains.solana("solana-devnet")
        await look_at_networks(database, chains, chains.solana)
        await chains.close()
        async with database.platform() as session:
            found = await service_keys.network(session, "solana-local")
        assert found.genesis_hash == one.ask("getGenesisHash")
        assert found.head_block is not None
        assert found.final_block is not None
        assert found.head_block > found.final_block
        # The other one's chain in its place.
        chains = ChainClients(load_settings(rpc_urls={"solana-local": SecretStr(two.url)}), database)
        with pytest.raises(WrongChainError, match="another one of the same kind"):
            await chains.solana("solana-local")
        await chains.close()
