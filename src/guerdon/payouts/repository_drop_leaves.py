"""SQL of collecting a drop's leaves: who has enough, where each is paid, what is carried over, and who is left out again.

All other SQL of drops is in `repository_drops.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.payouts.models_drops import Drop
from guerdon.payouts.repository_drops import Waiting


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf with new points, as it is collected. The address is in lower case."""

    address: str
    account_id: UUID
    points: int
    amount_atomic: int
    cumulative_atomic: int


_ENOUGH = """
select account_id from account_balances
 where program_id = $1 and asset_id = $2 and account_id > $3 and available >= $4 order by account_id limit $5
"""


async def accounts_with(
    session: ScopedSession, program_id: UUID, asset_id: UUID, after: UUID, minimum: int, limit: int
) -> list[UUID]:
    """The next accounts that have so many points available, in the order of their ids. Not locked."""
    rows = await (await raw_connection(session)).fetch(_ENOUGH, program_id, asset_id, after, minimum, limit)
    return [row["account_id"] for row in rows]


# A proven address that the member prefers and that does not wait, else the built-in wallet (SAFETY S5). What a contract wallet
# proved holds for the moment of the proof (S7), and a root lasts for months: its account gets the built-in wallet's.
_DESTINATIONS = """
select a.id, lower(coalesce(p.address, a.wallet_address)) as address
  from accounts a
  left join addresses p
    on p.program_id = a.program_id and p.id = a.primary_address_id and p.account_id = a.id and p.namespace = 'eip155'
   and p.verified_at is not null and p.removed_at is null and p.usable_from <= $3 and p.chain_id is null
   and p.proof_method not in ('eip1271', 'eip6492')
 where a.program_id = $1 and a.id = any($2::uuid[])
"""


async def destinations(session: ScopedSession, program_id: UUID, accounts: Collection[UUID], now: datetime) -> dict[UUID, str]:
    """Where each account is paid, in lower case."""
    rows = await (await raw_connection(session)).fetch(_DESTINATIONS, program_id, list(accounts), now)
    return {row["id"]: row["address"] for row in rows}


_PRESENT = """
select l.address, l.points, l.cumulative_atomic from unnest($3::text[]) as w(address) cross join lateral (
    select address, points, cumulative_atomic from drop_leaves
     where program_id = $1 and drop_id = $2 and address = w.address offset 0) l
"""


async def leaves_at(session: ScopedSession, drop: Drop, addresses: Collection[str]) -> dict[str, tuple[int, int]]:
    """What a drop has at these addresses already: new points, and the amount in all."""
    rows = await (await raw_connection(session)).fetch(_PRESENT, drop.program_id, drop.id, list(addresses))
    return {row["address"]: (int(row["points"]), int(row["cumulative_atomic"])) for row in rows}


_PUT = """
insert into drop_leaves as l (program_id, drop_id, season_id, asset_id, address, account_id, points, amount_atomic,
    cumulative_atomic, fate, updated_at)
select $1, $2, $3, $4, w.address, w.account_id, w.points, w.amount, w.cumulative, 'waiting', $5
  from unnest($6::text[], $7::uuid[], $8::bigint[], $9::numeric[], $10::numeric[])
    as w(address, account_id, points, amount, cumulative)
on conflict (program_id, drop_id, address) do update
   set account_id = excluded.account_id, points = excluded.points, amount_atomic = excluded.amount_atomic,
       cumulative_atomic = excluded.cumulative_atomic, fate = 'waiting', updated_at = excluded.updated_at
 where l.fate = 'carried'
"""


async def put_leaves(session: ScopedSession, drop: Drop, asset_id: UUID, leaves: Sequence[Leaf], now: datetime) -> None:
    """Leaves with new points; one that was carried over gets them on top."""
    columns = (
        [leaf.address for leaf in leaves],
        [leaf.account_id for leaf in leaves],
        [leaf.points for leaf in leaves],
        [leaf.amount_atomic for leaf in leaves],
        [leaf.cumulative_atomic for leaf in leaves],
    )
    raw = await raw_connection(session)
    await raw.execute(_PUT, drop.program_id, drop.id, drop.season_id, asset_id, now, *columns)


_CARRY = """
with following as (
    select * from drop_leaves where program_id = $1 and drop_id = $2 and address > $4 and fate <> 'returned'
     order by address limit $5),
carried as (
    insert into drop_leaves (program_id, drop_id, season_id, asset_id, address, account_id, points, amount_atomic,
        cumulative_atomic, fate, updated_at)
    select program_id, $3, season_id, asset_id, address, account_id, 0, 0, cumulative_atomic, 'carried', $6 from following)
select count(*) as number, max(address) as last from following
"""


async def carry_over(session: ScopedSession, drop: Drop, earlier: UUID, limit: int, now: datetime) -> tuple[int, str | None]:
    """Repeat what the root before promised, so that it never falls: the next addresses; how many, and the last of them."""
    row = await (await raw_connection(session)).fetchrow(
        _CARRY, drop.program_id, earlier, drop.id, drop.carried_to or "", limit, now
    )
    return (0, None) if row is None else (int(row["number"]), row["last"])


# What an account no longer has, the program no longer deals with, or a debt is to be repaid of first, since it was collected
# (SAFETY S5, S13).
_STALE = """
select l.drop_id, l.address, l.asset_id, l.account_id, l.points, l.amount_atomic
  from drop_leaves l join accounts a on a.program_id = l.program_id and a.id = l.account_id
 where l.program_id = :program_id and l.drop_id = :drop_id and l.fate = 'waiting'
   and ((lower(a.wallet_address) <> l.address and not exists (
            select from addresses p
             where p.program_id = l.program_id and p.account_id = l.account_id and p.namespace = 'eip155'
               and p.address = l.address and p.verified_at is not null and p.removed_at is null and p.chain_id is null))
        or exists (select from denied_addresses d where d.program_id = l.program_id and d.address = l.address)
        or exists (select from account_balances b where b.program_id = l.program_id and b.asset_id = l.asset_id
                                                     and b.account_id = l.account_id and b.debt > 0))
 order by l.address limit :limit for update of l
"""


async def lock_stale(session: ScopedSession, drop: Drop, limit: int) -> list[Waiting]:
    """Leaves of a drop whose account may not be paid, or not at that address, any more."""
    told = {"program_id": drop.program_id, "drop_id": drop.id, "limit": limit}
    return [Waiting(*row) for row in await session.execute(text(_STALE), told)]


async def leave_out(session: ScopedSession, leaves: Sequence[Waiting], program_id: UUID) -> None:
    """Take new points out of leaves that nobody published: what is left of a leaf is what earlier roots promised there."""
    raw = await raw_connection(session)
    await raw.execute(
        "update drop_leaves l set place = null, updated_at = now(),"
        " cumulative_atomic = case when l.cumulative_atomic > l.amount_atomic then l.cumulative_atomic - l.amount_atomic"
        " else l.cumulative_atomic end,"
        " fate = case when l.cumulative_atomic > l.amount_atomic then 'carried' else 'returned' end,"
        " points = case when l.cumulative_atomic > l.amount_atomic then 0 else l.points end,"
        " amount_atomic = case when l.cumulative_atomic > l.amount_atomic then 0 else l.amount_atomic end"
        " from unnest($2::uuid[], $3::text[]) as w(drop_id, address)"
        " where l.program_id = $1 and l.drop_id = w.drop_id and l.address = w.address and l.fate = 'waiting'",
        program_id,
        [leaf.drop_id for leaf in leaves],
        [leaf.address for leaf in leaves],
    )
