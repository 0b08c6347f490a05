"""Processes are killed: at each named step (`steps.py`), and at random."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

from tests.fakes import rpc_proxy
from tests.prove.faults.base import Fault, NotReachedError
from tests.prove.pg_proxy import Moment, Trap
from tests.prove.process import Process
from tests.prove.site import Site
from tests.prove.steps import STEPS, WEB, Step

REACH_SECONDS = 40


async def stop_at(
    site: Site, step: Step, moment: Moment, act: Callable[[Process], None], *, skip: int = 0, goes_on: bool = False
) -> Process:
    """Do something to the first process that comes to a step, at that moment; the process. Raises `NotReachedError`."""
    reached: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
    disarm: list[Callable[[], None]] = []

    def spring(process: Process) -> None:
        if not reached.done():
            act(process)
            reached.set_result(process)
        for each in disarm:
            each()

    disarm += [
        armed(process, step, moment, lambda process=process: spring(process), skip=skip, goes_on=goes_on)
        for process in (site.webs if step.role == WEB else site.workers)
    ]
    try:
        return await asyncio.wait_for(reached, REACH_SECONDS)
    except TimeoutError:
        raise NotReachedError(f"no process came to {moment} of {step.name}") from None
    finally:
        for each in disarm:
            each()


def armed(
    process: Process, step: Step, moment: Moment, act: Callable[[], None], *, skip: int = 0, goes_on: bool = False
) -> Callable[[], None]:
    """Set the trap; returns what takes it away."""
    if step.mark is not None:
        trap = process.database.add(Trap(step.mark, moment, act, skip=skip, goes_on=goes_on))
        return lambda: setattr(trap, "is_sprung", True)
    when = rpc_proxy.Moment.BEFORE if moment is Moment.BEFORE else rpc_proxy.Moment.AFTER
    return process.chain.add(rpc_proxy.Fault(step.method, when, act=act, skip=skip, drop=not goes_on)).stop


class KillAtStep(Fault):
    """SIGKILL at one moment of one step."""

    def __init__(self, step: Step, moment: Moment) -> None:
        self.name = f"kill/{step.name}/{moment}"
        self.about = f"SIGKILL of the {step.role} process {moment.replace('-', ' the ')} of {step.name}."
        self._step, self._moment = step, moment

    async def strike(self, site: Site, chance: Random) -> str:
        victim = await stop_at(site, self._step, self._moment, Process.kill, skip=chance.randrange(self._step.often + 1))
        return f"killed {victim.name} {self._moment} of {self._step.name}"


class KillAtRandom(Fault):
    """SIGKILL whenever, several times."""

    def __init__(self, name: str, who: Callable[[Site], list[Process]], *, all_at_once: bool = False) -> None:
        self.name = f"kill/{name}"
        self.about = f"SIGKILL of {name.replace('-', ' ')}, several times."
        self._who, self._all_at_once = who, all_at_once

    async def strike(self, site: Site, chance: Random) -> str:
        killed: list[str] = []
        for _ in range(chance.randrange(1, 4)):
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            victims = self._who(site)
            for victim in victims if self._all_at_once else [chance.choice(victims)]:
                victim.kill()
                killed.append(victim.name)
            await asyncio.sleep(1.5)
        return f"killed {', '.join(killed)}"


class Nothing(Fault):
    """What all others are compared with."""

    name = "nothing"
    about = "Nothing goes wrong: what all others are compared with."

    async def strike(self, site: Site, chance: Random) -> str:
        return "did nothing"


FAULTS: tuple[Fault, ...] = (
    Nothing(),
    *(KillAtStep(step, moment) for step in STEPS for moment in step.moments),
    KillAtRandom("a-web-process", lambda site: site.webs),
    KillAtRandom("all-web-processes", lambda site: site.webs, all_at_once=True),
    KillAtRandom("a-worker", lambda site: site.workers),
    KillAtRandom("all-workers", lambda site: site.workers, all_at_once=True),
    KillAtRandom("everything", lambda site: list(site.processes.values()), all_at_once=True),
)
