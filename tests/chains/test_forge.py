"""The contracts' own tests: unit, fuzz and invariant, in Solidity, on forge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CONTRACTS = Path(__file__).parents[2] / "contracts"


@pytest.mark.slow
def test_the_contracts_pass_their_own_tests() -> None:
    run = subprocess.run(
        ["npm", "run", "--silent", "test"], cwd=CONTRACTS, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "tests passed, 0 failed, 0 skipped" in run.stdout
