"""One run of the bench: what was asked for, what it has found so far, and the words on the terminal meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress, TaskID

from bench import history
from bench.client import Job
from bench.house import House, Program
from bench.load import Load, join, require_all_accepted, run
from bench.report import Figure, Report
from guerdon.kit.ids import uuid7

MEMBERS = 100_000
"""Known members of the program that reports (the issue's number)."""


@dataclass(slots=True)
class Session:
    """Passed to every measurement."""

    quick: bool
    history: int
    console: Console
    progress: Progress
    task: TaskID
    report: Report = field(default_factory=Report)
    limits: dict[str, float] = field(default_factory=dict[str, float])
    """What bare SQL gave, by what was written."""
    tag: str = field(default_factory=lambda: uuid7().hex[-6:])
    """Makes this run's events differ from every other's."""

    @property
    def repeats(self) -> int:
        """Runs of which the middle one counts."""
        return 1 if self.quick else 3

    @property
    def members(self) -> int:
        """Known members."""
        return 1_500 if self.quick else MEMBERS

    def step(self, words: str) -> None:
        """Say what is being done."""
        self.progress.update(self.task, description=words)

    def add(self, name: str, figure: Figure) -> None:
        """Note a figure, and show it."""
        self.report.add(name, figure)
        limit = "" if figure.limit is None else f"  limit {figure.limit:,.0f}, ratio {figure.ratio}"
        aim = "" if figure.aim is None else f"  aim {figure.aim:,g}"
        self.console.print(f"  {name:<28} {figure.value:>12,.5g} {figure.unit:<12}{limit}{aim}", highlight=False)

    async def middle(self, house: House, what: str, job: Callable[[int], Job]) -> Load:
        """The middle one, by its rate, of several runs on the same house; `job` gives each its own events."""
        loads: list[Load] = []
        for number in range(self.repeats):
            self.step(f"{what}, run {number + 1} of {self.repeats}")
            await house.quiet()
            load = await run(house, job(number))
            require_all_accepted(load)
            loads.append(load)
        return sorted(loads, key=lambda load: load.rate)[len(loads) // 2]

    def add_load(self, name: str, load: Load, *, limit: str, aim: float) -> None:
        """Note a run's rate beside the bare SQL limit, its median answer time, and what each part used for an event."""
        self.add(name, Figure(load.rate, "events/s", self.limits.get(limit), aim))
        self.add(f"{name}_p50", Figure(load.result.p50_ms, "ms", lower_is_better=True))
        for part, used in load.microseconds.items():
            self.add(f"{name}_cpu_{part}", Figure(used, "µs/event", lower_is_better=True))

    async def furnish(self, house: House, *, programs: int = 1, minted: int = 0) -> None:
        """See that so many programs have their known members."""
        while len(house.known) < programs:
            number = len(house.known) + 1
            self.step(f"making {self.members:,} members of program {number}")
            program = await house.program(f"Bench {number}", minted=minted)
            await join(house, program, self.members)
            await self.age(house, program, self.history - 1)

    async def age(self, house: House, program: Program, rounds: int) -> None:
        """Add so many events a member to the past of a program."""
        if rounds:
            total = rounds * house.members
            await history.load(house, program, rounds, lambda done: self.step(f"a past of {total:,} events: {done:,} are there"))
