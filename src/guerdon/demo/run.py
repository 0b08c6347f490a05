"""The demo from beginning to end: the stack of `guerdon up`, purchases and payments with their progress, the summary."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from guerdon.app import Runtime, open_runtime
from guerdon.demo.errors import DemoError
from guerdon.demo.outcome import Outcome, outcome, wait_until_final
from guerdon.demo.purchases import TOTAL, read_purchases
from guerdon.demo.replay import replay
from guerdon.demo.shop import OpenShop, open_shop
from guerdon.kit.errors import GuerdonError
from guerdon.local.screen import Screen
from guerdon.local.supervisor import StartError
from guerdon.local.up import Started, everything, show, until_asked
from guerdon.settings import Settings

if TYPE_CHECKING:
    from guerdon.demo.payments import Market, PaymentsOutcome

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
    payments: PaymentsOutcome | None
    """None where the x402 SDK is not installed."""
    payments_seconds: float
    """From the first payment to the last final claim."""

    @property
    def findings(self) -> list[str]:
        """Why books and chains do not agree."""
        return [*self.outcome.findings, *(self.payments.findings if self.payments is not None else [])]

    @property
    def consistent(self) -> bool:
        """Do they, to the token?"""
        return self.outcome.consistent and not self.findings

    def report(self) -> dict[str, Any]:
        """As it is written to a file; times are counted from the first purchase, or payment, to the last of its final tokens."""
        told = self.outcome.report(self.intake_seconds, self.delivery_seconds)
        told["consistent"] = self.consistent
        if self.payments is not None:
            told["payments"] = self.payments.report()
            told["seconds"]["payments"] = round(self.payments_seconds, 2)
        return told


def run_demo(settings: Settings, wishes: Wishes) -> int:
    """Run it; the exit code is 1 when it could not be run, or when books and chain disagree."""
    # The SDK uses what its own libraries call outdated.
    warnings.filterwarnings("ignore", category=FutureWarning, module="x402")

    async def run() -> int:
        screen = Screen()
        try:
            async with everything(settings, screen) as started:
                timed = await until_asked(_replayed(started, wishes), started.stop_asked)
                if timed is None:
                    return 1
                _summarise(screen, timed)
                if wishes.report is not None:
                    wishes.report.write_text(json.dumps(timed.report(), indent=2) + "\n", encoding="utf-8")
                if not wishes.leave:
                    show(started)
                    await started.stop_asked.wait()
                return 0 if timed.consistent else 1
        except StartError as error:
            screen.failed(error.message, error.remedy, error.said)
        except (DemoError, GuerdonError) as error:
            screen.failed(str(error), f"the logs are in {settings.data_dir / 'logs'}")
        return 1

    return asyncio.run(run())


async def _replayed(started: Started, wishes: Wishes) -> _Timed:
    stack, screen = started.stack, started.screen
    total = TOTAL if wishes.limit is None else min(wishes.limit, TOTAL)
    tokens = sum(purchase.tokens for purchase in read_purchases(total))
    async with open_runtime(stack.settings) as runtime, AsyncExitStack() as opening:
        screen.line()
        screen.line(f"{total:,} purchases at CDNOW, 1997 to 1998: one LTZ for each whole dollar", style="bold")
        payments = _payments_part()
        if payments is None:
            screen.line("payments by x402 are left out, for its SDK is missing: pip install 'guerdon[demo]'", style="dim")
        else:
            screen.line(payments.STORY, style="bold")
        with screen.working("opening and funding the programs"):
            async with stack.hurrying():
                shop = asyncio.create_task(open_shop(runtime, stack.web_url, stack.settings.data_dir / _REMEMBERED))
                market = await opening.enter_async_context(payments.open_market(runtime, stack)) if payments else None
                opened = await shop
        with _bars(screen) as bars:
            work: list[Coroutine[Any, Any, float]] = _purchases(runtime, opened, bars, total, tokens)
            if payments and market:
                work.append(_payments(payments, market, bars))
            tasks = [asyncio.create_task(one) for one in work]
            try:
                intake_seconds, delivery_seconds, *payments_seconds = await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        with screen.working("comparing every wallet on chain with the books"):
            found = await outcome(runtime, opened)
            paid = await payments.payments_outcome(market) if payments and market else None
    return _Timed(found, intake_seconds, delivery_seconds, paid, sum(payments_seconds))


def _purchases(runtime: Runtime, opened: OpenShop, bars: Progress, total: int, tokens: int) -> list[Coroutine[Any, Any, float]]:
    """Reporting them, and waiting for their tokens; each returns the seconds that it took."""
    intake_done, began = asyncio.Event(), time.monotonic()
    reported = bars.add_task("purchases booked", total=total)
    paid = bars.add_task("tokens final on chain", total=tokens)

    async def report() -> float:
        await replay(opened.shop, read_purchases(total), lambda more: bars.advance(reported, more))
        intake_done.set()
        return time.monotonic() - began

    async def deliver() -> float:
        await wait_until_final(runtime, opened, intake_done, lambda done: bars.update(paid, completed=done))
        return time.monotonic() - began

    return [report(), deliver()]


def _payments_part() -> ModuleType | None:
    """The module of the payments, which needs the x402 SDK; None without it."""
    return import_module("guerdon.demo.payments") if find_spec("x402") else None


async def _payments(payments: ModuleType, market: Market, bars: Progress) -> float:
    """Making them, and claiming what they earned; the seconds that it took."""
    began = time.monotonic()
    settled = bars.add_task("payments settled", total=market.payments)
    claimed = bars.add_task("claims final on chain", total=len(market.members))
    await payments.pay_and_claim(market, lambda: bars.advance(settled), lambda: bars.advance(claimed))
    return time.monotonic() - began


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None or speed < 1 else f"{speed:,.0f}/s", style="dim")


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
    found, paid = timed.outcome, timed.payments
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    rows = [
        ("purchases", f"{found.purchases:,}"),
        ("customers", f"{found.customers:,}"),
        ("tokens booked", f"{found.tokens_booked:,}"),
        ("tokens in wallets on chain", f"{found.tokens_on_chain:,}"),
        ("payout transactions", f"{found.transactions:,}"),
        ("seconds until all was booked", f"{timed.intake_seconds:.1f}"),
        ("seconds until all was final", f"{timed.delivery_seconds:.1f}"),
    ]
    if paid is not None:
        rows += [
            ("", ""),
            ("payments settled and proven on chain", f"{paid.settled:,}"),
            ("volume credited", f"${paid.volume_cents / 100:,.2f}"),
            ("points booked", f"{paid.points_booked:,}"),
            ("members by tier", ", ".join(f"{number} {tier}" for tier, number in paid.tiers.items())),
            ("points claimed", f"{paid.points_claimed:,}"),
            ("tokens received on Solana", f"{paid.tokens_on_solana:,}"),
            ("tokens received on the EVM chain", f"{paid.tokens_on_evm:,}"),
            ("seconds until all claims were final", f"{timed.payments_seconds:.1f}"),
            ("", ""),
        ]
    rows.append(("every wallet equals its ledger", "[green]yes[/]" if timed.consistent else "[bold red]no[/]"))
    for name, value in rows:
        table.add_row(f"  {name}", value)
    screen.line()
    screen.console.print(table)
    for finding in timed.findings[:_SHOWN_FINDINGS]:
        screen.line(f"  {finding}", style="red")
