"""An engine as a process of its own, for tests that kill it: nothing but the product's parts, told by the environment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from uuid import UUID

from guerdon.chains.evm import EvmClient
from guerdon.chains.networks import EIP155
from guerdon.chains.solana.client import SolanaClient
from guerdon.kit.database import Database
from guerdon.kit.secrets import KeyRing, MasterKey
from guerdon.txmanager.engine import KeyEngine
from guerdon.txmanager.solana.engine import SolanaEngine
from guerdon.txmanager.terms import EngineTerms


async def main() -> None:
    told = json.loads(os.environ["ENGINE"])
    is_evm = told["namespace"] == EIP155
    database, rpc = Database(told["database"]), (EvmClient if is_evm else SolanaClient)(told["rpc"])
    engine = (KeyEngine if is_evm else SolanaEngine)(
        database=database,
        rpc=rpc,
        secrets=KeyRing(MasterKey.from_text(told["master"])),
        network=told["network"],
        deployment_id=UUID(told["deployment"]),
        terms=EngineTerms(**told["terms"]),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        await engine.run(stop)
    finally:
        await rpc.aclose()
        await database.close()


if __name__ == "__main__":
    asyncio.run(main())
