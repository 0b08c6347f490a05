"""Commands that texts tell people to run, parsed by the command line itself."""

from __future__ import annotations

import re
import shlex
from typing import Any

import typer.main

from guerdon.cli.main import app
from tests.support.alert_calls import PLACEHOLDER

ROOT: Any = typer.main.get_command(app)
AN_ID = "01a1fdef-b400-751e-9289-d658a22ff1c0"


def commands_in(text: str) -> list[list[str]]:
    return [shlex.split(words) for words in re.findall(r"`(guerdon [^`]+)`", text)]


def accept(words: list[str]) -> None:
    """Parse a command as the command line would, with something in every place that is filled in."""
    filled = [
        "1" if before.startswith("--") and (word == PLACEHOLDER or word.isupper()) else word
        for before, word in zip(["", *words], words, strict=False)
    ]
    arguments = [word.replace(PLACEHOLDER, AN_ID) for word in filled[1:]]
    command: Any = ROOT
    while (inner := getattr(command, "commands", None)) is not None:
        assert arguments, words
        assert arguments[0] in inner, words
        command = inner[arguments.pop(0)]
    command.make_context("guerdon", arguments, resilient_parsing=False)
