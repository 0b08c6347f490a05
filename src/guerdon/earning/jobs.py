"""Work handlers of what was earned: counters of days that are over, points whose holding time is over, pools that have ended,
points that expire. Each goes through a program a bounded piece at a time, in transactions of its own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from guerdon.earning import repository, repository_accruals, repository_campaigns, repository_volume
from guerdon.earning.errors import CampaignNotFoundError
from guerdon.earning.expiry import expire_page
from guerdon.earning.pool_payout import freeze, frozen_from, pay
from guerdon.earning.service_campaigns import FREEZE
from guerdon.earning.service_volume import EXPIRE
from guerdon.earning.volume_booking import MATURE
from guerdon.earning.volume_life import mature
from guerdon.earning.volume_terms import VolumeTerms
from guerdon.kit.database import Database, ProgramSession, run_in_program, transaction_time
from guerdon.kit.ids import PLATFORM_PROGRAM_ID
from guerdon.kit.jobs import ensure_scheduled, wake
from guerdon.kit.outbox import Severity, raise_alert, resolve_alert
from guerdon.kit.worker import Handler
from guerdon.ledger.errors import NotEnoughPointsError
from guerdon.programs.repository import programs_after

FORGET: Final = "limits.forget"
SWEEP: Final = "volume.sweep"
"""Of the platform: wake what everybody forgot."""
_SWEPT: Final = timedelta(minutes=1)
_EVERY: Final = timedelta(hours=6)
_KEPT: Final = timedelta(days=1)
"""A batch that is decided just before midnight counts for the day before."""
_PROGRAMS: Final = 200
_COUNTERS: Final = 2_000
"""In one transaction."""
_ACCRUALS: Final = 500
_UNTIL_FUNDED: Final = timedelta(minutes=5)
_ALERT: Final = "campaign.short_of_funds"


def handlers(database: Database) -> dict[str, Handler]:
    """The handler of each kind of work."""

    async def forget(_: UUID) -> timedelta:
        await forget_past_days(database)
        return _EVERY

    async def make_available(program_id: UUID) -> datetime | None:
        return await mature_all(database, program_id)

    async def share_out(program_id: UUID) -> datetime | timedelta | None:
        return await share_out_pools(database, program_id)

    async def expire(program_id: UUID) -> timedelta | None:
        return await expire_all(database, program_id)

    async def sweep(_: UUID) -> timedelta:
        return await wake_overdue(database)

    return {FORGET: forget, MATURE: make_available, FREEZE: share_out, EXPIRE: expire, SWEEP: sweep}


async def schedule(database: Database) -> None:
    """Give the work its first run; a worker calls this when it starts."""
    async with database.platform() as session:
        await ensure_scheduled(session, FORGET, PLATFORM_PROGRAM_ID)
        await ensure_scheduled(session, SWEEP, PLATFORM_PROGRAM_ID)


async def wake_overdue(database: Database) -> timedelta:
    """Wake what everybody forgot (SAFETY S23); when to come again."""
    async with database.platform() as session:
        overdue = await repository_volume.work_waiting(session)
    for kind, program_id in overdue:
        # One transaction each: a program's own work wakes the same rows.
        async with database.platform() as session:
            if kind == EXPIRE:
                # It comes again by itself, and has nothing overdue that could be seen from here.
                await ensure_scheduled(session, kind, program_id)
            else:
                await wake(session, kind, program_id)
    return _SWEPT


async def forget_past_days(database: Database) -> None:
    """Delete what was counted on days that are over; limits that never start anew stay."""
    after: UUID | None = None
    while True:
        async with database.platform() as session:
            page = [program.id for program in await programs_after(session, after, _PROGRAMS)]
        for program_id in page:
            await _forget_of(database, program_id)
        if len(page) < _PROGRAMS:
            return
        after = page[-1]


async def _forget_of(database: Database, program_id: UUID) -> None:
    deleted = _COUNTERS
    while deleted == _COUNTERS:
        async with database.program(program_id) as session:
            before = (await transaction_time(session) - _KEPT).date()
            deleted = await repository.forget_counters(session, program_id, before, _COUNTERS)


async def mature_all(database: Database, program_id: UUID) -> datetime | None:
    """Make available what was held long enough; when the next is."""

    async def some(session: ProgramSession) -> int:
        return await mature(session, program_id, await transaction_time(session), _ACCRUALS)

    while await run_in_program(database, program_id, some) == _ACCRUALS:
        pass
    async with database.program(program_id) as session:
        return await repository_accruals.next_held_till(session, program_id)


async def share_out_pools(database: Database, program_id: UUID) -> datetime | timedelta | None:
    """Freeze and book every pool that has ended; when the next may be."""
    async with database.program(program_id) as session:
        now = await transaction_time(session)
        due = [(pool.id, frozen_from(pool)) for pool in await repository_campaigns.pools_due(session, program_id, now)]
        following = await repository_campaigns.next_pool_end(session, program_id, now)
    later = [at for _, at in due if at > now]
    for campaign_id, at in due:
        if at <= now and not await _share_out(database, program_id, campaign_id):
            return _UNTIL_FUNDED
    if following is not None:
        later.append(following)
    return min(later) if later else None


async def _share_out(database: Database, program_id: UUID, campaign_id: UUID) -> bool:
    """Freeze and book one pool; whether all of it is booked."""

    async def fix(session: ProgramSession) -> bool:
        return await freeze(session, program_id, campaign_id, await transaction_time(session))

    async def book(session: ProgramSession) -> bool:
        campaign = await repository_campaigns.campaign(session, program_id, campaign_id)
        if campaign is None:
            raise CampaignNotFoundError
        return campaign.paid_at is None and await pay(session, program_id, campaign, await transaction_time(session))

    await run_in_program(database, program_id, fix)
    try:
        while await run_in_program(database, program_id, book):
            pass
    except NotEnoughPointsError:
        async with database.program(program_id) as session:
            await raise_alert(
                session,
                _ALERT,
                str(campaign_id),
                severity=Severity.WARNING,
                message="A pool has ended and the program has no funds left for its shares.",
                remedy="Fund the program (`guerdon program fund`); the shares are booked by themselves then.",
                details={"campaignId": str(campaign_id)},
                program_id=program_id,
            )
        return False
    async with database.program(program_id) as session:
        await resolve_alert(session, _ALERT, str(campaign_id))
    return True


async def _expire_some(session: ProgramSession, terms: VolumeTerms, after: UUID | None) -> UUID | None:
    return await expire_page(session, session.program_id, terms, after, await transaction_time(session))


async def expire_all(database: Database, program_id: UUID) -> timedelta | None:
    """Warn of what will expire and take what has; None where the program's points do not."""
    after: UUID | None = None
    while True:
        async with database.program(program_id) as session:
            terms = await repository_volume.terms_of(session, program_id)
        if terms is None or (terms.expire_after_days is None and terms.expire_idle_days is None):
            return None

        after = await run_in_program(database, program_id, partial(_expire_some, terms=terms, after=after))
        if after is None:
            return _EVERY
