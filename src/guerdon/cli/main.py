"""`guerdon`: all groups of commands put together."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from guerdon import __version__

app = typer.Typer(
    name="guerdon",
    help="Rewards people with tokens. Start everything on this machine: guerdon up",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)

GROUPS = (
    "programs", "rules", "volume", "campaigns", "sources", "settlement_assets", "addresses", "assets", "networks", "contracts",
    "keys", "treasuries", "payout_options", "claims", "payouts", "drops", "admin_keys", "events", "alerts", "ledger", "secret",
    "settlements",
)  # fmt: skip
"""Modules of this package whose `app` is a group."""
COMMANDS = ("run", "demo", "status", "doctor", "openapi")
"""Modules whose `register` adds commands to the top level."""


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Rewards people with tokens."""


for _name in GROUPS:
    app.add_typer(import_module(f"guerdon.cli.{_name}").app)
# Adds its command to the group of programs.
import_module("guerdon.cli.funding")
for _name in COMMANDS:
    import_module(f"guerdon.cli.{_name}").register(app)


def main() -> None:
    """The console script."""
    app(prog_name="guerdon", args=sys.argv[1:])
