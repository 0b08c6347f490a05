"""PostgreSQL, or the way to it, goes away: killed, restarted, cut off, not to be reached."""

from __future__ import annotations

import asyncio
import signal
from random import Random

from tests.prove.faults.base import Fault
from tests.prove.site import Site


class Ended(Fault):
    """The server ends, one way or another, and starts again after a while."""

    def __init__(self, what: str, about: str, number: signal.Signals, *, times: int = 1) -> None:
        self.name, self.about = f"postgres/{what}", about
        self._number, self._times = number, times

    async def strike(self, site: Site, chance: Random) -> str:
        pauses: list[float] = []
        for _ in range(self._times):
            await site.load.some(chance)
            site.postgres_kill(self._number)
            pauses.append(chance.uniform(0, 2.5))
            await asyncio.sleep(pauses[-1])
            await site.postgres_start()
            await asyncio.sleep(chance.uniform(0, 1))
        return f"{self._number.name}, started again after {', '.join(f'{pause:.1f} s' for pause in pauses)}"


class Cut(Fault):
    """Connections end in the middle of whatever they are used for."""

    name = "postgres/connections-cut"
    about = "Every connection of a process to PostgreSQL ends in the middle of something, several times."

    async def strike(self, site: Site, chance: Random) -> str:
        cut: list[str] = []
        await site.load.some(chance)
        for _ in range(chance.randrange(1, 6)):
            victim = chance.choice(list(site.processes.values()))
            cut.append(f"{victim.database.cut()} of {victim.name}")
            await asyncio.sleep(chance.uniform(0.05, 0.8))
        return f"cut {', '.join(cut)}"


class OutOfReach(Fault):
    """One process can't reach PostgreSQL, while the others can."""

    name = "postgres/out-of-reach"
    about = "One process loses PostgreSQL for some seconds, while the others keep it."

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        victim, seconds = chance.choice(list(site.processes.values())), chance.uniform(0.5, 5)
        victim.database.is_down = True
        victim.database.cut()
        await asyncio.sleep(seconds)
        victim.database.is_down = False
        return f"{victim.name} without it for {seconds:.1f} s"


FAULTS: tuple[Fault, ...] = (
    Ended("killed", "SIGKILL of PostgreSQL's first process; started again, it recovers.", signal.SIGKILL),
    Ended("killed-twice", "SIGKILL of PostgreSQL's first process, and again soon after.", signal.SIGKILL, times=2),
    Ended("stopped", "PostgreSQL is shut down in order and started again.", signal.SIGINT),
    Cut(),
    OutOfReach(),
)
