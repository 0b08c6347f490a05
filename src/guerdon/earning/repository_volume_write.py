"""The statement that writes a batch of settled volume, all but its postings. Its caller has the locks of `repository_volume.py`.

Counters are written as they are after the batch: nobody else can have changed them. An accrual is inserted plainly, for it must
be new. An upsert finds its rows by their key whatever the planner knows of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from guerdon.earning.volume_state import CampaignAccountKey, DayKey, Participation, PayerKey, Spending
from guerdon.kit.database import ScopedSession, raw_connection


@dataclass(frozen=True, slots=True)
class NewAccrual:
    """What one settlement, or one share of a pool, has earned."""

    id: UUID
    account_id: UUID
    earned_by: str
    points: int
    reasons: Sequence[Mapping[str, Any]]
    millionths: int | None = None
    volume_micro_usd: int | None = None
    settled_at: datetime | None = None
    counted: Mapping[str, Any] | None = None
    held_for: str | None = None
    held_until: datetime | None = None
    final_at: datetime | None = None


@dataclass(slots=True)
class Written:
    """What a batch leaves behind. Days are added, everything else is as it stands afterwards."""

    asset_id: UUID
    accruals: Sequence[NewAccrual] = ()
    days: Mapping[tuple[UUID, date], tuple[int, int]] = field(default_factory=dict[tuple[UUID, date], tuple[int, int]])
    """By (account, day): volume and number of settlements, below zero where something is undone."""
    fractions: Mapping[UUID, int] = field(default_factory=dict[UUID, int])
    participations: Mapping[CampaignAccountKey, Participation] = field(default_factory=dict[CampaignAccountKey, Participation])
    payers: Mapping[PayerKey, int] = field(default_factory=dict[PayerKey, int])
    spending: Mapping[UUID, Spending] = field(default_factory=dict[UUID, Spending])
    caps: Mapping[DayKey, int] = field(default_factory=dict[DayKey, int])


_WRITE = """
with
accrued as (
    insert into accruals (program_id, id, account_id, asset_id, earned_by, points, reasons, accrued_at, millionths,
        volume_micro_usd, settled_at, counted, held_for, held_until, final_at)
    select $1, a.id, a.account_id, $2, a.earned_by, a.points, a.reasons::jsonb, $3, a.millionths, a.volume, a.settled_at,
        a.counted::jsonb, a.held_for, a.held_until, a.final_at
    from unnest($4::uuid[], $5::uuid[], $6::text[], $7::bigint[], $8::text[], $9::numeric[], $10::bigint[], $11::timestamptz[],
        $12::text[], $13::text[], $14::timestamptz[], $15::timestamptz[])
        as a(id, account_id, earned_by, points, reasons, millionths, volume, settled_at, counted, held_for, held_until, final_at)
    returning 1
),
left_over as (
    insert into point_fractions (program_id, account_id, asset_id, millionths)
    select $1, f.account_id, $2, f.millionths from unnest($16::uuid[], $17::numeric[]) as f(account_id, millionths)
    on conflict (program_id, account_id, asset_id) do update set millionths = excluded.millionths
    returning 1
),
settled as (
    insert into account_volumes (program_id, account_id, day, volume_micro_usd, settlements)
    select $1, v.account_id, v.day, v.volume, v.settlements
    from unnest($18::uuid[], $19::date[], $20::bigint[], $21::bigint[]) as v(account_id, day, volume, settlements)
    on conflict (program_id, account_id, day) do update set
        volume_micro_usd = account_volumes.volume_micro_usd + excluded.volume_micro_usd,
        settlements = account_volumes.settlements + excluded.settlements
    returning 1
),
parts as (
    insert into campaign_accounts (program_id, campaign_id, account_id, spent, volume_micro_usd, settlements, weight, joined,
        reached)
    select $1, p.campaign_id, p.account_id, p.spent, p.volume, p.settlements, p.weight, p.joined, p.reached::jsonb
    from unnest($22::uuid[], $23::uuid[], $24::numeric[], $25::numeric[], $26::bigint[], $27::numeric[], $28::boolean[],
        $29::text[])
        as p(campaign_id, account_id, spent, volume, settlements, weight, joined, reached)
    on conflict (program_id, campaign_id, account_id) do update set spent = excluded.spent,
        volume_micro_usd = excluded.volume_micro_usd, settlements = excluded.settlements, weight = excluded.weight,
        joined = excluded.joined, reached = excluded.reached
    returning 1
),
paying as (
    insert into campaign_payers (program_id, campaign_id, payer, spent)
    select $1, p.campaign_id, p.payer, p.spent
    from unnest($30::uuid[], $31::text[], $32::numeric[]) as p(campaign_id, payer, spent)
    on conflict (program_id, campaign_id, payer) do update set spent = excluded.spent
    returning 1
),
counted as (
    insert into campaign_counters (program_id, campaign_id, spent, participants)
    select $1, c.campaign_id, c.spent, c.participants
    from unnest($33::uuid[], $34::numeric[], $35::bigint[]) as c(campaign_id, spent, participants)
    on conflict (program_id, campaign_id) do update set spent = excluded.spent, participants = excluded.participants
    returning 1
),
capped as (
    insert into volume_caps (program_id, day, subject, used)
    select $1, c.day, c.subject, c.used from unnest($36::date[], $37::text[], $38::numeric[]) as c(day, subject, used)
    on conflict (program_id, day, subject) do update set used = excluded.used
    returning 1
)
select (select count(*) from accrued) + (select count(*) from left_over) + (select count(*) from settled)
     + (select count(*) from parts) + (select count(*) from paying) + (select count(*) from counted)
     + (select count(*) from capped)
