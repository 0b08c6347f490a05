"""One site for all tests here, in the session's own event loop: its proxies live in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.prove.site import Site


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site() -> AsyncIterator[Site]:
    """Everything runs; each test leaves it running and settled."""
    async with Site.open() as site:
        yield site
