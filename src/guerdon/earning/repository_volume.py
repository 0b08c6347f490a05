"""SQL of settled volume: what a batch locks and reads. What it writes is `repository_volume_write.py`.

Locks in the order of SAFETY S15: balances of accounts by key, campaigns by id, caps by key; the program's balance is last of all.
Whoever holds an account's balance owns its volume, fraction, accruals and parts in campaigns; whoever holds a campaign's counter
its payers. What is decided on is read in later statements than the locks (S10). Rows are looked up by their whole key, whatever
the planner knows of the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.dialects.postgresql import insert

from guerdon.earning.campaign_config import campaigns_of_rows
from guerdon.earning.models_volume import VolumeTermsRow
from guerdon.earning.volume_state import DayKey, Participation, PayerKey, Spending
from guerdon.earning.volume_terms import Campaign, Credit, Downgrade, Tier, VolumeTerms, multiplier_of
from guerdon.kit.database import PlatformSession, ScopedSession, raw_connection
from guerdon.ledger.models import Asset
from guerdon.programs.models import Program


async def terms_of(session: ScopedSession, program_id: UUID) -> VolumeTerms | None:
    """What the program lays down for settled volume, or the defaults in its own asset; None if there is no such program."""
    row = await session.get(VolumeTermsRow, program_id, populate_existing=True)
    if row is None:
        program = await session.get(Program, program_id)
        if program is None:
            return None
        asset = await session.get(Asset, program.asset_id)
        return VolumeTerms(asset_id=program.asset_id, version=0, delivery="on_claim" if asset is None else asset.delivery)
    asset = await session.get(Asset, row.asset_id)
    return VolumeTerms(
        asset_id=row.asset_id,
        points_per_unit=row.points_per_unit,
        unit_micro_usd=row.unit_micro_usd,
        credit=Credit(row.credit),
        backdate_days=row.backdate_days,
        holding_seconds=row.holding_seconds,
        min_volume_micro_usd=row.min_volume_micro_usd,
        tiers=tuple(Tier(t["name"], int(t["volume_micro_usd"]), multiplier_of(t["multiplier"])) for t in row.tiers),
        window_days=row.window_days,
        grace_days=row.grace_days,
        downgrade=Downgrade(row.downgrade),
        cap_account=row.cap_account,
        cap_payer=row.cap_payer,
        cap_program=row.cap_program,
        expire_after_days=row.expire_after_days,
        expire_idle_days=row.expire_idle_days,
        warn_days=row.warn_days,
        version=row.version,
        delivery="on_claim" if asset is None else asset.delivery,
    )


# A campaign that is not active for any time of the batch has no say in it, and is not locked.
_CANDIDATES = """
select c.id from campaigns c
 where c.program_id = $1 and c.version > 0 and c.frozen_at is null
   and exists (select from campaign_versions v where v.program_id = $1 and v.campaign_id = c.id
                and v.start_at <= $3 and v.end_at > $2)
 order by c.id
"""
_LOCK_CAMPAIGNS = """
select c.* from unnest($2::uuid[]) as w(id) cross join lateral (
    select campaign_id, spent, participants from campaign_counters
     where program_id = $1 and campaign_id = w.id for update offset 0) c
"""
_VERSIONS = """
select c.id, c.name, c.type, c.frozen_at is not null as frozen, v.version, v.state, v.effective_from, v.start_at, v.end_at,
    v.facilitator_id, v.config
  from unnest($2::uuid[]) as w(id)
 cross join lateral (select * from campaigns where program_id = $1 and id = w.id offset 0) c
 cross join lateral (select * from campaign_versions where program_id = $1 and campaign_id = w.id order by version offset 0) v
