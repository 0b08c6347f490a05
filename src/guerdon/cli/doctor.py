"""`guerdon doctor`: what is missing, unreachable or out of step. The checks are in the package `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from guerdon.cli.commands import DataDirOption, database_of, run_reporting, settings_of
from guerdon.cli.output import CommandError, JsonOption, print_json

if TYPE_CHECKING:
    from guerdon.doctor.findings import Finding
    from guerdon.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("doctor", epilog="Example: guerdon doctor --json")(doctor)


def doctor(as_json: JsonOption = False, data_dir: DataDirOption = None) -> None:
    """Look at everything, and say what is missing, unreachable or out of step, and how to mend it.

    The exit code is 1 if something needs mending. Changes nothing.
    """

    async def look() -> None:
        from guerdon.doctor.findings import Verdict
        from guerdon.kit.logging import configure_logging

        configure_logging("ERROR", "console")
        findings = await _findings(settings_of(data_dir))
        broken = sum(finding.verdict is Verdict.MEND for finding in findings)
        if as_json:
            from dataclasses import asdict

            print_json({"ok": not broken, "findings": [asdict(finding) for finding in findings]})
        else:
            _show(findings, broken)
        if broken:
            raise typer.Exit(1)

    run_reporting(look)


async def _findings(settings: Settings) -> list[Finding]:
    from guerdon.doctor import chain, database, installation, machine, secrets
    from guerdon.doctor.findings import Verdict, note
    from guerdon.kit.database import Database
    from guerdon.local.datadir import DataDir

    findings = machine.look(settings)
    try:
        async with database_of(settings) as (url, _):
            looked = await database.look(url)
            findings += looked
            if any(finding.verdict is Verdict.MEND and finding.check in {"reachable", "migrated"} for finding in looked):
                return [*findings, chain.look_for_anvil()]
            opened = Database(url, pool_size=2)
            try:
                completed = DataDir(settings.data_dir).completed(settings)
                findings += await installation.look(completed, opened)
                findings += await secrets.look(completed, opened)
                findings += await chain.look(completed, opened)
            finally:
                await opened.close()
    except CommandError as error:
        findings += [note(database.AREA, "reachable", error.message, error.remedy), chain.look_for_anvil()]
    return findings


def _show(findings: list[Finding], broken: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from guerdon.doctor.findings import Verdict

    console = Console(highlight=False)
    if not console.is_terminal:
        # Nothing is folded where a program, or a person through `| less`, reads it.
        console = Console(highlight=False, width=240)
    marks = {Verdict.OK: ("✓", "green"), Verdict.NOTE: ("!", "yellow"), Verdict.MEND: ("✗", "bold red")}
    width = max(len(finding.check) for finding in findings)
    for area in dict.fromkeys(finding.area for finding in findings):
        console.print(Text(area, style="bold"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=3, justify="right")
        table.add_column(width=width)
        table.add_column(overflow="fold")
        for finding in findings:
            if finding.area == area:
                mark, style = marks[finding.verdict]
                told = Text(finding.message)
                if finding.remedy is not None:
                    told.append(f"\n→ {finding.remedy}", style="cyan" if finding.verdict is Verdict.MEND else "dim")
                table.add_row(Text(mark, style=style), finding.check, told)
        console.print(table)
    console.print()
    if broken:
        console.print(Text(f"{broken} to mend" if broken > 1 else "one thing to mend", style="bold red"))
    else:
        console.print(Text("nothing to mend", style="green"))