"""
_encode = msgspec.json.encode


def _json(value: object) -> str:
    return _encode(value).decode("utf-8")


async def write(session: ScopedSession, program_id: UUID, written: Written, now: datetime) -> None:
    """Write the batch."""
    accruals = sorted(written.accruals, key=lambda accrual: accrual.id)
    days = sorted(written.days.items())
    fractions = sorted(written.fractions.items())
    parts = sorted(written.participations.items(), key=lambda item: item[0])
    payers = sorted(written.payers.items())
    spending = sorted(written.spending.items(), key=lambda item: item[0])
    caps = sorted(written.caps.items())
    await (await raw_connection(session)).execute(
        _WRITE,
        program_id,
        written.asset_id,
        now,
        [one.id for one in accruals],
        [one.account_id for one in accruals],
        [one.earned_by for one in accruals],
        [one.points for one in accruals],
        [_json(one.reasons) for one in accruals],
        [one.millionths for one in accruals],
        [one.volume_micro_usd for one in accruals],
        [one.settled_at for one in accruals],
        [None if one.counted is None else _json(one.counted) for one in accruals],
        [one.held_for for one in accruals],
        [one.held_until for one in accruals],
        [one.final_at for one in accruals],
        [account for account, _ in fractions],
        [millionths for _, millionths in fractions],
        [account for (account, _), _ in days],
        [day for (_, day), _ in days],
        [volume for _, (volume, _) in days],
        [settlements for _, (_, settlements) in days],
        [campaign for (campaign, _), _ in parts],
        [account for (_, account), _ in parts],
        [part.spent for _, part in parts],
        [part.volume_micro_usd for _, part in parts],
        [part.settlements for _, part in parts],
        [part.weight for _, part in parts],
        [part.joined for _, part in parts],
        [_json({key: str(settlement) for key, settlement in part.reached.items()}) for _, part in parts],
        [campaign for (campaign, _), _ in payers],
        [payer for (_, payer), _ in payers],
        [spent for _, spent in payers],
        [campaign for campaign, _ in spending],
        [one.spent for _, one in spending],
        [one.participants for _, one in spending],
        [day for (day, _), _ in caps],
        [subject for (_, subject), _ in caps],
        [used for _, used in caps],
    )
