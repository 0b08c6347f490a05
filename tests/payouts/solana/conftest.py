"""The scene of the engine, with a purse in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.payouts.solana.purse import Purse, a_purse
from tests.txmanager.solana.conftest import ledger, scene
from tests.txmanager.solana.scene import Scene

__all__ = ["ledger", "scene"]


@pytest.fixture
async def purse(scene: Scene) -> AsyncIterator[Purse]:
    async with a_purse(scene) as one:
        yield one
