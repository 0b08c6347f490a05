"""A worker holds still, longer than its lease lasts, and goes on as if nothing had happened (SAFETY S19).

SIGSTOP, as a suspended machine or a long pause of its runtime looks from outside. What it held runs out at once, so that a run does
not wait for the seconds to pass; another worker takes over; then it is continued.
"""

from __future__ import annotations

import asyncio
from random import Random

from tests.prove.faults.base import Fault
from tests.prove.faults.kills import stop_at
from tests.prove.pg_proxy import Moment
from tests.prove.process import Process
from tests.prove.site import Site
from tests.prove.steps import BY_NAME

_PLACES = (
    ("surveying", Moment.AFTER, "between binding a nonce and signing it"),
    ("signing", Moment.AFTER_COMMIT, "between storing signed bytes and sending them"),
    ("sending", Moment.BEFORE, "with signed bytes on their way to the node"),
    ("sending", Moment.AFTER, "before it hears that the node took them"),
    ("binding", Moment.AFTER_COMMIT, "right after binding a nonce"),
    ("looking", Moment.AFTER, "with receipts that it did not read yet"),
    ("simulating", Moment.AFTER, "between simulating a batch and freezing it"),
    ("claiming", Moment.AFTER_COMMIT, "with work that it has claimed"),
)


class Frozen(Fault):
    """SIGSTOP at one moment of one step, until another worker has gone on from there."""

    def __init__(self, step: str, moment: Moment, where: str) -> None:
        self.name = f"lease/lost-{moment}-{step}"
        self.about = f"A worker is stopped {where}, loses what it held to another, and is continued."
        self._step, self._moment = BY_NAME[step], moment

    async def strike(self, site: Site, chance: Random) -> str:
        victim = await stop_at(site, self._step, self._moment, Process.freeze, skip=chance.choice([0, 0, 1]), goes_on=True)
        await asyncio.sleep(0.1)
        await site.forget_the_dead()
        await asyncio.sleep(chance.uniform(0.5, 4))
        victim.thaw()
        await asyncio.sleep(0.5)
        return f"{victim.name} held still {self._moment} of {self._step.name}"


FAULTS: tuple[Fault, ...] = tuple(Frozen(*place) for place in _PLACES)
