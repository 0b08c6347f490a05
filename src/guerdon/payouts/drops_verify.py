"""Drops against themselves and the chain, for `ledger verify`. Reads only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text

from guerdon.kit.database import ProgramSession
from guerdon.payouts import repository_drops as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.drops import on_chain
from guerdon.payouts.models_drops import DropSeason, SeasonState
from guerdon.txmanager import tokens
from guerdon.txmanager.models import Treasury

_SUMS = """
select coalesce(sum(amount_atomic) filter (where fate = 'claimed'), 0) as claimed
  from drop_leaves where program_id = :program_id and season_id = :season_id
"""


async def lying_in_drops(deps: PayoutDeps, treasury: Treasury, block: int) -> int:
    """Tokens of a treasury that, after a block, lie in its drops or were claimed there and are not delivered in the books."""
    total = 0
    async with deps.database.platform() as session:
        seasons = await repository.seasons_of_treasury(session, treasury.id)
    for season in seasons:
        seen = await on_chain(deps, season, hex(block))
        total += (0 if seen.closed else seen.total - seen.paid) + seen.paid - season.claimed_atomic
    return total


async def against_the_chain(deps: PayoutDeps) -> list[tuple[str, dict[str, Any]]]:
    """Seasons whose books are not what their leaves say, or not what the chain says at finality."""
    async with deps.database.platform() as session:
        seasons = await repository.published_seasons(session)
    found: list[tuple[str, dict[str, Any]]] = []
    for season in seasons:
        async with deps.database.program(season.program_id) as session:
            claimed = await _claimed(session, season)
            now = await repository.season(session, season.program_id, season.id)
        if now is None or now.claimed_atomic != claimed:
            found.append((
                "what a season delivered is what its claimed leaves say",
                _row(season.program_id, season, here="" if now is None else str(now.claimed_atomic), leaves=str(claimed)),
            ))  # fmt: skip
            continue
        final = await tokens.final_block(await deps.chain(season.network))
        seen = await on_chain(deps, season, hex(final))
        over = season.state in {SeasonState.RETURNING, SeasonState.CLOSED}
        # The chain may be ahead of the books, and never behind them.
        if seen.paid < claimed or seen.total < season.total_atomic or (over and (not seen.closed or seen.paid != claimed)):
            found.append((
                "a season is on chain what it is here",
                _row(season.program_id, season, state=season.state, claimed=str(claimed), paid_on_chain=str(seen.paid),
                     total=str(season.total_atomic), total_on_chain=str(seen.total), closed_on_chain=seen.closed),
            ))  # fmt: skip
    return found


async def _claimed(session: ProgramSession, season: DropSeason) -> int:
    told = {"program_id": season.program_id, "season_id": season.id}
    return int((await session.execute(text(_SUMS), told)).scalar_one())


def _row(program_id: UUID, season: DropSeason, **fields: object) -> dict[str, Any]:
    return {"program_id": program_id, "subject": season.id, **fields}
