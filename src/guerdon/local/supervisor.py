"""Keeps services running: started in order, started again with back-off when they die, stopped in reverse order.

What a service is made of is in `services.py`; here is only what happens when, whatever it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Protocol

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30
_CALM_SECONDS = 60
"""After so long without dying a service starts again with the shortest pause."""


class StartError(Exception):
    """A service could not be started. `remedy` says what to do, `said` is what it said itself."""

    def __init__(self, message: str, remedy: str, said: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.said = said


class Service(Protocol):
    """One thing that runs. All methods may be called again after it has ended."""

    @property
    def name(self) -> str:
        """As it is told to people, and its log is called."""
        ...

    async def start(self) -> None:
        """Returns when it is ready to serve; `StartError` when it can't."""
        ...

    async def wait(self) -> str:
        """Until it has ended; how it ended, to be read after its name."""
        ...

    async def stop(self) -> None:
        """Let it finish what it is doing, within a bound; nothing if it does not run."""
        ...

    def kill(self) -> None:
        """End it now."""
        ...


class Supervisor:
    """The services of one `guerdon up`."""

    def __init__(self, announce: Callable[[str, str], None]) -> None:
        """`announce(name, sentence)` is told whatever a person should know."""
        self._announce = announce
        self._running: list[Service] = []
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    async def start(self, service: Service) -> float:
        """Start a service and keep it running from now on; the seconds that it took."""
        began = time.monotonic()
        # Listed first: a start that fails half-way has something to stop.
        self._running.append(service)
        await service.start()
        self._keepers[service.name] = asyncio.create_task(self._keep(service), name=f"keep {service.name}")
        return time.monotonic() - began

    async def _keep(self, service: Service) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            started = time.monotonic()
            how = await service.wait()
            if self._stopping:
                return
            if time.monotonic() - started > _CALM_SECONDS:
                pause = _FIRST_PAUSE_SECONDS
            self._announce(service.name, f"{how}; starting it again in {pause:g} s")
            while True:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
                try:
                    await service.start()
                except StartError as error:
                    await service.stop()
                    self._announce(service.name, f"is still down: {error.message}; again in {pause:g} s; {error.remedy}")
                    continue
                break
            self._announce(service.name, "runs again")

    async def stop(self, *groups: Sequence[str]) -> None:
        """Stop everything: the named services group by group, each group's together, then whatever else runs."""
        self._stopping = True
        for keeper in self._keepers.values():
            keeper.cancel()
        for keeper in self._keepers.values():
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        named = {name for group in groups for name in group}
        rest = [service.name for service in reversed(self._running) if service.name not in named]
        for group in (*groups, *([name] for name in rest)):
            await asyncio.gather(*(service.stop() for service in self._running if service.name in group))
        self._running.clear()

    def kill(self) -> None:
        """End everything now, without asking."""
        self._stopping = True
        for service in reversed(self._running):
            service.kill()
