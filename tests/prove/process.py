"""One process of the product (`guerdon web`, `guerdon worker`), behind a PostgreSQL proxy and a JSON-RPC proxy of its own.

So a fault hits one named process. What is killed is started again, as a service manager does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from guerdon.local.processes import die_with_parent
from tests.fakes.rpc_proxy import RpcProxy
from tests.prove.pg_proxy import PgProxy

_START_SECONDS = 240
"""Long: on a machine with much else to do, a start is all but nothing."""
_LARGEST_LOG_BYTES = 5_000_000
_WATCH_SECONDS = 0.05


class Process:
    """A role of the product, started by its command line."""

    def __init__(self, name: str, arguments: tuple[str, ...], *, folder: Path, server_socket: Path, node_url: str) -> None:
        """`name` is this process's own; `folder` is the site's."""
        self.name = name
        self.database = PgProxy(folder / f"{name}-pg", server_socket)
        self.chain = RpcProxy(node_url)
        self.log = folder / "logs" / f"{name}.log"
        self.environment: dict[str, str] = {}
        """Of this process alone, on top of what the site gives to all; in force from its next start."""
        self.is_wanted = True
        """Started again when it has ended."""
        self.starts = 0
        self.ended: list[str] = []
        """How it ended without being killed, and what it said last: whatever goes wrong around it, it is to go on."""
        self.pause_seconds = 0.2
        """Between its end and its next start."""
        self._arguments = arguments
        self._common: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self._popen: subprocess.Popen[bytes] | None = None
        self._is_frozen = False
        self._is_ready = False

    async def open(self, common: Mapping[str, str]) -> None:
        """Open the proxies; `common` is the environment of every process of the site."""
        await self._stack.enter_async_context(self.database)
        await self._stack.enter_async_context(self.chain)
        self._common = dict(common)

    async def close(self) -> None:
        """Kill it, and close the proxies."""
        self.is_wanted = False
        self.kill()
        if self._popen is not None:
            await asyncio.to_thread(self._popen.wait)
        await self._stack.aclose()

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._popen is None else self._popen.poll()

    async def start(self) -> None:
        """Start it; returns when it serves. Raises `ProcessError` where it ends instead."""
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        reader, writer = os.pipe()
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                (sys.executable, "-m", "guerdon", *self._arguments),
                env=self._environment() | {"GUERDON_READY_FD": str(writer)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                pass_fds=(writer,),
                process_group=0,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - it takes no lock
            )
        os.close(writer)
        self.starts += 1
        self._is_frozen = self._is_ready = False
        try:
            said = await asyncio.wait_for(_read(reader), _START_SECONDS)
        finally:
            os.close(reader)
        if said != b"ready\n":
            raise ProcessError(f"{self.name} ended before it was ready: {self.last_words()}")
        self._is_ready = True

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GUERDON_", "DATABASE_", "REDIS_"))}
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",
            **self._common,
            "DATABASE_URL": self.database.url("guerdon_app", "guerdon"),
            "GUERDON_RPC_LOCAL": self.chain.url,
            **self.environment,
        }

    def send(self, number: signal.Signals) -> None:
        if self.is_running:
            self._popen.send_signal(number)  # pyright: ignore[reportOptionalMemberAccess]

    def kill(self) -> None:
        """SIGKILL."""
        self.send(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: it holds still, and the world goes on without it."""
        self._is_frozen = self.is_running
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._is_frozen = False
        self.send(signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        return self._is_frozen and self.is_running

    async def keep_running(self) -> None:
        """Start it again whenever it has ended, for ever."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self.is_wanted and not self.is_running:
                if self._is_ready and self.exit_code != -signal.SIGKILL:
                    self.ended.append(f"{self.name} ended by itself with code {self.exit_code}: {self.last_words()[-600:]}")
                await asyncio.sleep(self.pause_seconds)
                try:
                    await self.start()
                except (ProcessError, TimeoutError):
                    # The next try, as a service manager's; meanwhile what is in its way may be over.
                    self.kill()

    def mend(self) -> None:
        """Whatever was done to its connections or to itself is over."""
        self.chain.clear()
        self.chain.is_down = False
        self.database.clear()
        self.is_wanted = True
        if self._is_frozen:
            self.thaw()

    def last_words(self) -> str:
        """The end of its log."""
        try:
            return self.log.read_bytes()[-2_000:].decode(errors="replace")
        except OSError:
            return ""


class ProcessError(Exception):
    """A process of the product did not start."""


async def _read(descriptor: int) -> bytes:
    """What comes out of a pipe first."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 16)
