"""The work handlers of payouts: each looks at the rows, does what there is to do, and says when it wants to run again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from guerdon.chains.networks import SOLANA
from guerdon.kit.errors import GuerdonError
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import ensure_scheduled
from guerdon.kit.worker import Handler
from guerdon.ledger.models import Asset, Delivered
from guerdon.payouts import advancing, drops_jobs, freezing, repository, reserving, sweeping
from guerdon.payouts.claims import checks
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models import Work
from guerdon.payouts.models_drops import WORK as DROPS
from guerdon.payouts.reserving import GasPrice, Outcome
from guerdon.payouts.solana.rail import LAMPORTS_A_GAS
from guerdon.programs import repository as programs
from guerdon.txmanager import repository_treasuries, tokens
from guerdon.txmanager.models import Network, Treasury

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

    own = {Work.RESERVE: reserve, Work.FREEZE: freeze, Work.ADVANCE: advance, Work.SWEEP: sweep}
    return {**own, **drops_jobs.handlers(deps)}


async def schedule(deps: PayoutDeps) -> None:
    """Give the sweep and the drops their first run; a worker calls this when it starts."""
    async with deps.database.platform() as session:
        await ensure_scheduled(session, Work.SWEEP, PLATFORM_PROGRAM_ID)
        await ensure_scheduled(session, DROPS, PLATFORM_PROGRAM_ID)


async def reserve_turn(deps: PayoutDeps, program_id: UUID) -> timedelta | None:
    """A program's turn: some chunks of what waits in each asset, then the others' turn. When to come again."""
    async with deps.database.program(program_id) as session:
        assets = await repository.assets_waiting(session, program_id)
        budget = await programs.gas_budget(session, program_id)
    waits: list[timedelta] = []
    async with deps.database.platform() as session:
        purses = [one for asset_id in assets for one in await repository_treasuries.treasuries_of_asset(session, asset_id)]
        missing = {asset_id for asset_id in assets if all(purse.asset_id != asset_id for purse in purses)}
        kinds = [await session.get_one(Asset, asset_id) for asset_id in assets]
    claimed = {asset.id for asset in kinds if asset.delivery == Delivered.ON_CLAIM}
    if missing:
        waits.append(timedelta(seconds=deps.terms.wait_seconds))
    for treasury in purses:
        try:
            gas_price = GasPrice(None if budget is None else await _gas_price(deps, treasury))
        except GuerdonError as error:
            # The other treasuries' chains may answer.
            log.warning("payouts.reserve.no_gas_price", program_id=str(program_id), network=treasury.network, code=error.code)
            waits.append(timedelta(seconds=deps.terms.wait_seconds))
            continue
        confirmed = await checks.confirm(deps, program_id, treasury) if treasury.asset_id in claimed else frozenset[UUID]()
        outcome = Outcome.RESERVED
        for _ in range(deps.terms.chunks_a_turn):
            outcome = await reserving.reserve(
                deps.database, program_id, treasury.id, terms=deps.terms, gas_price=gas_price, confirmed=confirmed
            )
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


async def _gas_price(deps: PayoutDeps, treasury: Treasury) -> int:
    """What a unit of gas may cost on a treasury's network now. At Solana's price a payout's is a token account's rent."""
    async with deps.database.platform() as session:
        network = await session.get_one(Network, treasury.network)
    return LAMPORTS_A_GAS if network.namespace == SOLANA else await tokens.gas_price(await deps.chain(treasury.network))
