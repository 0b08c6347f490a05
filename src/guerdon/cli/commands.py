"""What every command is made with: its connection to the installation, its example, and its errors.

@command(app, "list", example="guerdon program list --json")
async def list_programs(runtime: Runtime, as_json: JsonOption = False) -> None:
    '''Show programs.'''
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from guerdon.cli.output import CommandError, fail

if TYPE_CHECKING:
    from guerdon.app import Runtime
    from guerdon.programs.models import Program
    from guerdon.settings import Settings

DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="The data directory of the installation on this machine; DATABASE_URL goes first.",
        rich_help_panel="Installation",
    ),
]
EMBEDDED = "postgres"
"""The folder of the embedded PostgreSQL in the data directory."""


def group(name: str, summary: str) -> typer.Typer:
    """A group of commands; without one of them it prints its help."""
    return typer.Typer(name=name, help=summary, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def command(
    app: typer.Typer, name: str, *, example: str
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., Awaitable[None]]]:
    """Register an async function as a command. Its first parameter is the open `Runtime`; the rest are its options."""

    def register(function: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        def run(*, data_dir: Path | None = None, **options: Any) -> None:
            async def connected() -> None:
                async with installation(data_dir) as runtime:
                    await function(runtime, **options)

            run_reporting(connected)

        _take_options(run, function)
        app.command(name, help=inspect.cleandoc(function.__doc__ or ""), epilog=f"Example: {example}")(run)
        return function

    return register


def _take_options(run: Callable[..., None], function: Callable[..., Awaitable[None]]) -> None:
    """Give `run` the options of `function`, and `--data-dir`."""
    hints = get_type_hints(function, globalns={**function.__globals__, "Runtime": Any}, include_extras=True)
    options = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    ]
    place = inspect.Parameter("data_dir", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=DataDirOption)
    run.__signature__ = inspect.Signature([*options, place])  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*options, place]}
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__


def run_reporting(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work`; what goes wrong is printed as one sentence and what to do, and the exit code is 1."""

    async def main() -> None:
        await work()

    reporting(lambda: asyncio.run(main()))()


def reporting(function: Callable[..., None]) -> Callable[..., None]:
    """The same for a function that is not async."""

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except CommandError as error:
            fail(error.message, error.remedy)
        except (KeyboardInterrupt, typer.Exit, typer.Abort):
            raise
        except Exception as error:
            told = explained(error)
            if told is None:
                raise
            fail(*told)

    return run


def explained(error: Exception) -> tuple[str, str | None] | None:
    """What to tell of an error, and what to do about it; None if it is a fault of ours."""
    from pydantic import ValidationError

    from guerdon.kit.errors import GuerdonError
    from guerdon.kit.postgres import PostgresError
    from guerdon.kit.postgres_host import HostError
    from guerdon.kit.secrets import SecretError

    match error:
        case ValidationError():
            problems = [f"{_option(one['loc'])}: {one['msg']}" for one in error.errors()]
            return "; ".join(problems), "see --help for what is accepted"
        case GuerdonError():
            return error.message, None
        case SecretError() | PostgresError() | HostError():
            return str(error), None
        case _ if hasattr(error, "message") and hasattr(error, "remedy"):
            return str(error.message), str(error.remedy)  # pyright: ignore[reportUnknownArgumentType, reportAttributeAccessIssue, reportUnknownMemberType]
        case _:
            return None


def _option(place: Sequence[int | str]) -> str:
    """A field as it is spelled on the command line."""
    return ".".join(str(part) for part in place).replace("_", "-") or "input"


def settings_of(data_dir: Path | None) -> Settings:
    """The settings of this installation. Raises `CommandError` for those that make no sense."""
    from guerdon.settings import load_settings

    return load_settings(data_dir=data_dir)


@asynccontextmanager
async def installation(data_dir: Path | None) -> AsyncGenerator[Runtime]:
    """The open installation: by DATABASE_URL, else the one that runs in the data directory, else its database alone,
    started for as long as the block lasts.
    """
    from guerdon.app import open_runtime
    from guerdon.kit.logging import configure_logging
    from guerdon.local.datadir import DataDir

    given = settings_of(data_dir)
    settings = DataDir(given.data_dir).completed(given)
    # A command says what it has to say itself; the log of its parts only matters when something is wrong.
    configure_logging("WARNING", "console")
    async with database_of(given) as (app_url, _):
        from pydantic import SecretStr

        async with open_runtime(settings.model_copy(update={"database_url": SecretStr(app_url)})) as runtime:
            yield runtime


@asynccontextmanager
async def database_of(settings: Settings) -> AsyncGenerator[tuple[str, str | None]]:
    """The addresses of the database, of the application's role and of the owner's where that is known."""
    if settings.database_url is not None:
        owner = settings.database_owner_url
        yield settings.database_url.get_secret_value(), None if owner is None else owner.get_secret_value()
        return
    from guerdon.kit.postgres import AlreadyRunningError, EmbeddedPostgres
    from guerdon.local.datadir import DataDir
    from guerdon.migrations.run import upgrade

    told = DataDir(settings.data_dir).completed(settings).database_url
    if told is not None and await _answers(told.get_secret_value()):
        yield told.get_secret_value(), None
        return
    folder = settings.data_dir / EMBEDDED
    if not folder.exists():
        message = f"there is no installation in {settings.data_dir}"
        raise CommandError(message, "start one with `guerdon up`, or name another with --data-dir or DATABASE_URL")
    server = EmbeddedPostgres(folder)
    try:
        await server.start()
    except AlreadyRunningError as error:
        raise CommandError(f"{error}, and does not answer yet", "try again in a moment") from error
    try:
        owner_url = server.owner_dsn()
        await upgrade(owner_url.replace("postgresql://", "postgresql+asyncpg://", 1))
        yield server.app_dsn(), owner_url
    finally:
        await server.stop()


async def _answers(url: str) -> bool:
    from guerdon.kit.database import Database
    from guerdon.kit.errors import DatabaseUnavailableError

    database = Database(url, pool_size=1)
    try:
        await database.ping()
    except DatabaseUnavailableError:
        return False
    finally:
        await database.close()
    return True


async def program_of(runtime: Runtime, name: str | None) -> Program:
    """The program that an option names, or the only one there is."""
    from guerdon.programs.administration import Operator, program_of_request

    async with runtime.database.platform() as session:
        return await program_of_request(session, Operator.of_this_machine(), (name,))
