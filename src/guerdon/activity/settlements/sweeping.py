"""Wakes what everybody forgot (SAFETY S23)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from guerdon.activity.settlements import repository_sources
from guerdon.activity.settlements.deps import SettlementDeps
from guerdon.activity.settlements.work import READ
from guerdon.kit.jobs import wake

EVERY: Final = timedelta(seconds=30)


async def sweep(deps: SettlementDeps) -> timedelta:
    """Wake the programs that have something to do, and no others; when to come again."""
    async with deps.database.platform() as session:
        waiting = await repository_sources.work_waiting(session)
        readers = await repository_sources.programs_with_readers(session)
    for kind, program_id in sorted({*waiting, *((READ, one) for one in readers)}):
        # One transaction each: a program's own work wakes the same rows.
        async with deps.database.platform() as session:
            await wake(session, kind, program_id)
    return EVERY
