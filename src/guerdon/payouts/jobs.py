"""The work handlers of payouts: each looks at the rows, does what there is to do, and says when it wants to run again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import ensure_scheduled
from guerdon.kit.worker import Handler
from guerdon.payouts import advancing, freezing, repository, reserving, sweeping
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Work
from guerdon.payouts.reserving import GasPrice, Outcome
from guerdon.programs import repository as programs
from guerdon.txmanager import repository_treasuries, tokens

log = structlog.get_logger("guerdon.payouts")


def handlers(deps: PayoutDeps) -> dict[str, Handler]:
    """The handler of each kind of work."""

    async def freeze(_: UUID):  # noqa: ANN202 - as the kind says
        return await freezing.close_and_freeze(deps)

    async def advance(_: UUID) -> timedelta | None:
        return await advancing.advance(deps)

    async def sweep(_: UUID) -> timedelta:
        return await sweeping.sweep(deps)

    async def reserve(program_id: UUID) -> timedelta | None:
        return await reserve_turn(deps, program_id)

    return {Work.RESERVE: reserve, Work.FREEZE: freeze, Work.ADVANCE: advance, Work.SWEEP: sweep}


async def schedule(deps: PayoutDeps) -> None:
    """Give the sweep its first run; a worker calls this when it starts."""
    async with deps.database.platform() as session:
        await ensure_scheduled(session, Work.SWEEP, PLATFORM_PROGRAM_ID)


async def reserve_turn(deps: PayoutDeps, program_id: UUID) -> timedelta | None:
    """A program's turn: some chunks of what waits in each asset, then the others' turn. When to come again."""
    async with deps.database.program(program_id) as session:
        assets = await repository.assets_waiting(session, program_id)
        budget = await programs.gas_budget(session, program_id)
    waits: list[timedelta] = []
    for asset_id in assets:
        try:
            gas_price = GasPrice(None if budget is None else await _gas_price_wei(deps, asset_id))
        except GuerdonError as error:
            # The other assets' chains may answer.
            log.warning("payouts.reserve.no_gas_price", program_id=str(program_id), asset_id=str(asset_id), code=error.code)
            waits.append(timedelta(seconds=deps.terms.wait_seconds))
            continue
        outcome = Outcome.RESERVED
        for _ in range(deps.terms.chunks_a_turn):
            outcome = await reserving.reserve(deps.database, program_id, asset_id, terms=deps.terms, gas_price=gas_price)
            if outcome is not Outcome.RESERVED:
                break
        match outcome:
            case Outcome.RESERVED:
                waits.append(timedelta(0))
            case Outcome.TOO_MANY_AHEAD:
                waits.append(timedelta(seconds=deps.terms.full_wait_seconds))
            case Outcome.CANNOT_PAY:
                waits.append(timedelta(seconds=deps.terms.wait_seconds))
            case Outcome.NOTHING_WAITS:
                pass
    return min(waits, default=None)


async def _gas_price_wei(deps: PayoutDeps, asset_id: UUID) -> int | None:
    async with deps.database.platform() as session:
        treasury = await repository_treasuries.treasury_of_asset(session, asset_id)
    return None if treasury is None else await tokens.gas_price(await deps.chain(treasury.network))
