"""SQL of what patterns are looked for in, and of flags. Every look-up stops after so many rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.activity.settlements.abuse import MOST_PAYMENTS, Edge, Paid
from guerdon.activity.settlements.models import Settlement, SettlementFlag, SettlementMark
from guerdon.kit.database import ScopedSession, raw_connection

MOST_PAYEES: Final = 20
"""Of one payer that a loop is followed to."""


@dataclass(frozen=True, slots=True)
class Enough:
    """So many payments, of so much together, within that time: with fewer no pattern is found."""

    back: timedelta
    payments: int
    micro_usd: int = 0


@dataclass(frozen=True, slots=True)
class NewFlag:
    """A pattern that was found in a payment."""

    id: UUID
    settlement_id: UUID
    pattern: str
    evidence: dict[str, Any]


async def thresholds_of(session: ScopedSession, program_id: UUID) -> Mapping[str, int]:
    """Those of the program that are not the defaults."""
    found = await session.scalar(select(SettlementMark.thresholds).where(SettlementMark.program_id == program_id))
    return found or {}


async def set_thresholds(session: ScopedSession, program_id: UUID, thresholds: Mapping[str, int], now: datetime) -> None:
    """Replace the program's own thresholds."""
    new = insert(SettlementMark).values(program_id=program_id, proofs_until=now, thresholds=dict(thresholds))
    await session.execute(new.on_conflict_do_update(index_elements=["program_id"], set_={"thresholds": new.excluded.thresholds}))


# As many more as are asked about: the newest of a batch do not hide what its oldest are to be looked at with. Most addresses have
# fewer, or of less, than anything is made of: those are counted here, and none of their payments is read.
_SPAN = """
    from settlements
     where program_id = $1 and {side} = w.address and settled_at > w.first and settled_at <= w.last and state <> 'reorganised'
"""
_LAST = f"""
select s.id, s.payer, s.payee, s.volume_micro_usd, s.settled_at
  from unnest($2::text[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[])
        as w(address, first, last, asked, payments, micro_usd)
 cross join lateral (
    select count(*) as payments, coalesce(sum(volume_micro_usd), 0) as micro_usd from (
        select volume_micro_usd {_SPAN} order by settled_at desc limit $8 + w.asked) last offset 0) c
 cross join lateral (
    select id, payer, payee, volume_micro_usd, settled_at {_SPAN} and c.payments >= w.payments and c.micro_usd >= w.micro_usd
     order by settled_at desc limit $8 + w.asked offset 0) s
"""
_LAST_OF = {side: _LAST.format(side=side) for side in ("payer", "payee")}


async def last_payments(
    session: ScopedSession, program_id: UUID, side: str, payments: Mapping[str, Sequence[Paid]], enough: Enough
) -> dict[str, list[Paid]]:
    """The last payments of (or to) each address before these, which are by time; of those that have `enough` with them."""
    addresses = sorted(payments)
    rows = await (await raw_connection(session)).fetch(
        _LAST_OF[side],
        program_id,
        addresses,
        [payments[one][0].at - enough.back for one in addresses],
        [payments[one][-1].at for one in addresses],
        [len(payments[one]) for one in addresses],
        [enough.payments - len(payments[one]) for one in addresses],
        [max(enough.micro_usd - sum(each.volume_micro_usd for each in payments[one]), 0) for one in addresses],
        MOST_PAYMENTS,
    )
    found: dict[str, list[Paid]] = {}
    for row in reversed(rows):
        paid = Paid(row["id"], row["payer"], row["payee"], row["volume_micro_usd"], row["settled_at"])
        found.setdefault(row[side], []).append(paid)
    return found


# From payee to payee through the index, however often each was paid.
_PAID = """
select w.payer, p.payee, p.at from unnest($2::text[]) as w(payer)
 cross join lateral (
    select payee, max(settled_at) as at from (
        select payee, settled_at from settlements
         where program_id = $1 and payer = w.payer and settled_at > $3 and state <> 'reorganised'
         order by settled_at desc limit $4) recent
     group by payee order by max(settled_at) desc limit $5) p
"""


