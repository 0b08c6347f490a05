"""The campaign: which runs, on which site, and what is written down of each at once, so that it can be resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.prove.faults import FAULTS
from tests.prove.faults.base import Fault
from tests.prove.process import ProcessError
from tests.prove.run import Result, Verdict, keep_logs, run
from tests.prove.site import Site

RUNS_A_SITE = 12
"""Then a new one: what a site went through is part of every later run on it, and has to stay small enough to be understood."""

_SITE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    runs: int
    seed: int
    faults: tuple[str, ...] = ()
    """Names, or beginnings of names; none: all."""
    minutes: float | None = None
    source: Path | None = None
    """Where the product's processes are imported from, if not from here."""
    stop_when_broken: bool = False
    workers: int = 2

    def chosen(self) -> list[Fault]:
        """The faults to draw from."""
        if not self.faults:
            return list(FAULTS.values())
        return [fault for name, fault in FAULTS.items() if any(name == one or name.startswith(f"{one}/") for one in self.faults)]

    def all_runs(self) -> Iterator[tuple[int, Fault]]:
        """Seeds in a row; each fault once, in an order drawn from the seed, before any of them comes again."""
        faults = self.chosen()
        turn: list[Fault] = []
        for number in range(self.runs):
            if not turn:
                turn = Random(f"{self.seed}/{number // len(faults)}").sample(faults, len(faults))
            yield self.seed + number, turn.pop()


class Journal:
    """Results, a line of JSON each, written as soon as they are there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Result]:
        """What was written so far; a line that a kill cut short is left out."""
        results: list[Result] = []
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    found = json.loads(line)
                except ValueError:
                    continue
                results.append(Result(**{**found, "verdict": Verdict(found["verdict"])}))
        return results

    def begin(self) -> None:
        """Forget what was written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def write(self, result: Result) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result.to_json()) + "\n")


async def carry_out(plan: Plan, journal: Journal, tell: Callable[[str, Result | None], None]) -> list[Result]:
    """Do every run that is not in the journal yet; all results. `tell` hears what begins, and what came of it."""
    results = journal.read()
    known = {(result.seed, result.fault) for result in results}
    ends_at = None if plan.minutes is None else time.monotonic() + plan.minutes * 60
    async with AsyncExitStack() as stack:
        site: Site | None = None
        runs_here = 0
        for seed, fault in plan.all_runs():
            if (seed, fault.name) in known:
                continue
            if ends_at is not None and time.monotonic() > ends_at:
                break
            if site is None:
                site, runs_here = await _a_site(stack, plan, tell), 0
            tell(fault.name, None)
            try:
                result = await run(site, seed, fault)
            except Exception as error:  # noqa: BLE001 - written down, and the next run is done on another site
                complaint = f"odd: the run could not be judged: {error!r}"
                result = Result(seed, fault.name, Verdict.BROKEN, "was given up", [complaint])
            if result.verdict is Verdict.BROKEN or result.deadlocks:
                keep_logs(site, result, journal.path.with_suffix(".logs"))
            journal.write(result)
            results.append(result)
            tell(fault.name, result)
            runs_here += 1
            if result.verdict is Verdict.BROKEN and plan.stop_when_broken:
                break
            if result.verdict is Verdict.BROKEN or fault.spoils or runs_here >= RUNS_A_SITE:
                await stack.aclose()
                site = None
    return results


async def _a_site(stack: AsyncExitStack, plan: Plan, tell: Callable[[str, Result | None], None]) -> Site:
    """A new site; tried again where it did not start in time, on a machine that is busy with something else."""
    for _ in range(_SITE_TRIES - 1):
        tell("starting a site", None)
        with suppress(TimeoutError, ProcessError):
            return await stack.enter_async_context(Site.open(workers=plan.workers, source=plan.source))
        await stack.aclose()
    return await stack.enter_async_context(Site.open(workers=plan.workers, source=plan.source))


def broken(results: Sequence[Result]) -> list[Result]:
    """Those that the judge complains of."""
    return [result for result in results if result.verdict is Verdict.BROKEN]
