"""The work handler of the outbox: what happened long ago is forgotten, a bounded piece at a time."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from guerdon.kit.database import Database, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID, first_of
from guerdon.kit.jobs import ensure_scheduled
from guerdon.kit.worker import Handler
from guerdon.notices import repository

FORGET: Final = "outbox.forget"
_EVERY: Final = timedelta(hours=1)
_ROWS: Final = 2_000
"""In one transaction."""
_TRANSACTIONS_A_TURN: Final = 25


def handlers(database: Database, days: int) -> dict[str, Handler]:
    """The handler of each kind of work; `days` is for how long the outbox keeps what happened."""

    async def forget(_: UUID) -> timedelta:
        return await forget_turn(database, days)

    return {FORGET: forget}


async def schedule(database: Database) -> None:
    """Give the work its first run; a worker calls this when it starts."""
    async with database.platform() as session:
        await ensure_scheduled(session, FORGET, PLATFORM_PROGRAM_ID)


async def forget_turn(database: Database, days: int) -> timedelta:
    """Forget what is older than that many days, then other work's turn. When to come again."""
    for _ in range(_TRANSACTIONS_A_TURN):
        async with database.platform() as session:
            before = await transaction_time(session) - timedelta(days=days)
            if await repository.forget(session, before, first_of(before), _ROWS) < _ROWS:
                return _EVERY
    return timedelta(0)