"""


async def candidates(session: ScopedSession, program_id: UUID, first: datetime, last: datetime) -> list[UUID]:
    """Campaigns that may have a say in what was settled between those times, by id."""
    rows = await (await raw_connection(session)).fetch(_CANDIDATES, program_id, first, last)
    return [row["id"] for row in rows]


async def lock_campaigns(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> dict[UUID, Spending]:
    """The counters of these campaigns, locked in the order given: that of their ids."""
    rows = await (await raw_connection(session)).fetch(_LOCK_CAMPAIGNS, program_id, list(ids))
    return {row["campaign_id"]: Spending(int(row["spent"]), row["participants"]) for row in rows}


async def campaigns(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> tuple[Campaign, ...]:
    """These campaigns with all their versions, by id."""
    return campaigns_of_rows(await (await raw_connection(session)).fetch(_VERSIONS, program_id, list(ids)))


_MAKE_CAPS = """
insert into volume_caps (program_id, day, subject, used)
select $1, w.day, w.subject, 0 from unnest($2::date[], $3::text[]) as w(day, subject)
on conflict (program_id, day, subject) do nothing
"""
_LOCK_CAPS = """
select c.* from unnest($2::date[], $3::text[]) as w(day, subject) cross join lateral (
    select day, subject, used from volume_caps
     where program_id = $1 and day = w.day and subject = w.subject for update offset 0) c
"""


async def lock_caps(session: ScopedSession, program_id: UUID, keys: Iterable[DayKey]) -> dict[DayKey, int]:
    """How much of these caps is used, made where missing, locked in the order of their keys."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    connection = await raw_connection(session)
    columns = [day for day, _ in wanted], [subject for _, subject in wanted]
    await connection.execute(_MAKE_CAPS, program_id, *columns)
    rows = await connection.fetch(_LOCK_CAPS, program_id, *columns)
    return {(row["day"], row["subject"]): int(row["used"]) for row in rows}


_ACCRUED = """
select a.id from unnest($2::uuid[]) as w(id) cross join lateral (
    select id from accruals where program_id = $1 and id = w.id offset 0) a
"""


