"""`Prefer: wait=N`: callers that wait for the transaction of their payout. Bounded, and one query a program for all of them."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from typing import Final
from uuid import UUID

import structlog

from guerdon.activity import repository_intake
from guerdon.kit import driver
from guerdon.kit.database import Database, begin_in_program

MAX_WAITERS: Final = 256
MAX_WAIT_SECONDS: Final = 10
POLL_SECONDS: Final = 0.1

_WAIT = re.compile(r"(?:^|[\s,;])wait\s*=\s*([0-9]{1,4})(?:$|[\s,;])")

log = structlog.get_logger("guerdon.intake")


def preferred_wait(prefer: str | None) -> int:
    """The seconds that a `Prefer` header asks to wait, 0 for none, `MAX_WAIT_SECONDS` at most."""
    match = None if prefer is None else _WAIT.search(prefer)
    return 0 if match is None else min(int(match[1]), MAX_WAIT_SECONDS)


class TransactionWatch:
    """Tells waiting callers the transaction of a delivery as soon as it is sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: defaultdict[UUID, dict[UUID, asyncio.Future[str]]] = defaultdict(dict)
        self._waiters = 0
        self._task: asyncio.Task[None] | None = None

    async def transaction(self, program_id: UUID, delivery_id: UUID, seconds: float) -> str | None:
        """The transaction of the delivery, or None if there is none within `seconds`, or too many are waiting."""
        if self._waiters >= MAX_WAITERS:
            return None
        waiting = self._waiting[program_id]
        found = waiting.setdefault(delivery_id, asyncio.get_running_loop().create_future())
        self._waiters += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            # Shielded: several events of one account wait for one delivery.
            return await asyncio.wait_for(asyncio.shield(found), seconds)
        except TimeoutError:
            return None
        finally:
            self._waiters -= 1

    async def close(self) -> None:
        """Stop watching; who waits is answered without a transaction when its time is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while self._waiters:
            await asyncio.sleep(POLL_SECONDS)
            for program_id in list(self._waiting):
                try:
                    await self._look(program_id)
                except Exception as error:
                    if not driver.is_connection_failure(error):
                        raise
                    log.warning("watch_lost_database", error=type(error).__name__)
        self._waiting.clear()

    async def _look(self, program_id: UUID) -> None:
        waiting = self._waiting[program_id]
        pool = await self._database.raw()
        async with pool.acquire() as connection:
            await connection.execute(begin_in_program(program_id))
            found = await repository_intake.transactions(connection, program_id, list(waiting))
            await connection.execute("COMMIT")
        for delivery_id, transaction_hash in found.items():
            future = waiting.pop(delivery_id)
            if not future.done():
                future.set_result(transaction_hash)
        if not waiting:
            self._waiting.pop(program_id, None)
