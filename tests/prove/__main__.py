"""`python -m tests.prove`, which `make prove` runs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.prove import claims, payouts, report
from tests.prove.campaign import Journal, Plan, broken, carry_out
from tests.prove.faults import FAULTS
from tests.prove.holes import HOLES, opened
from tests.prove.run import Result, Verdict
from tests.prove.steps import STEPS

DEFAULT_RUNS = 200
_JOURNAL = Path("prove-results.jsonl")
_STYLES = {Verdict.HELD: "green", Verdict.BROKEN: "bold red", Verdict.MISSED: "yellow"}

console = Console(highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 on any complaint."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["payouts"]:
        return payouts.main(given[1:], console.print)
    if given[:1] == ["claims"]:
        return claims.main(given[1:], console.print)
    asked = _parser().parse_args(given)
    if asked.list:
        _list()
        return 0
    plan = Plan(
        runs=asked.runs or (1 if asked.fault else DEFAULT_RUNS), seed=asked.seed, faults=tuple(asked.fault), minutes=asked.minutes
    )
    if not plan.chosen():
        console.print(f"error: there is no fault {', '.join(asked.fault)}\nwhat to do: `make prove ARGS=--list` names them all")
        return 2
    journal = Journal(asked.results)
    if not asked.resume:
        journal.begin()
    if asked.hole:
        return _look_for(list(HOLES) if "all" in asked.hole else asked.hole, plan, journal, asked.report)
    results = asyncio.run(_with_progress(plan, journal))
    if asked.report:
        report.write(results, asked.report)
    return _conclude(results)


def _look_for(names: Sequence[str], plan: Plan, journal: Journal, page: Path | None) -> int:
    """Put each hole in, and run until it is found; the exit code is 1 if one is not."""
    found: dict[str, list[Result]] = {}
    for name in names:
        hole = HOLES[name]
        console.print(f"{name}: {hole.about}", soft_wrap=True)
        with opened(hole) as source:
            holed = replace(plan, source=source, stop_when_broken=True, faults=plan.faults or hole.kinds)
            journal.begin()
            found[name] = asyncio.run(_with_progress(holed, journal))
    if page is not None:
        report.write_holes(found, page)
    for name, results in found.items():
        told = f"found after {len(results)} runs" if broken(results) else f"not found in {len(results)} runs"
        console.print(f"{name}: {told}", style="green" if broken(results) else "bold red")
    return 0 if all(map(broken, found.values())) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make prove",
        description="Break a running installation on purpose, again and again, and judge each time what was lost, doubled or stuck.",
        epilog='Example: make prove ARGS="--runs 50 --seed 7 --report prove.md"; one run again: ARGS="--seed 12 --fault kill/signing".',
    )
    parser.add_argument("--runs", type=int, help=f"how many (default {DEFAULT_RUNS}; 1 with --fault)")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; the next ones count on from it (default 1)")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="NAME", help="only this one, or this kind; may be repeated"
    )
    parser.add_argument("--minutes", type=float, help="begin no run after that time")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page (markdown), and FILE.json beside it")
    parser.add_argument("--results", type=Path, default=_JOURNAL, metavar="FILE", help=f"a line a run (default {_JOURNAL})")
    parser.add_argument("--resume", action="store_true", help="go on with what is in the results file")
    parser.add_argument(
        "--hole", action="append", default=[], choices=[*HOLES, "all"], help="put this hole in, and run until it is found"
    )
    parser.add_argument("--list", action="store_true", help="name the faults, the steps and the holes, and end")
    return parser


def _list() -> None:
    for fault in FAULTS.values():
        console.print(f"  {fault.name:40} {fault.about}", soft_wrap=True)
    console.print("\nsteps")
    for step in STEPS:
        what = step.method or (step.mark.words if step.mark else "")
        console.print(f"  {step.name:40} {step.role}: {what}", soft_wrap=True)
    console.print("\nholes")
    for hole in HOLES.values():
        console.print(f"  {hole.name:40} {hole.about}", soft_wrap=True)


async def _with_progress(plan: Plan, journal: Journal) -> list[Result]:
    with _bar(plan.runs, len(journal.read())) as (progress, task):

        def tell(doing: str, result: Result | None) -> None:
            progress.update(task, description=doing)
            if result is not None:
                progress.advance(task)
                style = _STYLES[result.verdict]
                progress.console.print(
                    f"[{style}]{result.verdict:6}[/] {result.seed:6} {result.fault}: {result.did} ({result.seconds} s)",
                    soft_wrap=True,
                )
                for complaint in result.complaints[:5]:
                    progress.console.print(f"       {complaint}", soft_wrap=True, markup=False)

        return await carry_out(plan, journal, tell)


@contextlib.contextmanager
def _bar(total: int, completed: int) -> Generator[tuple[Progress, int]]:
    columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task("starting", total=total, completed=completed)


def _conclude(results: Sequence[Result]) -> int:
    told = report.summary(results)
    console.print(
        f"{told['runs']} runs over {len(told['faults'])} faults: {told['lost']} lost, {told['doubled']} doubled, {told['stuck']} stuck, "
        f"{told['wrong']} wrong; {told['events']} events, {told['payouts']} payouts; {told['missed']} runs missed their moment",
        soft_wrap=True,
    )
    for result in broken(results):
        console.print(f"again: {result.command}   logs: {result.logs}", soft_wrap=True, markup=False)
    return 1 if broken(results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        console.print("stopped; --resume goes on from here")
        sys.exit(130)
