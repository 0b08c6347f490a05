"""The house that tests of payouts live in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.payouts.house import House, a_house
from tests.support.postgres import Urls
from tests.txmanager.node import running_node


@pytest.fixture
async def house(database: Database, database_urls: Urls, owner: driver.RawConnection) -> AsyncIterator[House]:
    """Contracts, the asset LTZ and its treasury, on a chain that makes ten blocks a second."""
    async with running_node("--no-mining") as node, a_house(database, database_urls, owner, node) as one, one.mining():
        async with one.engine():
            await one.bootstrap()
        yield one
