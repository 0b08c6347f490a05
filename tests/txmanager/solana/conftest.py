"""The scene that tests of the engine for Solana play on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.support.postgres import Urls
from tests.txmanager.solana.scene import Ledger, Scene, a_scene, running_ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path / "solana") as running:
        yield running


@pytest.fixture
async def scene(database: Database, database_urls: Urls, owner: driver.RawConnection, ledger: Ledger) -> AsyncIterator[Scene]:
    async with a_scene(database, database_urls, owner, ledger) as one:
        yield one