async def accrued(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these are booked already."""
    return {row["id"] for row in await (await raw_connection(session)).fetch(_ACCRUED, program_id, list(ids))}


_ACCOUNTS = """
select w.account_id, f.millionths, v.days, v.volumes
  from unnest($2::uuid[]) as w(account_id)
  left join lateral (
    select millionths from point_fractions
     where program_id = $1 and account_id = w.account_id and asset_id = $3 offset 0) f on true
  left join lateral (
    select array_agg(day) as days, array_agg(volume_micro_usd) as volumes from account_volumes
     where program_id = $1 and account_id = w.account_id and day between $4 and $5 offset 0) v on true
"""
AccountFacts = tuple[dict[UUID, int], dict[UUID, dict[date, int]]]


async def accounts(
    session: ScopedSession, program_id: UUID, asset_id: UUID, ids: Sequence[UUID], first: date, last: date
) -> AccountFacts:
    """(fractions, volume by day) of these accounts; of the days from `first` to `last`, none where `first` is later."""
    rows = await (await raw_connection(session)).fetch(_ACCOUNTS, program_id, list(ids), asset_id, first, last)
    fractions = {row["account_id"]: int(row["millionths"]) for row in rows if row["millionths"] is not None}
    volumes = {row["account_id"]: dict(zip(row["days"], row["volumes"], strict=True)) for row in rows if row["days"]}
    return fractions, volumes


_IN_REVIEW = """
select a.account_id, u.campaign_id, (a.settled_at at time zone 'UTC')::date as day, sum(a.volume_micro_usd)::bigint as volume,
       count(*) as settlements
  from accruals a
 cross join lateral (select (use ->> 'campaign')::uuid as campaign_id from jsonb_array_elements(a.counted -> 'uses') use
                     union all select null) u
 where a.program_id = $1 and a.held_for = 'review' and a.account_id = any($2::uuid[]) group by 1, 2, 3
"""


async def in_review(
    session: ScopedSession, program_id: UUID, accounts: Sequence[UUID]
) -> list[tuple[UUID, UUID | None, date, int, int]]:
    """What of these accounts waits for an operator: account, campaign (None: all of it), day, volume, number of settlements."""
    rows = await (await raw_connection(session)).fetch(_IN_REVIEW, program_id, list(accounts))
    return [(row["account_id"], row["campaign_id"], row["day"], row["volume"], row["settlements"]) for row in rows]


_PARTICIPATIONS = """
select p.* from unnest($2::uuid[], $3::uuid[]) as w(campaign_id, account_id) cross join lateral (
    select campaign_id, account_id, spent, volume_micro_usd, settlements, weight, joined, reached from campaign_accounts
     where program_id = $1 and campaign_id = w.campaign_id and account_id = w.account_id offset 0) p
"""
_PAYERS = """
select p.* from unnest($2::uuid[], $3::text[]) as w(campaign_id, payer) cross join lateral (
    select campaign_id, payer, spent from campaign_payers
     where program_id = $1 and campaign_id = w.campaign_id and payer = w.payer offset 0) p
"""


async def participations(
    session: ScopedSession, program_id: UUID, keys: Sequence[tuple[UUID, UUID]]
) -> dict[tuple[UUID, UUID], Participation]:
    """What is known of these accounts in these campaigns, by (campaign, account)."""
    columns = [campaign for campaign, _ in keys], [account for _, account in keys]
    rows = await (await raw_connection(session)).fetch(_PARTICIPATIONS, program_id, *columns)
    return {(row["campaign_id"], row["account_id"]): participation_of(row) for row in rows}


def participation_of(row: Mapping[str, Any]) -> Participation:
    """A row of `campaign_accounts`."""
    reached = msgspec.json.decode(row["reached"]) if isinstance(row["reached"], str) else row["reached"]
    return Participation(
        int(row["spent"]),
        int(row["volume_micro_usd"]),
        row["settlements"],
        int(row["weight"]),
        row["joined"],
        {key: UUID(settlement) for key, settlement in reached.items()},
    )


async def payers(session: ScopedSession, program_id: UUID, keys: Sequence[PayerKey]) -> dict[PayerKey, int]:
    """What these payers have brought in these campaigns, in millionths."""
    columns = [campaign for campaign, _ in keys], [payer for _, payer in keys]
    rows = await (await raw_connection(session)).fetch(_PAYERS, program_id, *columns)
    return {(row["campaign_id"], row["payer"]): int(row["spent"]) for row in rows}


_FUNDS = "select funds from program_balances where program_id = $1 and asset_id = $2"


async def funds(session: ScopedSession, program_id: UUID, asset_id: UUID) -> int:
    """Points that the program can still give. Not locked: the posting refuses what is gone meanwhile."""
    return await (await raw_connection(session)).fetchval(_FUNDS, program_id, asset_id) or 0


_ADD_DAYS = """
update account_volumes v
   set volume_micro_usd = v.volume_micro_usd + d.volume, settlements = v.settlements + d.settlements
  from unnest($2::uuid[], $3::date[], $4::bigint[], $5::bigint[]) as d(account_id, day, volume, settlements)
 where v.program_id = $1 and v.account_id = d.account_id and v.day = d.day
"""


async def add_days(session: ScopedSession, program_id: UUID, days: Mapping[tuple[UUID, date], tuple[int, int]]) -> None:
    """Add (volume, number of settlements) to days that are there; below zero to take away, which an upsert refuses."""
    rows = sorted(days.items())
    await (await raw_connection(session)).execute(
        _ADD_DAYS,
        program_id,
        [account for (account, _), _ in rows],
        [day for (_, day), _ in rows],
        [volume for _, (volume, _) in rows],
        [settlements for _, (_, settlements) in rows],
    )


async def put_terms(session: ScopedSession, values: Mapping[str, Any]) -> None:
    """Make or replace the program's terms."""
    await session.execute(
        insert(VolumeTermsRow)
        .values(**values)
        .on_conflict_do_update(
            index_elements=[VolumeTermsRow.program_id],
            set_={
                **{name: value for name, value in values.items() if name != "program_id"},
                "version": VolumeTermsRow.version + 1,
            },
        )
    )


async def work_waiting(session: PlatformSession) -> list[tuple[str, UUID]]:
    """(kind, program) of what is overdue over all programs (SAFETY S2)."""
    rows = await (await raw_connection(session)).fetch("select kind, program_id from volume_work_v1() order by 1, 2")
    return [(row["kind"], row["program_id"]) for row in rows]
