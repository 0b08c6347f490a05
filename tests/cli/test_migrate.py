"""`guerdon migrate`: the owner's address is all it needs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guerdon.cli.main import app
from tests.support.postgres import Urls


def test_an_empty_database_is_brought_to_the_newest_schema_and_stays_there(
    blank_database_urls: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in os.environ:
        if name.startswith(("GUERDON_", "DATABASE_", "REDIS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_OWNER_URL", blank_database_urls.owner)
    monkeypatch.setenv("GUERDON_DATA_DIR", str(tmp_path / "nowhere"))
    first, second = (CliRunner().invoke(app, ["migrate"]) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert "from an empty database" in first.output
    assert "from" not in second.output
