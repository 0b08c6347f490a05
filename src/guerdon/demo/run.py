"""The demo from beginning to end: the stack of `guerdon up`, the replay with its progress, the summary, the report."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from guerdon.app import open_runtime
from guerdon.demo.outcome import Outcome, outcome, wait_until_final
from guerdon.demo.purchases import TOTAL, read_purchases
from guerdon.demo.replay import ReplayError, replay
from guerdon.demo.shop import open_shop
from guerdon.local.screen import Screen
from guerdon.local.supervisor import StartError
from guerdon.local.up import Started, everything, show, until_asked
from guerdon.settings import Settings

_REMEMBERED = "demo.json"
_SHOWN_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line."""

    limit: int | None
    report: Path | None
    leave: bool
    """End with the demo, instead of leaving everything running."""


@dataclass(frozen=True, slots=True)
class _Timed:
    outcome: Outcome
    intake_seconds: float
    delivery_seconds: float
    """From the first purchase to the last final token."""


def run_demo(settings: Settings, wishes: Wishes) -> int:
    """Run it; the exit code is 1 when it could not be run, or when books and chain disagree."""

    async def run() -> int:
        screen = Screen()
        try:
            async with everything(settings, screen) as started:
                timed = await until_asked(_replayed(started, wishes), started.stop_asked)
                if timed is None:
                    return 1
                _summarise(screen, timed)
                if wishes.report is not None:
                    report = timed.outcome.report(timed.intake_seconds, timed.delivery_seconds)
                    wishes.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
                if not wishes.leave:
                    show(started)
                    await started.stop_asked.wait()
                return 0 if timed.outcome.consistent else 1
        except StartError as error:
            screen.failed(error.message, error.remedy, error.said)
        except ReplayError as error:
            screen.failed(str(error), f"the logs are in {settings.data_dir / 'logs'}")
        return 1

    return asyncio.run(run())


async def _replayed(started: Started, wishes: Wishes) -> _Timed:
    stack, screen = started.stack, started.screen
    total = TOTAL if wishes.limit is None else min(wishes.limit, TOTAL)
    tokens = sum(purchase.tokens for purchase in read_purchases(total))
    async with open_runtime(stack.settings) as runtime:
        screen.line()
        screen.line(f"{total:,} purchases at CDNOW, 1997 to 1998: one LTZ for each whole dollar", style="bold")
        with screen.working("opening and funding the program"):
            opened = await open_shop(runtime, stack.web_url, stack.settings.data_dir / _REMEMBERED)
        intake_done = asyncio.Event()
        began = time.monotonic()
        with _bars(screen) as bars:
            reported = bars.add_task("purchases booked", total=total)
            paid = bars.add_task("tokens final on chain", total=tokens)

            async def report() -> float:
                await replay(opened.shop, read_purchases(total), lambda more: bars.advance(reported, more))
                intake_done.set()
                return time.monotonic() - began

            async def deliver() -> float:
                await wait_until_final(runtime, opened, intake_done, lambda done: bars.update(paid, completed=done))
                return time.monotonic() - began

            intake = asyncio.create_task(report())
            delivery = asyncio.create_task(deliver())
            try:
                intake_seconds, delivery_seconds = await asyncio.gather(intake, delivery)
            finally:
                intake.cancel()
                delivery.cancel()
                await asyncio.gather(intake, delivery, return_exceptions=True)
        with screen.working("comparing every wallet on chain with the books"):
            found = await outcome(runtime, opened)
    return _Timed(found, intake_seconds, delivery_seconds)


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="dim")


class _Count(ProgressColumn):
    """How many of how many."""

    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed):>9,} of {int(task.total or 0):,}", no_wrap=True)


_BESIDE_THE_BAR: Final = 69
"""Characters that everything else on a bar's line takes, so that it stays one line."""


def _bars(screen: Screen) -> Progress:
    bar = BarColumn(max(8, min(40, screen.console.width - _BESIDE_THE_BAR)))
    return Progress(TextColumn("  {task.description:<22}"), bar, _Count(), TimeElapsedColumn(), _Rate(), console=screen.console)


def _summarise(screen: Screen, timed: _Timed) -> None:
    found = timed.outcome
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in (
        ("purchases", f"{found.purchases:,}"),
        ("customers", f"{found.customers:,}"),
        ("tokens booked", f"{found.tokens_booked:,}"),
        ("tokens in wallets on chain", f"{found.tokens_on_chain:,}"),
        ("payout transactions", f"{found.transactions:,}"),
        ("seconds until all was booked", f"{timed.intake_seconds:.1f}"),
        ("seconds until all was final", f"{timed.delivery_seconds:.1f}"),
        ("every wallet equals its ledger", "[green]yes[/]" if found.consistent else "[bold red]no[/]"),
    ):
        table.add_row(f"  {name}", value)
    screen.line()
    screen.console.print(table)
    for finding in found.findings[:_SHOWN_FINDINGS]:
        screen.line(f"  {finding}", style="red")
