"""`guerdon up`, `web`, `worker` and `migrate`: everything on one machine, or each role by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from guerdon.cli.commands import DataDirOption, database_of, reporting, run_reporting, settings_of
from guerdon.cli.output import CommandError

if TYPE_CHECKING:
    from guerdon.settings import Settings

PortOption = Annotated[int | None, typer.Option("--port", min=0, max=65535, help="The port to listen on.")]
HostOption = Annotated[str | None, typer.Option("--host", help="The address to listen on.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the top level."""
    app.command("up", epilog="Example: guerdon up --port 8080 --data-dir ./data")(reporting(up))
    app.command("web", epilog="Example: guerdon web --role events --host 0.0.0.0 --port 8080")(reporting(web))
    app.command("worker", epilog="Example: guerdon worker")(reporting(worker))
    app.command("migrate", epilog="Example: DATABASE_OWNER_URL=postgresql://guerdon_owner@db/guerdon guerdon migrate")(
        reporting(migrate)
    )


def up(port: PortOption = None, host: HostOption = None, data_dir: DataDirOption = None) -> None:
    """Start everything on this machine: PostgreSQL, a local EVM chain with its contracts, a local Solana, web and worker.

    Goes on where it was left, however that was. Ctrl-C stops it in order, a second one at once.
    """
    from guerdon.local.up import run_up
    from guerdon.settings import load_settings

    raise typer.Exit(run_up(load_settings(port=port, host=host, data_dir=data_dir)))


def web(
    role: Annotated[str, typer.Option("--role", help="What it serves: all, events or admin.")] = "all",
    port: PortOption = None,
    host: HostOption = None,
    share_port: Annotated[
        bool,
        typer.Option(
            "--share-port",
            help="Let several web processes of this machine listen on the same port, to replace one without a gap.",
        ),
    ] = False,
    data_dir: DataDirOption = None,
) -> None:
    """Serve the API. SIGTERM: /ready says no, running requests end, then the process does."""
    from guerdon.app import WebRole, create_app
    from guerdon.kit.logging import configure_logging
    from guerdon.kit.serving import Draining, listen, serve
    from guerdon.local.readiness import announce_ready
    from guerdon.settings import load_settings

    if role not in set(WebRole):
        raise CommandError(f"there is no role {role}", f"choose one of {', '.join(WebRole)}")
    settings = _connected(load_settings(port=port, host=host, data_dir=data_dir))
    configure_logging(settings.log_level, settings.effective_log_format.value)
    draining = Draining()
    app = create_app(settings, role=WebRole(role), draining=draining)
    with listen(settings.host, settings.port, share_port=share_port) as sock:
        started = serve(
            app,
            sock,
            draining=draining,
            drain_seconds=settings.drain_seconds,
            shutdown_seconds=settings.shutdown_seconds,
            on_ready=announce_ready,
            direct=app.direct,
        )
    if not started:
        raise typer.Exit(1)


def worker(data_dir: DataDirOption = None) -> None:
    """Do the work: payouts, chain transactions, funding. As many as you like may run at once. SIGTERM ends it in order."""
    import asyncio
    import signal

    import uvloop

    from guerdon.app import open_runtime, run_worker
    from guerdon.kit.logging import configure_logging
    from guerdon.local.readiness import announce_ready
    from guerdon.settings import load_settings

    settings = _connected(load_settings(data_dir=data_dir))
    configure_logging(settings.log_level, settings.effective_log_format.value)

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def asked_to_stop() -> None:
            if stop.is_set():
                raise SystemExit(1)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked_to_stop)
        async with open_runtime(settings) as runtime:
            announce_ready()
            await run_worker(runtime, stop)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())


def migrate(data_dir: DataDirOption = None) -> None:
    """Bring the database to the schema of this release. Safe to run at once and again."""
    from guerdon.kit.database import plain_dsn
    from guerdon.migrations.run import revisions, upgrade

    settings = settings_of(data_dir)

    async def bring_up() -> None:
        if settings.database_owner_url is not None:
            await bring_to_head(settings.database_owner_url.get_secret_value())
            return
        async with database_of(settings) as (_, owner_url):
            if owner_url is None:
                raise CommandError(
                    "the owner of the tables is not known",
                    "set DATABASE_OWNER_URL to the same database as the role that owns them",
                )
            await bring_to_head(owner_url)

    async def bring_to_head(owner_url: str) -> None:
        url = f"postgresql+asyncpg://{plain_dsn(owner_url).removeprefix('postgresql://')}"
        before, wanted = await revisions(url)
        await upgrade(url)
        typer.echo(f"at revision {wanted}" + ("" if before == wanted else f", from {before or 'an empty database'}"))

    run_reporting(bring_up)


def _connected(settings: Settings) -> Settings:
    """The settings with the database and the chain of the `guerdon up` in the data directory, where none are given."""
    from guerdon.local.datadir import DataDir

    completed = DataDir(settings.data_dir).completed(settings)
    if completed.database_url is None:
        raise CommandError(
            f"no database is given, and none runs in {settings.data_dir}",
            "set DATABASE_URL, or start everything on this machine with `guerdon up`",
        )
    return completed
