"""All SQL of claims. Their payouts are moved on by `payouts/repository.py`. Locks: an account's balance, then its payouts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Select, Text, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from guerdon.kit.database import ScopedSession
from guerdon.ledger.models import Delivery
from guerdon.payouts.claims.models import Claim
from guerdon.payouts.repository import Waiting

ClaimRow = tuple[Claim, Delivery]
"""A claim with its payout."""

CONTRACT_PROOFS = ("eip1271", "eip6492")
"""Proofs by a contract wallet, which are asked of its chain again before anything is sent there (SAFETY S7)."""


@dataclass(frozen=True, slots=True)
class Before:
    """What an account has claimed so far."""

    in_period: int
    first_in_period: datetime | None
    last_at: datetime | None
    in_a_day: int


# Under the balance's lock, in a statement of its own: claims of one account are made one after the other (SAFETY S10).
_BEFORE = text(
    """
    select coalesce(sum(d.points) filter (where c.asset_id = :asset_id and c.network = :network and c.created_at > :since), 0)
               as in_period,
           min(c.created_at) filter (where c.asset_id = :asset_id and c.network = :network and c.created_at > :since) as first_at,
           max(c.created_at) filter (where c.asset_id = :asset_id and c.network = :network) as last_at,
           coalesce(sum(d.points) filter (where c.asset_id = :asset_id and c.created_at > :yesterday), 0) as in_a_day
      from claims c
      join deliveries d on d.program_id = :program_id and d.id = c.id
     where c.program_id = :program_id and c.account_id = :account_id and d.state not in ('refused', 'returned')
       and c.created_at > :longest
    """
)


async def claimed_before(
    session: ScopedSession,
    program_id: UUID,
    account_id: UUID,
    *,
    asset_id: UUID,
    network: str,
    period_seconds: int,
    cooldown_seconds: int,
    now: datetime,
) -> Before:
    """An account's claims that were not refused: in the option's period, the last one, and those of 24 hours in any token."""
    since, yesterday = now - timedelta(seconds=period_seconds), now - timedelta(days=1)
    row = (
        await session.execute(
            _BEFORE,
            {
                "program_id": program_id,
                "account_id": account_id,
                "asset_id": asset_id,
                "network": network,
                "since": since,
                "yesterday": yesterday,
                "longest": min(since, yesterday, now - timedelta(seconds=cooldown_seconds)),
            },
        )
    ).one()
    return Before(int(row.in_period), row.first_at, row.last_at, int(row.in_a_day))


async def insert_claim(session: ScopedSession, delivery: Delivery, claim: Claim) -> None:
    """A new claim with its payout."""
    session.add(delivery)
    await session.flush()
    session.add(claim)
    await session.flush()


async def _pairs(session: ScopedSession, query: Select[Claim, Delivery]) -> list[ClaimRow]:
    return [(row[0], row[1]) for row in await session.execute(query)]


def _rows(program_id: UUID) -> Select[Claim, Delivery]:
    return (
        select(Claim, Delivery)
        .join(Delivery, (Delivery.program_id == Claim.program_id) & (Delivery.id == Claim.id))
        .where(Claim.program_id == program_id, Delivery.program_id == program_id)
        .execution_options(populate_existing=True)
    )


async def claim(session: ScopedSession, program_id: UUID, claim_id: UUID) -> ClaimRow | None:
    """One claim of a program."""
    found = await _pairs(session, _rows(program_id).where(Claim.id == claim_id))
    return found[0] if found else None


async def claims_of(session: ScopedSession, program_id: UUID, account_id: UUID, after: UUID | None, limit: int) -> list[ClaimRow]:
    """An account's claims, newest first."""
    query = _rows(program_id).where(Claim.account_id == account_id).order_by(Claim.id.desc()).limit(limit)
    return await _pairs(session, query if after is None else query.where(Claim.id < after))


async def claims_after(
    session: ScopedSession, program_id: UUID, state: str | None, after: UUID | None, limit: int
) -> list[ClaimRow]:
    """A program's claims, newest first; of one state, if one is given."""
    query = _rows(program_id).order_by(Claim.id.desc()).limit(limit)
    if after is not None:
        query = query.where(Claim.id < after)
    if state is not None:
        query = query.where(Delivery.state == state)
    return await _pairs(session, query)


_WAITING = text(
    """
    select d.id, d.account_id, d.points, d.amount_atomic, d.destination
      from deliveries d
     where d.program_id = :program_id and d.asset_id = :asset_id and d.network = :network
       and d.kind = 'claim' and d.state = 'approved'
       and coalesce((select b.debt from account_balances b
                      where b.program_id = :program_id and b.asset_id = :asset_id and b.account_id = d.account_id), 0) = 0
       and (d.id = any(:confirmed)
            or not exists (select from claims c
                             join addresses a on a.program_id = :program_id and a.id = c.address_id
                            where c.program_id = :program_id and c.id = d.id and a.proof_method = any(:asked_again)))
     order by d.id limit :limit
       for update of d skip locked
    """
).bindparams(bindparam("confirmed", type_=ARRAY(Uuid())), bindparam("asked_again", type_=ARRAY(Text())))


async def lock_waiting(
    session: ScopedSession, program_id: UUID, asset_id: UUID, network: str, confirmed: Iterable[UUID], limit: int
) -> list[Waiting]:
    """The oldest claims to reserve on a network, locked. To contract wallets only those whose proof was just `confirmed`."""
    rows = await session.execute(
        _WAITING,
        {
            "program_id": program_id,
            "asset_id": asset_id,
            "network": network,
            "confirmed": sorted(confirmed),
            "asked_again": list(CONTRACT_PROOFS),
            "limit": limit,
        },
    )
    return [Waiting(row.id, row.account_id, row.points, int(row.amount_atomic), row.destination) for row in rows]


async def to_contract_wallets(
    session: ScopedSession, program_id: UUID, asset_id: UUID, network: str, limit: int
) -> Sequence[tuple[UUID, UUID]]:
    """(claim, address) of the oldest claims that wait and go to contract wallets."""
    rows = await session.execute(
        text(
            """
            select d.id, c.address_id
              from deliveries d
              join claims c on c.program_id = :program_id and c.id = d.id
              join addresses a on a.program_id = :program_id and a.id = c.address_id
             where d.program_id = :program_id and d.asset_id = :asset_id and d.network = :network
               and d.kind = 'claim' and d.state = 'approved' and a.proof_method = any(:asked_again)
             order by d.id limit :limit
            """
        ).bindparams(bindparam("asked_again", type_=ARRAY(Text()))),
        {
            "program_id": program_id,
            "asset_id": asset_id,
            "network": network,
            "asked_again": list(CONTRACT_PROOFS),
            "limit": limit,
        },
    )
    return [(row.id, row.address_id) for row in rows]


_UNFIT = text(
    """
    select c.id,
           c.address_id is null
           or exists (select from addresses a
                       where a.program_id = :program_id and a.id = c.address_id and a.account_id = c.account_id
                         and a.verified_at is not null and a.removed_at is null and a.usable_from <= :now) as owned
      from claims c where c.program_id = :program_id and c.id = any(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid())))


async def disowned(session: ScopedSession, program_id: UUID, ids: Sequence[UUID], now: datetime) -> set[UUID]:
    """Of these claims, those whose destination is not their account's proven address any more (SAFETY S5)."""
    rows = await session.execute(_UNFIT, {"program_id": program_id, "ids": list(ids), "now": now})
    return {row.id for row in rows if not row.owned}
