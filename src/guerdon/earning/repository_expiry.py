"""SQL of points that expire: what an account has, how much of it is newer than a time, and whom it was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from guerdon.kit.database import ScopedSession, raw_connection


@dataclass(frozen=True, slots=True)
class Times:
    """The times that a run of expiry goes by; None: that basis is not used."""

    today: date
    expires: datetime | None
    """Lots earned up to then are too old."""
    warns: datetime | None
    """Lots earned up to then will be, `warn_days` from now."""
    warned_by: date | None
    """Only what was said on that day or before may expire; None: nobody is warned."""


@dataclass(frozen=True, slots=True)
class Aging:
    """One account's points of one asset, by age."""

    account_id: UUID
    available: int
    newer: int
    """Of lots that do not expire now, and so stay whatever was spent: the oldest are spent first."""
    newer_than_warned: int
    """Of lots that nobody was warned of yet."""
    newer_than_warning: int
    """Of lots that do not expire within the time of a warning."""
    active_at: datetime | None
    idle_warned_on: date | None


# The lots are the accruals whose points are the account's to spend, from when they were. A lot counts as expiring only once it
# was warned of, where anybody is warned at all.
_AGING = """
select b.account_id, b.available, l.newer, l.newer_than_warned, l.newer_than_warning,
       greatest(l.earned_at, c.claimed_at) as active_at, w.idle_warned_on
  from unnest($3::uuid[]) as k(account_id)
 cross join lateral (select account_id, available from account_balances
                      where program_id = $1 and asset_id = $2 and account_id = k.account_id offset 0) b
 cross join lateral (
    select max(cutoff) filter (where basis = 'age' and warned_on <= $6::date) as ripe,
           max(cutoff) filter (where basis = 'age') as warned,
           max(warned_on) filter (where basis = 'idle') as idle_warned_on
      from expiry_warnings where program_id = $1 and account_id = k.account_id and asset_id = $2 offset 0) w
 cross join lateral (
    select coalesce(sum(points - reversed) filter (where spendable and accrued_at > case
               when $4::timestamptz is null then '-infinity' when $6::date is null then $4::timestamptz
               else least($4::timestamptz, coalesce(w.ripe, '-infinity')) end), 0)::bigint as newer,
           coalesce(sum(points - reversed) filter (where spendable
               and accrued_at > coalesce(w.warned, '-infinity')), 0)::bigint as newer_than_warned,
           coalesce(sum(points - reversed) filter (where spendable
               and accrued_at > coalesce($5::timestamptz, '-infinity')), 0)::bigint as newer_than_warning,
           max(accrued_at) as earned_at
      from (select points, reversed, greatest(accrued_at, held_until) as accrued_at, held_for is null as spendable from accruals
             where program_id = $1 and account_id = k.account_id and asset_id = $2) lots offset 0) l
 cross join lateral (select max(requested_at) as claimed_at from deliveries
                      where program_id = $1 and account_id = k.account_id and asset_id = $2 and kind = 'claim' offset 0) c
"""
_HOLDERS = """
select account_id from account_balances
 where program_id = $1 and asset_id = $2 and available > 0 and account_id > $3 order by account_id limit $4
"""
_WARN = """
insert into expiry_warnings (program_id, account_id, asset_id, basis, warned_on, cutoff, points)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (program_id, account_id, asset_id, basis, warned_on) do nothing returning 1
"""
_FORGET = """
delete from expiry_warnings where program_id = $1 and account_id = any($2::uuid[]) and asset_id = $3 and warned_on < $4
"""


async def holders(session: ScopedSession, program_id: UUID, asset_id: UUID, after: UUID, limit: int) -> list[UUID]:
    """A page of the accounts that have something available, by id."""
    rows = await (await raw_connection(session)).fetch(_HOLDERS, program_id, asset_id, after, limit)
    return [row["account_id"] for row in rows]


async def aging(session: ScopedSession, program_id: UUID, asset_id: UUID, accounts: Sequence[UUID], times: Times) -> list[Aging]:
    """How old the points of these accounts are."""
    rows = await (await raw_connection(session)).fetch(
        _AGING, program_id, asset_id, list(accounts), times.expires, times.warns, times.warned_by
    )
    return [Aging(**row) for row in rows]


async def warn(
    session: ScopedSession,
    program_id: UUID,
    account_id: UUID,
    asset_id: UUID,
    basis: str,
    on: date,
    cutoff: datetime,
    points: int,
) -> bool:
    """Note that an account is warned; whether it was not yet, today."""
    connection = await raw_connection(session)
    return await connection.fetchval(_WARN, program_id, account_id, asset_id, basis, on, cutoff, points) is not None


async def forget_warnings(
    session: ScopedSession, program_id: UUID, accounts: Sequence[UUID], asset_id: UUID, before: date
) -> None:
    """Forget warnings of days long past: what they meant has expired, or is warned of anew."""
    await (await raw_connection(session)).execute(_FORGET, program_id, list(accounts), asset_id, before)
