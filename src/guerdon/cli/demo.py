"""`guerdon demo`: real purchases become tokens in wallets, on this machine. What happens is in the package `demo`."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import DataDirOption, reporting

if TYPE_CHECKING:
    from guerdon.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command to the top level."""
    app.command("demo", epilog="Example: guerdon demo --exit --limit 3000 --report r.json")(reporting(demo))


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="End when all is delivered, instead of leaving everything running.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first so many purchases.")] = None,
    report: Annotated[Path | None, typer.Option("--report", dir_okay=False, help="Write the outcome as JSON.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The port of the API; else the first free one from 8080.")
    ] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Replay 69,659 purchases of a music store as signed events, and pay one token for each whole dollar.

    Starts what `guerdon up` starts, in a data directory of its own: run again, it goes on there and books nothing twice. With
    --exit and without --data-dir the directory is temporary, and removed at the end.
    """
    from guerdon.demo.run import Wishes, run_demo
    from guerdon.local.datadir import DataDir, free_port
    from guerdon.settings import default_data_dir, load_settings

    wishes = Wishes(limit, report, leave)
    temporary = leave and data_dir is None
    if temporary:
        data_dir = Path(tempfile.gettempdir()) / f"guerdon-demo-{secrets.token_hex(4)}"
    elif data_dir is None:
        data_dir = default_data_dir()
        data_dir = data_dir.with_name(f"{data_dir.name}-demo")
    settings = _on_its_own(load_settings(data_dir=data_dir))
    settings = settings.model_copy(update={"port": free_port(settings.host, settings.port) if port is None else port})
    code = run_demo(settings, wishes)
    if temporary and code == 0:
        DataDir(settings.data_dir).remove()
    raise typer.Exit(code)


def _on_its_own(settings: Settings) -> Settings:
    """Whatever the environment names: the demo never writes into another installation's database."""
    return settings.model_copy(update={"database_url": None, "database_owner_url": None, "redis_url": None})
