"""The work handler of limits: the counters of days that are over are forgotten, program by program, a bounded piece at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from guerdon.earning import repository
from guerdon.kit.database import Database, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import ensure_scheduled
from guerdon.kit.worker import Handler
from guerdon.programs.repository import programs_after

FORGET: Final = "limits.forget"
_EVERY: Final = timedelta(hours=6)
_KEPT: Final = timedelta(days=1)
"""A batch that is decided just before midnight counts for the day before."""
_PROGRAMS: Final = 200
_COUNTERS: Final = 2_000
"""In one transaction."""


def handlers(database: Database) -> dict[str, Handler]:
    """The handler of each kind of work."""

    async def forget(_: UUID) -> timedelta:
        await forget_past_days(database)
        return _EVERY

    return {FORGET: forget}


async def schedule(database: Database) -> None:
    """Give the work its first run; a worker calls this when it starts."""
    async with database.platform() as session:
        await ensure_scheduled(session, FORGET, PLATFORM_PROGRAM_ID)


async def forget_past_days(database: Database) -> None:
    """Delete what was counted on days that are over; limits that never start anew stay."""
    after: UUID | None = None
    while True:
        async with database.platform() as session:
            page = [program.id for program in await programs_after(session, after, _PROGRAMS)]
        for program_id in page:
            await _forget_of(database, program_id)
        if len(page) < _PROGRAMS:
            return
        after = page[-1]


async def _forget_of(database: Database, program_id: UUID) -> None:
    deleted = _COUNTERS
    while deleted == _COUNTERS:
        async with database.program(program_id) as session:
            before = (await transaction_time(session) - _KEPT).date()
            deleted = await repository.forget_counters(session, program_id, before, _COUNTERS)
