"""`guerdon up`: starts the stack, shows what runs where, and stops it in order when asked to.

What is started is `stack.py`; what it looks like is `screen.py`.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from guerdon import __version__
from guerdon.kit.logging import configure_logging
from guerdon.local.datadir import refuse_used_port
from guerdon.local.screen import RowState, Screen
from guerdon.local.stack import CHAIN, CONTRACTS, DATABASE, ROWS, SOLANA, WEB, WORKER, Stack
from guerdon.local.supervisor import StartError
from guerdon.settings import Settings, default_data_dir, ensure_data_dir

Result = TypeVar("Result")

_STOP_SECONDS = 60
"""However long each part may take by itself, stopping takes no longer than this before the rest is killed."""


@dataclass(slots=True)
class Started:
    """What runs, for those who go on from there."""

    stack: Stack
    screen: Screen
    stop_asked: asyncio.Event
    admin_key: str | None
    """The platform's, if it was made just now: it is shown this once."""
    addresses: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


def run_up(settings: Settings) -> int:
    """Run until Ctrl-C or SIGTERM; the exit code."""

    async def run() -> int:
        screen = Screen()
        try:
            async with everything(settings, screen) as started:
                show(started)
                await started.stop_asked.wait()
                screen.line()
                screen.line(
                    "stopping: requests and transactions under way are finished first (Ctrl-C again: at once)", style="dim"
                )
        except StartError as error:
            screen.failed(error.message, error.remedy, error.said)
            return 1
        screen.line("stopped")
        return 0

    return asyncio.run(run())


@asynccontextmanager
async def everything(settings: Settings, screen: Screen) -> AsyncGenerator[Started]:
    """The whole stack for the time of a block, started and ready. Raises `StartError`."""
    ensure_data_dir(settings)
    stack = Stack(settings, screen.happened)
    stack.data.make()
    with stack.data.locked(), (stack.data.logs / "up.log").open("a", encoding="utf-8") as log:
        # The terminal is for people; what the parts used in this process say goes where the others' words go.
        configure_logging(settings.log_level, "console", log)
        refuse_used_port(settings.host, settings.port, "--port")
        stop_asked = asyncio.Event()
        with _signals(stop_asked, stack, screen):
            screen.begin(f"Guerdon {__version__}  ·  {settings.data_dir}", ROWS)
            try:
                started = await until_asked(_start(stack, screen, stop_asked), stop_asked)
                screen.end()
                if started is not None:
                    yield started
            finally:
                screen.end()
                await _stop(stack, screen)


async def _start(stack: Stack, screen: Screen, stop_asked: asyncio.Event) -> Started:
    database = asyncio.create_task(_row(screen, DATABASE, "starting", stack.start_database))
    chain = asyncio.create_task(_row(screen, CHAIN, "starting", stack.start_chain))
    solana = asyncio.create_task(_row(screen, SOLANA, "starting", stack.start_solana))
    await _all(database, chain, solana)
    stack.tell_endpoints()

    async def start_worker() -> str:
        await stack.start_worker()
        return f"log {stack.data.logs / 'worker.log'}"

    async def start_web() -> str:
        await stack.start_web()
        return stack.web_url

    worker = asyncio.create_task(_row(screen, WORKER, "starting", start_worker))
    web = asyncio.create_task(_row(screen, WEB, "starting", start_web))
    contracts = asyncio.create_task(_set_up(stack, screen))
    await _all(worker, web, contracts)
    admin_key, addresses = contracts.result()
    return Started(stack, screen, stop_asked, admin_key, addresses)


async def _set_up(stack: Stack, screen: Screen) -> tuple[str | None, list[tuple[str, str]]]:
    """Contracts, treasury and the first admin key; what is there already is left as it is."""
    began = time.monotonic()

    def tell(sentence: str) -> None:
        screen.row(CONTRACTS, RowState.STARTING, sentence)

    tell("loading")
    # Heavy, and the other rows shall not wait for it.
    module = await asyncio.to_thread(import_module, "guerdon.local.bootstrap")
    async with stack.hurrying():
        admin_key, addresses = await module.bootstrap(stack.settings, stack.funder, tell)
    screen.row(CONTRACTS, RowState.READY, "token, minter, distributor and treasury are in place", time.monotonic() - began)
    return admin_key, addresses


async def _row(screen: Screen, name: str, detail: str, start: Callable[[], Awaitable[str]]) -> None:
    began = time.monotonic()
    screen.row(name, RowState.STARTING, detail)
    try:
        where = await start()
    except StartError as error:
        screen.row(name, RowState.FAILED, error.message)
        raise
    screen.row(name, RowState.READY, where, time.monotonic() - began)


async def _all(*tasks: asyncio.Task[object]) -> None:
    """Wait for all; if one fails the others are given up and its error is raised."""
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def until_asked(work: Coroutine[Any, Any, Result], stop_asked: asyncio.Event) -> Result | None:
    """What `work` returns, or None if somebody asked to stop before: then it is given up."""
    working = asyncio.create_task(work)
    asked = asyncio.create_task(stop_asked.wait())
    try:
        await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        return None
    finally:
        for task in (working, asked):
            task.cancel()
        await asyncio.gather(working, asked, return_exceptions=True)


@contextmanager
def _signals(stop_asked: asyncio.Event, stack: Stack, screen: Screen) -> Generator[None]:
    loop = asyncio.get_running_loop()

    def asked() -> None:
        if stop_asked.is_set():
            screen.line("killing what is left", style="bold red")
            stack.supervisor.kill()
        stop_asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, asked)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _stop(stack: Stack, screen: Screen) -> None:
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await stack.stop()
    except TimeoutError:
        screen.line(f"not everything stopped within {_STOP_SECONDS} s: killing the rest", style="bold red")
        stack.supervisor.kill()


def _command() -> str:
    """How this program is called from where the user stands."""
    if shutil.which("guerdon") is not None or Path(sys.argv[0]).name != "guerdon":
        return "guerdon"
    called = os.path.relpath(sys.argv[0])
    return called if len(called) < len(sys.argv[0]) else sys.argv[0]


def show(started: Started) -> None:
    """What runs where, and what to do next."""
    screen, stack = started.screen, started.stack
    settings = stack.settings
    screen.fields(
        "Where",
        [
            ("API", stack.web_url),
            ("chain", f"{stack.rpc_url}  (chain id 31337)"),
            ("solana", f"{stack.solana_url}  (network solana-local)"),
            ("logs", str(stack.data.logs)),
            *started.addresses,
        ],
    )
    if started.admin_key is not None:
        screen.heading("Platform admin key, shown this once: send it as `Authorization: Bearer KEY`")
        screen.line(f"  {started.admin_key}", style="bold yellow")
    command = _command()
    option = "" if settings.data_dir == default_data_dir() else f" --data-dir {shlex.quote(str(settings.data_dir))}"
    screen.fields(
        "Next",
        [
            ("a program", f'{command} program create --name "Coffee" --domain coffee.example{option}'),
            ("its funds", f"{command} program fund --amount 100000{option}"),
            ("all is well?", f"{command} doctor{option}"),
        ],
    )
    screen.line()
    screen.line("running; Ctrl-C stops everything", style="dim")
