"""The short form of the proof of claims (SAFETY S18)."""

from __future__ import annotations

from pathlib import Path

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.payouts.solana.purse import a_purse
from tests.prove.claims import Plan, prove
from tests.support.postgres import Urls
from tests.txmanager.solana.scene import a_scene, running_ledger


async def test_s18_claims_are_paid_once_however_often_the_worker_is_killed(
    database: Database, database_urls: Urls, owner: driver.RawConnection, tmp_path: Path
) -> None:
    async with (
        running_ledger(tmp_path / "solana") as node,
        a_scene(database, database_urls, owner, node) as scene,
        a_purse(scene, stock=10**15, points=10**12) as purse,
    ):
        proof = await prove(purse, Plan(count=60, kills=3, seed=1), lambda _: None)
    assert proof.complaints == []
    assert proof.kills > 0
