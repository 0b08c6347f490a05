"""One local Solana for all tests here, whose slots pass when a test says so, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from guerdon.chains.solana.client import SolanaClient
from tests.support.local_solana import SolanaInThread, running_solana


@pytest.fixture(scope="session")
def solana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SolanaInThread]:
    with running_solana(tmp_path_factory.mktemp("solana"), slot_ms=3_600_000) as running:
        yield running


@pytest.fixture
async def client(solana: SolanaInThread) -> AsyncIterator[SolanaClient]:
    async with SolanaClient(solana.url) as opened:
        yield opened
