"""One run: a fault is done to a site while clients report; then all is mended, settles, and is judged.

A run is determined by its seed and its fault: what is reported, whom the fault hits and when are drawn from it. What the operating
system makes of the timing is not; so a run that is repeated tries the same thing, not the same microsecond.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from tests.prove.faults.base import Fault, NotReachedError
from tests.prove.load import Load
from tests.prove.site import Site

_REAL_TIME_SHARE = 0.05
"""Of the runs, how many wait until what a dead process held runs out by itself (up to half a minute)."""


class Verdict(StrEnum):
    """How a run ended."""

    HELD = "held"
    BROKEN = "broken"
    """The judge complains."""
    MISSED = "missed"
    """All is well, but the moment that the fault waited for never came: it proves nothing."""


@dataclass
class Result:
    """What is known of a run."""

    seed: int
    fault: str
    verdict: Verdict
    did: str
    complaints: list[str] = field(default_factory=list)
    events: int = 0
    payouts: int = 0
    seconds: float = 0
    deadlocks: list[str] = field(default_factory=list)
    """No complaint, since PostgreSQL ends them and what they ended is done again; but locks are taken in order (SAFETY S15)."""
    logs: str = ""
    """Where the logs of a broken one are."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def command(self) -> str:
        """What repeats it."""
        return f'make prove ARGS="--seed {self.seed} --fault {self.fault}"'


async def run(site: Site, seed: int, fault: Fault) -> Result:
    """Do it, and judge it."""
    began = time.monotonic()
    chance = Random(f"{seed}/{fault.name}")
    is_patient = chance.random() < _REAL_TIME_SHARE
    delivered, log_size = await _delivered(site), site.postgres.log_path.stat().st_size
    site.load = Load(site, f"{fault.name}-{seed}", Random(chance.random()), fault.reverses)
    loading = asyncio.create_task(site.load.run())
    background: list[asyncio.Task[None]] = [loading]
    try:
        result = await _struck(site, fault, chance)
        result.seed = seed
        site.load.enough.set()
        await site.mend()
        if not is_patient:
            background.append(asyncio.create_task(_forget_the_dead(site)))
        result.complaints += await _acknowledged(loading)
        result.complaints += _ended_by_themselves(site)
        await site.settled(fault.settle_seconds)
        # What is stuck, the judge finds too.
        result.complaints += await site.verdict()
        result.payouts = await _delivered(site) - delivered
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
    if result.complaints:
        result.verdict = Verdict.BROKEN
    result.deadlocks = site.deadlocks(log_size)
    result.events = site.load.events
    result.seconds = round(time.monotonic() - began, 1)
    return result


async def _forget_the_dead(site: Site) -> None:
    while True:
        await site.forget_the_dead()
        await asyncio.sleep(1)


async def _struck(site: Site, fault: Fault, chance: Random) -> Result:
    """What came of the fault itself."""
    result = Result(0, fault.name, Verdict.HELD, "")
    try:
        async with asyncio.timeout(fault.strike_seconds):
            result.did = await fault.strike(site, chance)
    except NotReachedError as missed:
        result.verdict, result.did = Verdict.MISSED, str(missed)
    except TimeoutError:
        result.did = f"was not over after {fault.strike_seconds:g} s"
        result.complaints.append(f"stuck: the fault {result.did}")
    except Exception as error:  # noqa: BLE001 - whatever it is, this run is broken and the next one may be done
        result.did = f"ended with {error!r}"
        result.complaints.append(f"odd: the fault {result.did}")
    return result


async def _acknowledged(loading: asyncio.Task[None]) -> list[str]:
    """Complaints of the clients themselves."""
    try:
        await loading
    except ExceptionGroup as several:
        given_up, others = several.split((AssertionError, TimeoutError))
        if others is not None:
            raise others from None
        return [] if given_up is None else [f"stuck: a client gave up: {error!r}" for error in given_up.exceptions]
    return []


def _ended_by_themselves(site: Site) -> list[str]:
    """Complaints about processes that nobody killed and that ended all the same."""
    said = [f"ended: {how}" for process in site.processes.values() for how in process.ended]
    for process in site.processes.values():
        process.ended.clear()
    return said


async def _delivered(site: Site) -> int:
    return int(await site.value("select count(*) from deliveries where state = 'final'"))


def keep_logs(site: Site, result: Result, folder: Path) -> None:
    """Set aside what the processes said during a broken run."""
    place = folder / f"{result.fault.replace('/', '-')}-{result.seed}"
    shutil.copytree(site.folder / "logs", place, dirs_exist_ok=True)
    shutil.copy(site.postgres.log_path, place)
    result.logs = str(place)
