"""A private key is never an argument: every user of the machine can list those."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guerdon.cli.main import app
from guerdon.cli.output import CommandError, private_key_of
from tests.cli.test_help import ALL

KEY = "0x" + "1f" * 32


def test_no_option_takes_a_private_key_itself() -> None:
    options = {name for command in ALL.values() for parameter in command.params for name in parameter.opts}
    assert {name for name in options if name.endswith("-key")} == set()
    assert {"--private-key-file", "--deployer-key-file"} <= options


def test_a_key_comes_from_a_file_from_stdin_or_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", encoding="utf-8")
    assert private_key_of(str(file), "GUERDON_TREASURY_KEY") == KEY
    monkeypatch.setattr("sys.stdin", io.StringIO(f" {KEY}\n"))
    assert private_key_of("-", "GUERDON_TREASURY_KEY") == KEY
    assert private_key_of(None, "GUERDON_TREASURY_KEY") is None
    monkeypatch.setenv("GUERDON_TREASURY_KEY", KEY)
    assert private_key_of(None, "GUERDON_TREASURY_KEY") == KEY
    with pytest.raises(CommandError, match="can't be read"):
        private_key_of(str(tmp_path / "none"), "GUERDON_TREASURY_KEY")


@pytest.mark.parametrize(
    "arguments", [("treasury", "create", "LTZ", "--private-key", KEY), ("contracts", "deploy", "--deployer-key", KEY)]
)
def test_a_key_as_an_argument_is_refused(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 2
    assert "No such option" in result.output
