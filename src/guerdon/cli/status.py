"""`guerdon status`: what goes on now, alive in the terminal. What it reads is `status/snapshot.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import DataDirOption, database_of, run_reporting, settings_of
from guerdon.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.kit.database import Database
    from guerdon.status.views import Status


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("status", epilog="Example: guerdon status --once")(status)


def status(
    *,
    once: Annotated[bool, typer.Option("--once", help="Print it once; so it is too where no person watches.")] = False,
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds from one look to the next.")] = 2,
    as_json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Show what goes on now: processes, reports, payouts by state, chains, keys, treasuries, alerts, and what to do next.

    Refreshes until Ctrl-C. It reads the database, and asks web processes whether they are ready. Changes nothing.
    """

    async def show() -> None:
        from rich.console import Console

        from guerdon.kit.database import Database
        from guerdon.kit.logging import configure_logging
        from guerdon.operations import wait_for_schema
        from guerdon.status.screen import print_once
        from guerdon.status.snapshot import read

        configure_logging("ERROR", "console")
        async with database_of(settings_of(data_dir)) as (url, _):
            database = Database(url, pool_size=2)
            try:
                await wait_for_schema(database, seconds=2)
                console = Console(highlight=False)
                if as_json:
                    print_json((await read(database)).model_dump(mode="json", by_alias=True))
                elif once or not console.is_terminal:
                    print_once(await read(database), console)
                else:
                    await _watch(database, console, every)
            finally:
                await database.close()

    try:
        run_reporting(show)
    except KeyboardInterrupt:
        raise typer.Exit from None


async def _watch(database: Database, console: Console, every: float) -> None:
    """Draw until interrupted; while the database is away, what was last seen stays, and says so."""
    import asyncio

    from rich.live import Live

    from guerdon.kit.errors import DatabaseUnavailableError
    from guerdon.status.screen import view
    from guerdon.status.snapshot import read

    footer = f"every {every:g} s, until Ctrl-C"
    seen: Status = await read(database)
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="ellipsis") as live:
        warning = None
        while True:
            live.update(view(seen, width=console.width, footer=footer, warning=warning), refresh=True)
            await asyncio.sleep(every)
            try:
                seen, warning = await read(database), None
            except DatabaseUnavailableError:
                warning = "The database does not answer; what is below was so then."
