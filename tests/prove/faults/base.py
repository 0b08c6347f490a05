"""What a fault is. The faults themselves are beside this, a module a kind; all of them are in `faults.FAULTS`.

class CutConnections(Fault):
    name, about = "postgres/connections-cut", "Every connection of a process to PostgreSQL ends in the middle of something."

    async def strike(self, site: Site, chance: Random) -> str:
        victim = chance.choice(list(site.processes.values()))
        await site.load.some(chance)                   # until the flow is well under way
        victim.database.cut()
        return f"cut off {victim.name}"

FAULTS = (CutConnections(),)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import Random

from tests.prove.site import Site


class NotReachedError(Exception):
    """The moment that a fault waits for did not come: the run proves nothing."""


class Fault(ABC):
    """Something that goes wrong while clients report. What, when and to whom is drawn from the chance that it is given."""

    name: str
    """`kind/what`."""
    about: str
    """A sentence."""
    reverses = True
    """Clients may take rewards back meanwhile."""
    spoils = False
    """The site is of no use afterwards, even if all is well."""
    strike_seconds = 120.0
    """How long it may take at most."""
    settle_seconds = 90.0
    """How long, once everything is mended, all may take to be done by itself."""

    @abstractmethod
    async def strike(self, site: Site, chance: Random) -> str:
        """Do it, and undo what a person would undo; what was done, in words. Clients report meanwhile.

        What the site can mend by itself (`Site.mend`) may be left as it is. Raises `NotReachedError`.
        """