async def paid_by(session: ScopedSession, program_id: UUID, payers: Collection[str], since: datetime) -> list[Edge]:
    """Whom each of these has paid since then; of each only the last ones."""
    rows = await (await raw_connection(session)).fetch(_PAID, program_id, sorted(payers), since, MOST_PAYMENTS, MOST_PAYEES)
    return [Edge(row["payer"], row["payee"], row["at"]) for row in rows]


_PUT = """
insert into settlement_flags (program_id, id, settlement_id, pattern, evidence, flagged_at)
select $1, f.id, f.settlement_id, f.pattern, f.evidence, $6
  from unnest($2::uuid[], $3::uuid[], $4::text[], $5::jsonb[]) as f(id, settlement_id, pattern, evidence)
on conflict (program_id, settlement_id, pattern) do nothing
"""


async def put_flags(session: ScopedSession, program_id: UUID, flags: Sequence[NewFlag], now: datetime) -> None:
    """Keep what was found; what is there stays."""
    if not flags:
        return
    await (await raw_connection(session)).execute(
        _PUT,
        program_id,
        [flag.id for flag in flags],
        [flag.settlement_id for flag in flags],
        [flag.pattern for flag in flags],
        [msgspec.json.encode(flag.evidence).decode() for flag in flags],
        now,
    )


async def approved(session: ScopedSession, program_id: UUID, settlement_ids: Sequence[UUID]) -> set[UUID]:
    """Of these payments those that an operator has approved."""
    if not settlement_ids:
        return set()
    query = select(SettlementFlag.settlement_id).where(
        SettlementFlag.program_id == program_id,
        SettlementFlag.settlement_id.in_(sorted(set(settlement_ids))),
        SettlementFlag.verdict == "approved",
    )
    return set((await session.scalars(query)).all())


async def flag(session: ScopedSession, program_id: UUID, flag_id: UUID) -> SettlementFlag | None:
    """One flag."""
    return await session.scalar(
        select(SettlementFlag).where(SettlementFlag.program_id == program_id, SettlementFlag.id == flag_id)
    )


async def flags_after(
    session: ScopedSession, program_id: UUID, after: UUID | None, limit: int, *, open_only: bool
) -> Sequence[SettlementFlag]:
    """A page of flags, by id."""
    query = select(SettlementFlag).where(SettlementFlag.program_id == program_id)
    if open_only:
        query = query.where(SettlementFlag.verdict.is_(None))
    if after is not None:
        query = query.where(SettlementFlag.id > after)
    return (await session.scalars(query.order_by(SettlementFlag.id).limit(limit))).all()


async def open_flags(session: ScopedSession, program_id: UUID) -> int:
    """How many payments wait for a look, up to a thousand."""
    some = (
        select(SettlementFlag.id)
        .where(SettlementFlag.program_id == program_id, SettlementFlag.verdict.is_(None))
        .limit(1000)
        .subquery()
    )
    return int(await session.scalar(select(func.count()).select_from(some)) or 0)


async def open_of_payer(session: ScopedSession, program_id: UUID, payer: str, limit: int) -> list[UUID]:
    """Payments of a payer that wait for a look."""
    query = (
        select(SettlementFlag.settlement_id)
        .join(
            Settlement,
            (Settlement.program_id == SettlementFlag.program_id) & (Settlement.id == SettlementFlag.settlement_id),
        )
        .where(
            SettlementFlag.program_id == program_id,
            Settlement.program_id == program_id,
            SettlementFlag.verdict.is_(None),
            Settlement.payer == payer,
        )
        .distinct()
        .limit(limit)
    )
    return list((await session.scalars(query)).all())


async def decide(
    session: ScopedSession, program_id: UUID, settlement_ids: Sequence[UUID], verdict: str, by: str, note: str, now: datetime
) -> list[UUID]:
    """Close all open flags of these payments; the payments that had any."""
    rows = await session.scalars(
        update(SettlementFlag)
        .where(
            SettlementFlag.program_id == program_id,
            SettlementFlag.settlement_id.in_(list(settlement_ids)),
            SettlementFlag.verdict.is_(None),
        )
        .values(verdict=verdict, decided_by=by, note=note, decided_at=now)
        .returning(SettlementFlag.settlement_id)
        .execution_options(synchronize_session=False)
    )
    return sorted(set(rows.all()))
