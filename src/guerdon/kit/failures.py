"""What one of many failed at: told to an operator, so that the others go on (a network without an address stops no other)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta
from typing import Final, TypeVar

import structlog
from sqlalchemy import func, update

from guerdon.kit import outbox
from guerdon.kit.database import Database, PlatformSession, run_in_platform
from guerdon.kit.errors import GuerdonError
from guerdon.kit.outbox import OutboxRow, Severity

STEP_FAILED: Final = "work.step_failed"
"""Of a step and what it was done for. Ends by itself some minutes after it was seen last."""
_OVER_AFTER: Final = timedelta(minutes=5)

Item = TypeVar("Item")
Key = TypeVar("Key")

log = structlog.get_logger("guerdon.work")


async def each_apart(items: Iterable[Item], key: Callable[[Item], Key], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do `work` for each item: one after the other where the key is the same, side by side where it is not."""
    groups: defaultdict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)

    async def in_order(group: list[Item]) -> None:
        for item in group:
            await work(item)

    async with asyncio.TaskGroup() as tasks:
        for group in groups.values():
            tasks.create_task(in_order(group))


async def note_failure(database: Database, step: str, subject: str, error: Exception) -> None:
    """Log that `step` failed for `subject`, and raise an alert; whoever calls this tries again later."""
    reason = error.message if isinstance(error, GuerdonError) else type(error).__name__
    log.error("step_failed", step=step, subject=subject, exc_info=error)

    async def tell(session: PlatformSession) -> None:
        await outbox.raise_alert(
            session,
            STEP_FAILED,
            f"{step}:{subject}",
            severity=Severity.WARNING,
            message=f"{step} failed for {subject}: {reason}",
            remedy="`guerdon doctor` says what is missing; the worker's log has the whole error. It is tried again by itself.",
        )

    await run_in_platform(database, tell)


async def forget_unseen(session: PlatformSession, kinds: Collection[str]) -> None:
    """Resolve alerts of these kinds, and of failed steps, that were not raised again for some minutes: their cause is gone."""
    await session.execute(
        update(OutboxRow)
        .where(
            OutboxRow.kind.in_({STEP_FAILED, *kinds}),
            OutboxRow.severity.is_not(None),
            OutboxRow.resolved_at.is_(None),
            OutboxRow.last_seen_at < func.now() - _OVER_AFTER,
        )
        .values(resolved_at=func.now())
    )
