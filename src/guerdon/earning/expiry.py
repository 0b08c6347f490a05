"""Points that expire, by the age of the lot or after a time without activity; the oldest first, and warned of before.

What is spent is spent of the oldest lots, so what has to stay is what the newer lots brought, as far as it is there: nothing is
counted twice and nothing is kept beside the books.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from guerdon.earning import repository_expiry as repository
from guerdon.earning.repository_expiry import Aging, Times
from guerdon.earning.volume_terms import VolumeTerms
from guerdon.kit.database import ScopedSession
from guerdon.kit.outbox import append
from guerdon.ledger import repository as ledger_repository
from guerdon.ledger import service as ledger
from guerdon.ledger.models import PostingKind
from guerdon.ledger.postings import Movement

ACCOUNTS_A_TRANSACTION = 200
_KEPT_WARNINGS = timedelta(days=60)
_FIRST = UUID(int=0)


def times_of(terms: VolumeTerms, now: datetime) -> Times:
    """The times that a run at `now` goes by."""
    after = None if terms.expire_after_days is None else now - timedelta(days=terms.expire_after_days)
    today = now.astimezone(UTC).date()
    warning = timedelta(days=terms.warn_days)
    return Times(
        today=today,
        expires=after,
        warns=None if after is None else after + warning,
        warned_by=today - warning if terms.warn_days else None,
    )


def expiring(aging: Aging, terms: VolumeTerms, times: Times, now: datetime) -> int:
    """Points of an account that expire now."""
    by_age = aging.available - aging.newer if times.expires is not None else 0
    return max(by_age, aging.available if _is_idle(aging, terms, times, now) else 0, 0)


def to_warn_of(aging: Aging, terms: VolumeTerms, times: Times, now: datetime) -> tuple[int, int]:
    """Points that will expire within the time of a warning, and were not warned of: (by age, for want of activity)."""
    if times.warned_by is None:
        return 0, 0
    by_age = 0
    if times.expires is not None and aging.newer_than_warned > aging.newer_than_warning:
        by_age = max(aging.available - aging.newer_than_warning, 0)
    idle = 0
    if terms.expire_idle_days is not None and aging.active_at is not None:
        ends = aging.active_at + timedelta(days=terms.expire_idle_days - terms.warn_days)
        warned = aging.idle_warned_on is not None and aging.idle_warned_on > aging.active_at.astimezone(UTC).date()
        idle = aging.available if ends <= now and not warned else 0
    return by_age, idle


async def expire_page(
    session: ScopedSession, program_id: UUID, terms: VolumeTerms, after: UUID | None, now: datetime
) -> UUID | None:
    """Warn and expire for some accounts; the last of them, None where there are no more."""
    times, asset_id = times_of(terms, now), terms.asset_id
    accounts = await repository.holders(session, program_id, asset_id, after or _FIRST, ACCOUNTS_A_TRANSACTION)
    if not accounts:
        return None
    seen = await repository.aging(session, program_id, asset_id, accounts, times)
    for one in seen:
        await _warn(session, program_id, one, terms, times, now)
    await repository.forget_warnings(
        session, program_id, accounts, asset_id, times.today - timedelta(days=terms.warn_days) - _KEPT_WARNINGS
    )
    over = [one.account_id for one in seen if expiring(one, terms, times, now)]
    if over:
        balances = await ledger_repository.lock_account_balances(session, program_id, {(asset_id, one) for one in over})
        # Again, under the locks (SAFETY S10): points may be claimed meanwhile, and there may be new ones.
        movements: list[Movement] = []
        for one in await repository.aging(session, program_id, asset_id, sorted(over), times):
            points = expiring(one, terms, times, now)
            if points:
                ref = uuid5(one.account_id, f"expire/{asset_id}/{balances[asset_id, one.account_id].version}")
                movements.append(Movement(PostingKind.EXPIRE, ref, asset_id, points, one.account_id))
                told = {"accountId": str(one.account_id), "points": str(points)}
                await append(session, "points.expired", told, program_id=program_id)
        await ledger.post_new(session, program_id, movements, balances, now)
    return accounts[-1] if len(accounts) == ACCOUNTS_A_TRANSACTION else None


async def _warn(session: ScopedSession, program_id: UUID, aging: Aging, terms: VolumeTerms, times: Times, now: datetime) -> None:
    by_age, idle = to_warn_of(aging, terms, times, now)
    at = now + timedelta(days=terms.warn_days)
    for basis, points, cutoff in (("age", by_age, times.warns), ("idle", idle, now)):
        if points and cutoff is not None:
            ids = (program_id, aging.account_id, terms.asset_id)
            if await repository.warn(session, *ids, basis, times.today, cutoff, points):
                told = {"accountId": str(aging.account_id), "points": str(points), "at": at.isoformat(), "why": basis}
                await append(session, "points.expiring", told, program_id=program_id)


def _is_idle(aging: Aging, terms: VolumeTerms, times: Times, now: datetime) -> bool:
    if terms.expire_idle_days is None or aging.active_at is None:
        return False
    if aging.active_at + timedelta(days=terms.expire_idle_days) > now:
        return False
    if times.warned_by is None:
        return True
    warned = aging.idle_warned_on
    return warned is not None and aging.active_at.astimezone(UTC).date() < warned <= times.warned_by
