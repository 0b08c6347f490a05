"""`guerdon ledger …`: the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import JsonOption, ProgramOption, print_json, print_table

if TYPE_CHECKING:
    from guerdon.app import Runtime

app = group("ledger", "The books.")


@app.callback()
def ledger() -> None:
    """The books."""


@command(app, "verify", example="guerdon ledger verify")
async def verify_ledger(runtime: Runtime, program: ProgramOption = None, as_json: JsonOption = False) -> None:
    """Reconcile: sums, running balances, funds against reservations, payouts against the chain.

    With --program that program's books alone, without the chain. The exit code is 1 if anything is wrong.
    """
    from guerdon.verification import verify

    program_id = None if program is None else (await program_of(runtime, program)).id
    result = await verify(runtime, program_id)
    if as_json:
        print_json(result.model_dump(mode="json", by_alias=True))
    elif result.consistent:
        typer.echo(f"consistent: {result.programs} program(s), {len(result.checks)} checks")
    else:
        print_table(
            ["check", "program", "subject", "detail"],
            [[one.check, one.program_id, one.subject, one.detail] for one in result.findings],
            empty="",
        )
    if not result.consistent:
        raise typer.Exit(1)
