"""`guerdon doctor` on an installation's own rows: secrets, deployment, work that nobody does, keys and treasuries that rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from guerdon.accounts.master_secret import open_wallets
from guerdon.doctor import installation as doctor
from guerdon.doctor.findings import Finding, Verdict
from guerdon.kit.database import Database
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import WorkRow
from guerdon.kit.secrets import key_ring
from guerdon.settings import Settings, load_settings
from guerdon.txmanager.models import Key, Network
from guerdon.txmanager.repository_keys import deployment, insert_deployment

NOW = datetime.now(UTC)


def found(findings: list[Finding], verdict: Verdict = Verdict.MEND) -> dict[str, str]:
    return {finding.check: finding.message for finding in findings if finding.verdict is verdict}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture
async def wallets(database: Database, settings: Settings) -> str:
    """An installation with its secret; the fingerprint."""
    async with database.platform() as session:
        await insert_deployment(session, uuid4())
        return (await open_wallets(session, key_ring(settings), NOW)).fingerprint()


async def test_an_installation_that_is_right_needs_nothing(database: Database, settings: Settings, wallets: str) -> None:
    findings = await doctor.look(settings, database)
    assert found(findings) == {}
    assert found(findings, Verdict.OK)["wallets' secret"] == f"fingerprint {wallets}"


async def test_s6_a_secret_key_that_is_gone_or_another_is_told(database: Database, settings: Settings, wallets: str) -> None:
    key = settings.data_dir / "secret.key"
    key.rename(key.with_name("elsewhere"))
    assert "the secret key is not there" in found(await doctor.look(settings, database))["wallets' secret"]
    assert not key.exists(), "doctor makes no key"
    key_ring(settings)
    assert "can't be opened" in found(await doctor.look(settings, database))["wallets' secret"]
    key.with_name("elsewhere").rename(key)
    assert found(await doctor.look(settings, database)) == {}


async def test_s21_settings_that_do_not_name_the_installation_are_told_its_name(
    database: Database, settings: Settings, wallets: str
) -> None:
    async with database.platform() as session:
        known = await deployment(session)
    assert known is not None
    (told,) = [one for one in await doctor.look(settings, database) if one.check == "deployment"]
    assert (told.verdict, f"GUERDON_DEPLOYMENT_ID={known.id}" in (told.remedy or "")) == (Verdict.NOTE, True)


async def test_s21_another_deployment_than_the_settings_say_is_told(database: Database, settings: Settings, wallets: str) -> None:
    async with database.platform() as session:
        known = await deployment(session)
    assert known is not None
    right = settings.model_copy(update={"deployment_id": known.id})
    assert found(await doctor.look(right, database)) == {}
    wrong = settings.model_copy(update={"deployment_id": uuid4()})
    assert "nothing will be sent to a chain" in found(await doctor.look(wrong, database))["deployment"]


async def test_work_that_nobody_does_is_told(database: Database, settings: Settings, wallets: str) -> None:
    async with database.platform() as session:
        session.add(WorkRow(kind="payouts.reserve", program_id=PLATFORM_PROGRAM_ID, due_at=NOW - timedelta(minutes=5)))
    assert "s and not done" in found(await doctor.look(settings, database))["work payouts.reserve"]


async def test_a_key_that_is_paused_is_told_with_its_reason(database: Database, settings: Settings, wallets: str) -> None:
    async with database.platform() as session:
        session.add(Network(name="local", chain_id=31337, block_time_ms=2000, created_at=NOW))
        await session.flush()
        paused = {"paused_at": NOW, "pause_reason": "a nonce that we do not know"}
        address = "0x" + "22" * 20
        key = Key(
            id=uuid4(), network="local", purpose="treasury", address=address, secret_encrypted=b"x", created_at=NOW, **paused
        )
        session.add(key)
    told = await doctor.look(settings, database)
    assert found(told)["treasury key"].endswith("is paused: a nonce that we do not know")
    assert found(told, Verdict.NOTE)["worker"] == "nobody signs for local"


async def test_a_redis_that_does_not_answer_is_told(database: Database, settings: Settings, wallets: str, port: int) -> None:
    with_redis = load_settings(data_dir=settings.data_dir, redis_url=f"redis://127.0.0.1:{port}/0")
    assert "does not answer" in found(await doctor.look(with_redis, database))["Redis"]
