"""`guerdon doctor` on chains: one that is right, another data directory's, one that does not answer, contracts that are not ours."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from guerdon.chains.anvil import LocalChain
from guerdon.doctor import chain as doctor
from guerdon.doctor.findings import Finding, Verdict
from guerdon.kit.database import Database
from guerdon.settings import Settings, load_settings
from guerdon.txmanager.models import Contract, Network


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
