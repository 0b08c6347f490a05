"""The work of drops: looks at every drop and season that is not over, does what there is to do, says when to come again."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import structlog

from guerdon.chains.port import ChainUnavailableError
from guerdon.kit.failures import each_apart, note_failure
from guerdon.kit.worker import Handler
from guerdon.payouts import drops_claims, drops_collecting, drops_publishing
from guerdon.payouts import repository_drops as repository
from guerdon.payouts.deps import PayoutDeps
from guerdon.payouts.models_drops import WORK, Drop, DropSeason, DropState, SeasonState
from guerdon.payouts.terms_drops import DropTerms

log = structlog.get_logger("guerdon.drops")


def handlers(deps: PayoutDeps, terms: DropTerms | None = None) -> dict[str, Handler]:
    """The handler of the one kind of work."""
    used = terms or DropTerms()

    async def work(_: UUID) -> timedelta:
        return await advance(deps, used)

    return {WORK: work}


async def advance(deps: PayoutDeps, terms: DropTerms) -> timedelta:
    """Move every drop and season on by what can be done now; when to come again."""
    async with deps.database.platform() as session:
        drops = await repository.unfinished_drops(session)
        seasons = list(await repository.unfinished_seasons(session))
    more = False

    async def move(drop: Drop) -> None:
        nonlocal more
        more |= await _apart(deps, "moving a drop on", drop.id, _of_drop(deps, terms, drop))

    async def watch(season: DropSeason) -> None:
        nonlocal more
        more |= await _apart(deps, "watching a season", season.id, _of_season(deps, terms, season))

    # Roots first: a season is closed only where none of it is on its way. A program whose chain is silent delays no other.
    await each_apart(drops, lambda drop: drop.program_id, move)
    await each_apart(seasons, lambda season: season.program_id, watch)
    if more:
        return timedelta(0)
    return timedelta(seconds=terms.look_seconds if drops or seasons else terms.idle_seconds)


async def _apart(deps: PayoutDeps, step: str, subject: UUID, work: Awaitable[bool]) -> bool:
    try:
        return await work
    except ChainUnavailableError as error:
        log.warning("drops.chain_unavailable", step=step, subject=str(subject), error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        await note_failure(deps.database, step, str(subject), error)
    return False


async def _of_drop(deps: PayoutDeps, terms: DropTerms, drop: Drop) -> bool:
    async with deps.database.platform() as session:
        season = await repository.season(session, drop.program_id, drop.season_id)
    if season is None:
        return False
    match DropState(drop.state):
        case DropState.COLLECTING:
            await drops_collecting.collect(deps, terms, drop)
            return True
        case DropState.COLLECTED:
            await drops_collecting.commit_root(deps, terms, drop)
            return True
        case DropState.COMMITTED:
            return await drops_publishing.publish(deps, terms, season, drop)
        case DropState.PUBLISHING:
            await drops_publishing.follow(deps, terms, season, drop)
        case DropState.CANCELLING:
            return await drops_collecting.give_back(deps, terms, season, drop)
        case DropState.PUBLISHED | DropState.CANCELLED:
            pass
    return False


async def _of_season(deps: PayoutDeps, terms: DropTerms, season: DropSeason) -> bool:
    if season.state == SeasonState.RETURNING:
        return await drops_collecting.give_back(deps, terms, season, None)
    try:
        more = await drops_claims.watch(deps, terms, season)
    except drops_claims.ClaimsDifferError as error:
        await drops_claims.tell_differs(deps, season, str(error))
        return False
    async with deps.database.platform() as session:
        now = await repository.season(session, season.program_id, season.id)
    return more or (now is not None and now.state == SeasonState.RETURNING)
