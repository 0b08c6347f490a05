"""The work handler of members: sessions and challenges that are over are forgotten, a bounded piece at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from guerdon.accounts import repository_members
from guerdon.kit.database import Database, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import ensure_scheduled
from guerdon.kit.worker import Handler

FORGET: Final = "members.forget"
_EVERY: Final = timedelta(hours=6)
_KEPT: Final = timedelta(days=7)
"""Whoever uses an old challenge is told for so long that it has expired."""
_ROWS: Final = 2_000
"""Of each table, in one transaction."""


def handlers(database: Database) -> dict[str, Handler]:
    """The handler of each kind of work."""

    async def forget(_: UUID) -> timedelta:
        await forget_what_is_over(database)
        return _EVERY

    return {FORGET: forget}


async def schedule(database: Database) -> None:
    """Give the work its first run; a worker calls this when it starts."""
    async with database.platform() as session:
        await ensure_scheduled(session, FORGET, PLATFORM_PROGRAM_ID)


async def forget_what_is_over(database: Database) -> None:
    """Delete sessions and challenges that ended a week ago."""
    gone = _ROWS
    while gone >= _ROWS:
        async with database.platform() as session:
            gone = await repository_members.delete_old(session, await transaction_time(session) - _KEPT, _ROWS)
