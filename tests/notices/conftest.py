"""The application on the test's database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.api import Running, running, settings_for
from tests.support.postgres import Urls


@pytest.fixture
async def api(database_urls: Urls) -> AsyncIterator[Running]:
    async with running(settings_for(database_urls.app)) as started:
        yield started
