"""`guerdon alert …`: what needs an operator's eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import command, group, program_of
from guerdon.cli.output import JsonOption, LimitOption, ProgramOption, cell, parse_id, print_json

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.notices.service import AlertView

app = group("alert", "Alerts: what needs an operator's eye.")


@command(app, "list", example="guerdon alert list")
async def list_alerts(
    runtime: Runtime,
    program: ProgramOption = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those that are closed too.")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show open alerts, oldest first, each with what to do about it."""
    from guerdon.notices.service import alerts_page

    program_id = None if program is None else (await program_of(runtime, program)).id
    async with runtime.database.platform() as session:
        views = (await alerts_page(session, None, limit, program_id=program_id, resolved=everything))[:limit]
    if as_json:
        print_json([view.model_dump(mode="json", by_alias=True) for view in views])
        return
    if not views:
        typer.echo("All is well: there is no open alert." if not everything else "There has been no alert.")
    for view in views:
        _show(view)


def _show(view: AlertView) -> None:
    """One alert in four lines: how bad, which, since when; what is wrong; what to do; how to close it by hand."""
    from rich.console import Console
    from rich.text import Text

    style = {"critical": "bold red", "warning": "yellow"}.get(view.severity, "cyan")
    seen = "once" if view.occurrences == 1 else f"{view.occurrences:,} times, last {cell(view.last_seen_at)}"
    told = Text.assemble((f"{view.severity:<8}", style), "  ", (view.kind, "bold"), f"  since {cell(view.created_at)}, {seen}")
    if view.resolved_at is not None:
        told.append(f", over {cell(view.resolved_at)}")
    told.append(f"\n  {view.message}")
    told.append(f"\n  → {view.remedy}", style="cyan")
    told.append(f"\n  id {view.id}\n", style="dim")
    # What people copy is never broken by us over lines; a terminal folds it by itself.
    Console(highlight=False, soft_wrap=True).print(told)


@command(app, "resolve", example="guerdon alert resolve 01a1fdef-b400-751e-9289-d658a22ff1c0")
async def resolve(runtime: Runtime, alert_id: Annotated[str, typer.Argument(help="As `alert list` has it.")]) -> None:
    """Close an alert; it opens anew when its cause is seen again."""
    from guerdon.notices.service import resolve_alert

    wanted = parse_id(alert_id)
    async with runtime.database.platform() as session:
        view = await resolve_alert(session, wanted, program_id=None)
    typer.echo(f"closed: {view.message}")
