"""The scene that tests of settlements play in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from guerdon.kit.database import Database
from tests.activity.settlements.scene import Scene, a_scene
from tests.support.postgres import Urls


@pytest.fixture
async def scene(database: Database, database_urls: Urls) -> AsyncIterator[Scene]:
    async with a_scene(database, database_urls) as one:
        yield one
