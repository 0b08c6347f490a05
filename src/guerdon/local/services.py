"""The kinds of service that a `Supervisor` keeps: a program that says when it is ready, and the embedded PostgreSQL.

Which services there are, with which settings and in which order, is in `stack.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from guerdon.chains.anvil import LocalChain, LocalChainError
from guerdon.kit.postgres import AlreadyRunningError, EmbeddedPostgres, PostgresError
from guerdon.kit.postgres_host import HostError
from guerdon.local.processes import Child, Command, PidFile, describe_exit, stop_leftover
from guerdon.local.readiness import READY_FD
from guerdon.local.supervisor import StartError

_LARGEST_LOG_BYTES = 20_000_000
_TAIL_BYTES = 4096
_TAIL_LINES = 8


class Program:
    """A child process. It is ready when it says so by `announce_ready`, or when `ready` returns."""

    def __init__(
        self,
        command: Command,
        *,
        logs: Path,
        run: Path,
        start_seconds: float = 60,
        ready: Callable[[], Awaitable[None]] | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`ready` waits for a program that knows nothing of `announce_ready`; `prepare` runs before each start."""
        self.command = command
        self.log = logs / f"{command.name}.log"
        self._pid_file = PidFile(run / f"{command.name}.pid")
        self._start_seconds = start_seconds
        self._ready = ready
        self._prepare = prepare
        self._child: Child | None = None
        self._log_began = 0

    @property
    def name(self) -> str:
        """As it is told to people."""
        return self.command.name

    @property
    def pid(self) -> int | None:
        """Of the process that was started last."""
        return None if self._child is None else self._child.pid

    async def start(self) -> None:
        """See `Service`."""
        await stop_leftover(self._pid_file, self.command.stop_signal, self.command.stop_seconds)
        if self._prepare is not None:
            await self._prepare()
        rotate(self.log)
        self._log_began = self.log.stat().st_size if self.log.exists() else 0
        reader, writer = os.pipe()
        try:
            command = replace(self.command, environment={**self.command.environment, READY_FD: str(writer)})
            try:
                self._child = Child.start(command, log=self.log, pid_file=self._pid_file, keep_open=(writer,))
            except OSError as error:
                raise StartError(f"{self.command.argv[0]} can't be run: {error.strerror}", "run `guerdon doctor`") from error
            finally:
                os.close(writer)
            await self._until_ready(self._child, reader)
        finally:
            os.close(reader)

    async def _until_ready(self, child: Child, reader: int) -> None:
        said = asyncio.ensure_future(self._ready() if self._ready is not None else _said_ready(reader))
        died = asyncio.ensure_future(child.wait())
        try:
            await asyncio.wait({said, died}, timeout=self._start_seconds, return_when=asyncio.FIRST_COMPLETED)
            if said.done() and not died.done():
                said.result()
                return
            if died.done():
                raise StartError(
                    f"{self.name} {describe_exit(died.result())} before it was ready",
                    f"its log is {self.log}",
                    self._last_words(),
                )
            raise StartError(
                f"{self.name} was not ready after {self._start_seconds:g} s", f"its log is {self.log}", self._last_words()
            )
        finally:
            for task in (said, died):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task

    async def wait(self) -> str:
        """See `Service`."""
        if self._child is None:
            return "was never started"
        return describe_exit(await self._child.wait())

    async def stop(self) -> None:
        """See `Service`."""
        if self._child is not None:
            await self._child.stop()

    def kill(self) -> None:
        """See `Service`."""
        if self._child is not None:
            self._child.kill()

    def _last_words(self) -> str:
        return tail(self.log, self._log_began)


class Postgres:
    """The embedded PostgreSQL as a service."""

    name = "postgres"

    def __init__(self, server: EmbeddedPostgres, announce: Callable[[str, str], None]) -> None:
        self._server = server
        self._announce = announce
        self._pid: int | None = None

    async def start(self) -> None:
        """See `Service`."""
        try:
            await self._server.start(lambda sentence: self._announce(self.name, sentence))
        except AlreadyRunningError as error:
            raise StartError(str(error), "stop it first, or choose another --data-dir") from error
        except HostError as error:
            raise StartError(str(error), "or set DATABASE_URL") from error
        except PostgresError as error:
            raise StartError(str(error), "see postgres.log in its folder") from error
        self._pid = self._server.pid

    async def wait(self) -> str:
        """See `Service`."""
        await self._server.wait()
        return "ended"

    async def stop(self) -> None:
        """See `Service`."""
        await self._server.stop()

    def kill(self) -> None:
        """See `Service`."""
        # SIGQUIT ends PostgreSQL at once and cleans its shared memory up; SIGKILL would leave that to the next start.
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGQUIT)


class Chain:
    """The local EVM chain as a service. Its blocks are made by this process."""

    name = "chain"

    def __init__(self, chain: LocalChain) -> None:
        self._chain = chain

    async def start(self) -> None:
        """See `Service`."""
        # What is left of a run that ended makes no more blocks.
        await self._chain.stop()
        try:
            await self._chain.start()
        except LocalChainError as error:
            raise StartError(error.problem, error.remedy) from error

    async def wait(self) -> str:
        """See `Service`."""
        return await self._chain.wait()

    async def stop(self) -> None:
        """See `Service`."""
        await self._chain.stop()

    def kill(self) -> None:
        """See `Service`."""
        self._chain.kill()


async def _said_ready(reader: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(reader, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(reader)
    if not os.read(reader, 16):
        # Closed without a word: it is dying, and whoever waits for its end knows more.
        await asyncio.sleep(float("inf"))


def rotate(log: Path) -> None:
    """Set a log aside that has grown large; one old one is kept."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def tail(log: Path, after: int = 0) -> str:
    """The last lines of a log, of what was written behind the byte `after`."""
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(after, log.stat().st_size - _TAIL_BYTES))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:])
    return ""
