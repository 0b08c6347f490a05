"""`make bench` in small: it starts the real parts, measures, and writes its two files. No figure of it is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.__main__ import app

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)


def test_a_quick_run_writes_every_figure_of_what_it_measured(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "singles", "--only", "bulk", "--only", "postings", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    for name in ("singles_64", "singles_256", "bulk_one_program", "bulk_several_programs", "postings_64_one_payer"):
        assert results[name]["value"] > 0
        assert results[name]["limit"] > 0
        assert results[name]["ratio"] == pytest.approx(results[name]["value"] / results[name]["limit"], rel=0.01)
        assert results[name]["aim"] > 0
    assert results["singles_64_p99"]["lower_is_better"] is True
    assert all({"value", "unit", "limit", "ratio", "aim"} <= set(told) for told in results.values())
    assert all(f"`{name}`" in (tmp_path / "RESULTS.md").read_text() for name in results)


def test_settlements_in_small_are_proven_booked_and_not_credited_again(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "settlements", "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    for name in ("settlements_proven", "settlements_booked", "settlements_booked_10x"):
        assert results[name]["value"] > 0
        assert results[name]["limit"] > 0
    assert results["settlements_again_credited"]["value"] == 0
    assert results["settlements_memory_rise"]["aim"] > 0


def test_what_there_is_not_is_refused_with_what_there_is() -> None:
    done = CliRunner().invoke(app, ["--only", "nothing"])
    assert done.exit_code == 2
    assert "singles, bulk" in done.output
