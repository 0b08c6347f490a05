"""A machine's clock is wrong, or is put right in the middle of work. Deadlines that are shared go by the database's (SAFETY S10, S19)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from tests.prove.faults.base import Fault
from tests.prove.process import Process
from tests.prove.site import Site

_STEPPED = Path(__file__).parents[1] / "stepped"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_FAR = (-3 * _DAY, -_DAY, -7 * _HOUR, -_HOUR, -10 * _MINUTE, 10 * _MINUTE, _HOUR, 7 * _HOUR, _DAY, 3 * _DAY)
_NEAR = (-4 * _MINUTE, -2 * _MINUTE, -20, 20, 2 * _MINUTE, 4 * _MINUTE)
"""Signatures are good for five minutes."""


class Stepped(Fault):
    """A process starts under a clock that is wrong and is stepped again; later all clocks are right."""

    def __init__(self, what: str, about: str, ahead: tuple[int, ...], *, all_workers: bool = False) -> None:
        self.name, self.about = f"clock/{what}", about
        self._ahead, self._all_workers = ahead, all_workers

    async def strike(self, site: Site, chance: Random) -> str:
        await site.load.some(chance)
        is_web = self._ahead is _NEAR
        victims = site.webs if is_web else site.workers if self._all_workers else [chance.choice(site.workers)]
        told: list[str] = []
        for victim in victims:
            first, second = chance.choice(self._ahead), chance.choice(self._ahead)
            after = chance.uniform(2, 6)
            _under(site, victim, f"0:{first},{after:.1f}:{second}")
            told.append(f"{victim.name} by {first} s, then by {second} s")
        await asyncio.sleep(chance.uniform(5, 12))
        for victim in victims:
            victim.environment.clear()
            victim.kill()
        return ", ".join(told)


def _under(site: Site, victim: Process, steps: str) -> None:
    """Start it again under such a clock."""
    path = ":".join(str(one) for one in (_STEPPED, site.environment().get("PYTHONPATH")) if one)
    victim.environment |= {"PYTHONPATH": path, "CLOCK_STEPS": steps}
    victim.kill()


FAULTS: tuple[Fault, ...] = (
    Stepped("a-workers", "One worker's clock is minutes to days wrong, and is stepped while it works.", _FAR),
    Stepped("all-workers", "Each worker's clock is wrong by something else.", _FAR, all_workers=True),
    Stepped("a-webs", "The clocks of what serves are off by less than a signature is good for.", _NEAR),
)
