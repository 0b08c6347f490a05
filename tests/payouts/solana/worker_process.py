"""A worker with an engine for Solana as a process of its own, for tests that kill it: the product's parts, told by the environment."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from uuid import UUID

from guerdon.chains.solana.client import SolanaClient
from guerdon.kit.database import Database
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.kit.worker import Worker
from guerdon.payouts import jobs
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.terms import PayoutTerms
from guerdon.programs import funding
from guerdon.programs.funding import FundingDeps
from guerdon.txmanager.solana.engine import SolanaEngine
from guerdon.txmanager.terms import EngineTerms


async def main() -> None:
    told = json.loads(os.environ["WORKER"])
    database, rpc = Database(told["database"]), SolanaClient(told["rpc"])

    async def chain(_network: str, /) -> SolanaClient:
        return rpc

    deps = PayoutDeps(database, chain, PayoutTerms(**told["terms"]), chain)
    engine = SolanaEngine(
        database=database,
        rpc=rpc,
        secrets=KeyRing(MasterKey.from_text(told["master"])),
        network=told["network"],
        deployment_id=UUID(told["deployment"]),
        terms=EngineTerms(**told["engine"]),
    )
    funding_deps = FundingDeps(database, chain, chain)

    async def advance_fundings(_: UUID) -> timedelta | None:
        return await funding.advance(funding_deps)

    await jobs.schedule(deps)
    stop = asyncio.Event()
    handlers = {**jobs.handlers(deps), funding.WORK: advance_fundings}
    await asyncio.gather(engine.run(stop), Worker(database, handlers).run(stop))


if __name__ == "__main__":
    asyncio.run(main())
