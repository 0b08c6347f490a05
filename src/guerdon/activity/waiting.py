"""`Prefer: wait=N`: callers that wait for the transaction of their payout. Bounded, and one query a program for all of them."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
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


@dataclass(slots=True)
class _Awaited:
    """A delivery whose transaction somebody waits for."""

    found: asyncio.Future[str]
    waiters: int = 0


class TransactionWatch:
    """Tells waiting callers the transaction of a delivery as soon as it is sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._awaited: dict[UUID, dict[UUID, _Awaited]] = {}
        """By program and delivery; only what somebody waits for."""
        self._waiters = 0
        self._task: asyncio.Task[None] | None = None

    async def transaction(self, program_id: UUID, delivery_id: UUID, seconds: float) -> str | None:
        """The transaction of the delivery, or None if there is none within `seconds`, or too many are waiting."""
        if self._waiters >= MAX_WAITERS:
            return None
        deliveries = self._awaited.setdefault(program_id, {})
        awaited = deliveries.setdefault(delivery_id, _Awaited(asyncio.get_running_loop().create_future()))
        awaited.waiters += 1
        self._waiters += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            # Shielded: several events of one account wait for one delivery.
            return await asyncio.wait_for(asyncio.shield(awaited.found), seconds)
        except TimeoutError:
            return None
        finally:
            self._waiters -= 1
            awaited.waiters -= 1
            if not awaited.waiters and deliveries.get(delivery_id) is awaited:
                del deliveries[delivery_id]
                if not deliveries and self._awaited.get(program_id) is deliveries:
                    del self._awaited[program_id]

    async def close(self) -> None:
        """Stop watching; who waits is answered without a transaction when its time is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while self._waiters:
            await asyncio.sleep(POLL_SECONDS)
            for program_id, deliveries in list(self._awaited.items()):
                try:
                    await self._look(program_id, deliveries)
                except Exception as error:
                    if not driver.is_connection_failure(error):
                        raise
                    log.warning("watch_lost_database", error=type(error).__name__)

    async def _look(self, program_id: UUID, deliveries: dict[UUID, _Awaited]) -> None:
        pool = await self._database.raw()
        async with pool.acquire() as connection:
            await connection.execute(begin_in_program(program_id))
            found = await repository_intake.transactions(connection, program_id, list(deliveries))
            await connection.execute("COMMIT")
        for delivery_id, transaction_hash in found.items():
            awaited = deliveries.get(delivery_id)
            if awaited is not None and not awaited.found.done():
                awaited.found.set_result(transaction_hash)
