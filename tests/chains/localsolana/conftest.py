"""One local Solana for all tests here. Its slots pass when a test says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.local_solana import SolanaInThread, running_solana


@pytest.fixture(scope="session")
def solana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SolanaInThread]:
    with running_solana(tmp_path_factory.mktemp("solana"), slot_ms=3_600_000) as running:
        yield running
