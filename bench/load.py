"""Runs the load client beside a house: what it was told, what each part used meanwhile, and whether the books agree."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from bench.books import Answers, require_booked
from bench.client import Job, Result, read_decided
from bench.helper import Helper, helper
from bench.house import House, Program, Usage
from bench.report import BenchError
from bench.requests import Crowd
from guerdon.kit.ids import uuid7

_LINES_A_JOIN = 10_000


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the client."""

    result: Result
    usage: Usage

    @property
    def rate(self) -> float:
        """Accepted events a second."""
        return self.result.counted / self.result.seconds

    @property
    def microseconds(self) -> dict[str, float]:
        """CPU an event by part; where nothing was accepted (the endpoint that does nothing), a request."""
        events = self.result.accepted or sum(self.result.statuses.values()) or 1
        used = {"client": self.result.cpu_seconds, "web": self.usage.web, "postgres": self.usage.postgres}
        return {name: 1e6 * seconds / events for name, seconds in used.items()}


@dataclass(frozen=True, slots=True)
class Sender:
    """A client whose requests are made and signed, and that waits for its start."""

    job: Job
    decided: Path
    _helper: Helper

    def go(self) -> None:
        """Let it send."""
        self._helper.say(b"go")

    async def result(self) -> Result:
        """What came of it, once it is done."""
        return msgspec.json.decode(await self._helper.heard(), type=Result)


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Sender]:
    """A client for one job, ready to go; ended with the block."""
    with tempfile.TemporaryDirectory(prefix="guerdon-bench-client-") as folder:
        decided = Path(folder) / "decided"
        told = msgspec.structs.replace(job, decided=str(decided))
        with helper("bench.client", msgspec.json.encode(told)) as started:
            await started.heard()
            yield Sender(told, decided, started)


async def run(house: House, job: Job) -> Load:
    """Run one job and count in the books what it was told. Raises `BenchError` where they differ."""
    async with sender(job) as client:
        since, before = uuid7(), await house.usage()
        client.go()
        result = await client.result()
        usage = (await house.usage()).since(before)
        if not job.noop:
            await require_all_booked(house, since, [(client, result)])
    return Load(result, usage)


async def require_all_booked(house: House, since: UUID, told: Sequence[tuple[Sender, Result]]) -> None:
    """Raise `BenchError` unless the books have what these clients were told, and no more than they sent."""
    shops = [shop for client, _ in told for shop in client.job.shops]
    answers = Answers(
        accepted=sum(result.accepted for _, result in told),
        points=sum(result.points for _, result in told),
        unanswered=sum(result.unanswered * max(1, client.job.lines) for client, result in told),
        decided=[one for client, _ in told for one in read_decided(client.decided)],
    )
    programs = {program.id for program in house.programs if program.shop in shops}
    await require_booked(house.superuser, sorted(programs), since, answers)


def require_all_accepted(load: Load) -> None:
    """Raise `BenchError` if anything was refused or lost in a run that the house should bear."""
    refused = {status: count for status, count in load.result.statuses.items() if status != "200"}
    if refused or load.result.unanswered:
        raise BenchError(f"refused: {refused}; without an answer: {load.result.unanswered}")


async def join(house: House, program: Program, members: int) -> None:
    """Make the known members of a program by the event that each begins with, through the product itself."""
    lines = min(members, _LINES_A_JOIN)
    job = Job(
        host="127.0.0.1", port=house.port, connections=2, seconds=600, warm_up_seconds=0, shops=[program.shop],
        crowd=Crowd("join", 0), requests=-(-members // lines), lines=lines, joining=True,
    )  # fmt: skip
    require_all_accepted(await run(house, job))
    house.members = job.requests * lines
    house.known.append(program)
