"""`python -m bench`: measures the product on this machine and writes the figures down (`make bench`)."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import bulk, growth, latency, overload, payouts, postings, settlements, singles, soak
from bench.growth import HISTORIES
from bench.house import House, open_house
from bench.report import FOLDER, BenchError, table
from bench.session import Session
from guerdon.local.supervisor import StartError

Plain = Callable[[Session, House], Awaitable[None]]

WITHOUT_CHAIN: dict[str, Plain] = {
    "singles": singles.measure,
    "bulk": bulk.measure,
    "postings": postings.measure,
    "overload": overload.measure,
    "growth": growth.measure,
}
WITH_CHAIN: dict[str, Plain] = {"latency": latency.measure, "soak": soak.measure}
IN_OWN_HOUSES: dict[str, Callable[[Session], Awaitable[None]]] = {
    "payouts": payouts.measure,
    "settlements": settlements.measure,
}
NAMES = (*WITHOUT_CHAIN, *IN_OWN_HOUSES, *WITH_CHAIN)

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command(epilog="Example: python -m bench --only singles --quick")
def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Measure only this, one of: {', '.join(NAMES)}.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Everything in small: proves that the bench works.")] = False,
    history: Annotated[int, typer.Option(help="Times 100,000 events that are there before: 1, 10 or 100.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Where results.json and RESULTS.md go; a quick run writes none by itself.")
    ] = None,
) -> None:
    """Measure the product on this machine: its real processes, every answered event counted in the database.

    Everything runs on this machine's cores, the load client included, so leave it alone meanwhile.
    """
    names = only or list(NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown or history not in HISTORIES:
        raise typer.BadParameter(f"choose from {', '.join(NAMES)}" if unknown else "choose 1, 10 or 100")
    # Thousands of connections in one client, which inherits it.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    console = Console(soft_wrap=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        session = Session(quick, history, console, progress, progress.add_task("starting", total=len(names)))
        try:
            asyncio.run(_measure([name for name in NAMES if name in names], session))
        except (BenchError, StartError) as error:
            remedy = f"\n{error.remedy}\n{error.said}" if isinstance(error, StartError) else ""
            console.print(f"error: {error}{remedy}", style="bold red", markup=False)
            raise typer.Exit(1) from error
    folder = out or (None if quick else FOLDER)
    if folder is not None:
        session.report.write(folder)
    console.print(table(session.report.figures))


async def _measure(names: Sequence[str], session: Session) -> None:
    """Each in a house of its own; in small, those that need the same one share it."""
    for measurements, chain in ((WITHOUT_CHAIN, False), (WITH_CHAIN, True)):
        wanted = [name for name in names if name in measurements]
        for group in [wanted] if session.quick else [[name] for name in wanted]:
            if group:
                session.step("starting a house")
                async with open_house(chain=chain) as house:
                    session.report.postgres = str(await house.superuser.fetchval("show server_version"))
                    for name in group:
                        await _one(name, session, measurements[name](session, house))
    for name in names:
        if name in IN_OWN_HOUSES:
            await _one(name, session, IN_OWN_HOUSES[name](session))


async def _one(name: str, session: Session, measuring: Awaitable[None]) -> None:
    session.console.print(name, style="bold")
    await measuring
    session.progress.advance(session.task)


if __name__ == "__main__":
    app()
