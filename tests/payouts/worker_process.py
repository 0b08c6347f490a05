"""A worker with its engine as a process of its own, for tests that kill it. It holds still right before or after its nth commit
that wrote something, and says so on stdout: the test kills it there.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from guerdon.chains.evm import EvmClient
from guerdon.kit.database import Database, raw_connection
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.kit.worker import Worker
from guerdon.payouts import jobs
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.terms import PayoutTerms
from guerdon.programs import funding
from guerdon.programs.funding import FundingDeps
from guerdon.txmanager.engine import KeyEngine
from guerdon.txmanager.terms import EngineTerms


class HaltingDatabase(Database):
    """Counts transactions that wrote, and holds still at the nth."""

    def __init__(self, url: str, nth: int, when: str) -> None:
        super().__init__(url)
        self._left = nth
        self._when = when

    @asynccontextmanager
    async def _transaction(self, session_type: Any, begin: str) -> AsyncGenerator[Any]:
        wrote = False
        async with super()._transaction(session_type, begin) as session:
            yield session
            await session.flush()
            wrote = await (await raw_connection(session)).fetchval("select pg_current_xact_id_if_assigned() is not null")
            self._left -= bool(wrote)
            if wrote and self._left == 0 and self._when == "before":
                _hold_still()
        if wrote and self._left == 0 and self._when == "after":
            _hold_still()


def _hold_still() -> None:
    sys.stdout.write("halt\n")
    sys.stdout.flush()
    # The whole process: another task must not go on meanwhile.
    signal.pause()


async def main() -> None:
    told = json.loads(os.environ["WORKER"])
    database, rpc = HaltingDatabase(told["database"], told["nth"], told["when"]), EvmClient(told["rpc"])

    async def chain(_network: str, /) -> EvmClient:
        return rpc

    deps = PayoutDeps(database, chain, PayoutTerms(**told["terms"]))
    funding_deps = FundingDeps(database, chain)

    async def fund(_: UUID) -> Any:
        return await funding.advance(funding_deps)

    engine = KeyEngine(
        database=database,
        rpc=rpc,
        secrets=KeyRing(MasterKey.from_text(told["master"])),
        network="local",
        deployment_id=UUID(told["deployment"]),
        terms=EngineTerms(**told["engine"]),
    )
    await jobs.schedule(deps)
    stop = asyncio.Event()
    await asyncio.gather(engine.run(stop), Worker(database, {**jobs.handlers(deps), funding.WORK: fund}).run(stop))


if __name__ == "__main__":
    asyncio.run(main())
