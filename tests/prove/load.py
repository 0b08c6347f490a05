"""What clients do during one run, drawn from a seed: single events, some again or twice at once, bulks, reversals, a funding.

Each asks until it is acknowledged, and what it was told is kept for the judge (`reporter.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

import httpx

from tests.prove.told import Acknowledged

if TYPE_CHECKING:
    from tests.prove.site import Program, Site

SENDERS = 6
LEAST_ACTIONS = 45
MOST_ACTIONS = 200
PATIENCE_SECONDS = 150
_WAIT_SECONDS = 2


@dataclass
class Load:
    """The clients of one run. They go on until `enough` is set, within bounds."""

    site: Site
    name: str
    """Of the run: what is reported in it is named after it."""
    chance: Random
    reverses: bool = True
    """Do the clients also take rewards back?"""
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    actions: int = 0
    events: int = 0
    _may_act: asyncio.Event = field(default_factory=asyncio.Event)
    _acting: int = 0

    def __post_init__(self) -> None:
        self._may_act.set()

    async def run(self) -> None:
        """Everything that is to be done, done and acknowledged. Raises `NeverAcknowledgedError`."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._fund())
            for _ in range(SENDERS):
                tasks.create_task(self._send(Random(self.chance.random())))

    async def some(self, chance: Random) -> None:
        """Until the clients have done some part of the least that they do, each part as likely as another."""
        wanted = chance.randrange(2, LEAST_ACTIONS * 3 // 4)
        while self.actions < wanted and not self.enough.is_set():
            await asyncio.sleep(0.01)

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Once what the clients have asked for is acknowledged, they ask for nothing more inside."""
        self._may_act.clear()
        while self._acting:
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            self._may_act.set()

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        await self._may_act.wait()
        self._acting += 1
        try:
            yield
        finally:
            self._acting -= 1

    async def _fund(self) -> None:
        program = self.chance.choice(self.site.programs)
        await asyncio.sleep(self.chance.uniform(0, 0.5))
        async with self._turn():
            await self.site.fund(program.brand_id, self.chance.randrange(1, 1_000), key=f"fund-{self.name}")

    async def _send(self, chance: Random) -> None:
        clients = [(program, program.reporter.client()) for program in self.site.programs]
        try:
            while self.actions < LEAST_ACTIONS or (self.actions < MOST_ACTIONS and not self.enough.is_set()):
                self.actions += 1
                async with self._turn():
                    await self._act(*chance.choice(clients), chance)
                await asyncio.sleep(chance.uniform(0.05, 0.4))
        finally:
            for _, client in clients:
                await client.aclose()

    async def _act(self, program: Program, client: httpx.AsyncClient, chance: Random) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        reporter, earlier = program.reporter, self._earlier(program)
        drawn = chance.random()
        if drawn < 0.12 and (with_key := [one for one in earlier if "-keyless-" not in one.name]):
            await reporter.report_one(client, chance.choice(with_key).name, deadline)
        elif drawn < 0.28 and earlier and self.reverses:
            event = chance.choice(earlier)
            points = chance.choice([None, 1 + chance.randrange(20)])
            await reporter.reverse(client, event.event_id, self._next("back"), points, deadline)
        elif drawn < 0.35:
            names = [self._next("bulk") for _ in range(chance.randrange(3, 12))]
            await reporter.report_bulk(client, names, deadline)
        elif drawn < 0.42:
            await reporter.report_twice(self._next("twice"), deadline)
        elif drawn < 0.47:
            await reporter.report_without_key(self._next("keyless"), deadline)
        else:
            wait_seconds = _WAIT_SECONDS if chance.random() < 0.1 else 0
            await reporter.report_one(client, self._next(), deadline, wait_seconds=wait_seconds)

    def _earlier(self, program: Program) -> list[Acknowledged]:
        """The newest events of this run that the program's client knows to be booked."""
        return [one for one in program.reporter.acknowledged[-30:] if one.name.startswith(f"{self.name}-")]

    def _next(self, how: str = "one") -> str:
        self.events += 1
        return f"{self.name}-{how}-{self.events}"
