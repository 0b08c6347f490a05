"""The application on the test's database, with one program."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.api import Running, running, settings_for
from tests.support.postgres import Urls

OWN = "https://rewards.example.com"
PAGE = "https://shop.acme.example"


@pytest.fixture
async def api(database_urls: Urls) -> AsyncIterator[Running]:
    settings = settings_for(database_urls.app, public_url=OWN, rate_limit_sign_in_a_minute=1000)
    async with running(settings) as started:
        yield started


@pytest.fixture
async def program(api: Running) -> dict[str, Any]:
    return await api.program("Acme", domains=["shop.acme.example"])
