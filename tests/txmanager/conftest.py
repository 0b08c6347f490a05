"""The scene that most tests of txmanager play on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guerdon.kit import driver
from guerdon.kit.database import Database
from tests.support.postgres import Urls
from tests.txmanager.node import Node, running_node
from tests.txmanager.scene import Scene, a_scene


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with running_node() as running:
        yield running


@pytest.fixture
async def scene(database: Database, database_urls: Urls, owner: driver.RawConnection, node: Node) -> AsyncIterator[Scene]:
    async with a_scene(database, database_urls, owner, node) as one:
        yield one
