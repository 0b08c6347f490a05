"""The work handlers of settlements: each looks at the rows, does what there is to do, and says when it wants to run again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from guerdon.activity.settlements import proving, reading, recrediting, sweeping, watching
from guerdon.activity.settlements.deps import SettlementDeps
from guerdon.activity.settlements.work import CREDIT, PROVE, READ, SWEEP, WATCH
from guerdon.kit.database import Database
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import ensure_scheduled
from guerdon.kit.worker import Handler


def handlers(deps: SettlementDeps) -> dict[str, Handler]:
    """The handler of each kind of work."""

    async def prove(program_id: UUID):  # noqa: ANN202 - as the kind says
        return await proving.prove(deps, program_id)

    async def watch(program_id: UUID) -> timedelta | None:
        return await watching.watch(deps, program_id)

    async def read(program_id: UUID) -> timedelta | None:
        return await reading.read(deps, program_id)

    async def credit(program_id: UUID) -> timedelta:
        return await recrediting.credit_proofs(deps, program_id)

    async def sweep(_: UUID) -> timedelta:
        return await sweeping.sweep(deps)

    return {PROVE: prove, WATCH: watch, READ: read, CREDIT: credit, SWEEP: sweep}


async def schedule(database: Database) -> None:
    """Give the sweep its first run; a worker calls this when it starts."""
    async with database.platform() as session:
        await ensure_scheduled(session, SWEEP, PLATFORM_PROGRAM_ID)
