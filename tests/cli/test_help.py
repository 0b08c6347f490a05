"""--help is quick and whole: every command says what it does and has an example that its own parser accepts."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from guerdon.cli.main import app

ROOT = typer.main.get_command(app)


def commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that lead to it."""
    inner: dict[str, Any] | None = getattr(group, "commands", None)
    if inner is None:
        yield path, group
        return
    for name, command in inner.items():
        yield from commands(command, (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_what_it_does_with_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    command = ALL[path]
    assert len(command.help or "") > 10
    assert (command.epilog or "").startswith("Example: ")
    for option in command.params:
        assert option.param_type_name != "option" or option.help, (path, option.name)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_example_is_accepted_by_its_own_command(path: tuple[str, ...]) -> None:
    words = shlex.split((ALL[path].epilog or "").removeprefix("Example: "))
    while words and "=" in words[0]:  # a variable before the command
        del words[0]
    words = words[: words.index(">")] if ">" in words else words
    assert words[0] == "guerdon"
    assert tuple(words[1 : 1 + len(path)]) == path
    ALL[path].make_context("guerdon", words[1 + len(path) :], resilient_parsing=False)


def test_commands_that_print_data_print_json_too() -> None:
    listing = [path for path in ALL if path[-1] in {"list", "show", "verify", "create", "rotate", "set"}]
    assert len(listing) > 8
    for path in listing:
        assert any("--json" in option.opts for option in ALL[path].params), path


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    guerdon = Path(sys.executable).parent / "guerdon"
    started = time.monotonic()
    subprocess.run([guerdon, "--help"], check=True, capture_output=True, timeout=30)
    assert time.monotonic() - started < 5
    code = "import sys, guerdon.cli.main; print([m for m in ('sqlalchemy', 'web3', 'fastapi', 'pydantic') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=30, text=True)
    assert loaded.stdout.strip() == "[]"
