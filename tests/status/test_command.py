"""`guerdon status` on a real database, without a terminal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guerdon.cli.main import app
from tests.support.postgres import Urls


@pytest.fixture(autouse=True)
def environment(database_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("GUERDON_", "DATABASE_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_urls.app)
    monkeypatch.setenv("GUERDON_DATA_DIR", str(tmp_path / "data"))


def test_it_is_printed_once_where_nobody_watches() -> None:
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0, result.output
    assert "Nothing runs: start everything on this machine with `guerdon up`" in " ".join(result.stdout.split())
    assert "\x1b" not in result.stdout


def test_json_is_for_machines() -> None:
    result = CliRunner().invoke(app, ["status", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["processes"] == []
    assert told["alertsCount"] == 0
    assert told["nextSteps"]


def test_a_database_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://guerdon_app@127.0.0.1:{port}/nothing")
    result = CliRunner().invoke(app, ["status", "--once"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
