"""All SQL of the ledger. Locks are taken in the order of SAFETY S15: balances of accounts by id, then those of the program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.kit.models import constants
from guerdon.ledger.models import (
    UNDELIVERED,
    WAITING,
    AccountBalance,
    Asset,
    Delivery,
    PostingKind,
    ProgramBalance,
)
from guerdon.ledger.postings import COLUMNS_OF_BALANCE, EFFECTS, Balance, Movement, NewPosting

AccountKey = tuple[UUID, UUID]
"""(asset, account)."""


async def asset_by_symbol(session: ScopedSession, symbol: str) -> Asset | None:
    """The asset of that symbol."""
    return await session.scalar(select(Asset).where(Asset.symbol == symbol))


# Locks are taken in the order of the keys, and only where every row is there; else the missing are made and the others locked in
# one pass. Each row is looked up by its whole key, whatever the planner knows of the table.
_LOCK_ACCOUNTS = """
with
wanted as materialized (select * from unnest($2::uuid[], $3::uuid[]) as w(asset_id, account_id)),
present as materialized (
    select count(*) as rows from wanted w cross join lateral (
        select from account_balances where program_id = $1 and asset_id = w.asset_id and account_id = w.account_id offset 0) b
)
select b.* from wanted w cross join lateral (
    select asset_id, account_id, earned, reversed, claimed, spent, expired, moved, held, debt, version from account_balances
     where program_id = $1 and asset_id = w.asset_id and account_id = w.account_id for update offset 0) b
 where (select rows from present) = cardinality($2)
"""
_MAKE_ACCOUNTS = """
insert into account_balances (program_id, asset_id, account_id)
select $1, w.asset_id, w.account_id from unnest($2::uuid[], $3::uuid[]) as w(asset_id, account_id)
on conflict (program_id, asset_id, account_id) do update set version = account_balances.version
"""


async def lock_account_balances(
    session: ScopedSession, program_id: UUID, keys: Iterable[AccountKey]
) -> dict[AccountKey, Balance]:
    """The balances of these accounts, made where missing, locked in the order of their keys."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    connection = await raw_connection(session)
    columns = [asset_id for asset_id, _ in wanted], [account_id for _, account_id in wanted]
    rows = await connection.fetch(_LOCK_ACCOUNTS, program_id, *columns)
    if not rows:
        await connection.execute(_MAKE_ACCOUNTS, program_id, *columns)
        rows = await connection.fetch(_LOCK_ACCOUNTS, program_id, *columns)
    return {key: Balance(**row) for key, row in zip(wanted, rows, strict=True)}


async def lock_program_balances(session: ScopedSession, program_id: UUID, assets: Iterable[UUID]) -> None:
    """The program's own balances, made where missing, locked last of all."""
    wanted = sorted(set(assets))
    await session.execute(
        insert(ProgramBalance)
        .values([{"program_id": program_id, "asset_id": asset} for asset in wanted])
        .on_conflict_do_nothing()
    )
    await session.execute(
        select(ProgramBalance.asset_id)
        .where(ProgramBalance.program_id == program_id, ProgramBalance.asset_id.in_(wanted))
        .order_by(ProgramBalance.asset_id)
        .with_for_update()
    )


async def program_balance(session: ScopedSession, program_id: UUID, asset_id: UUID) -> ProgramBalance | None:
    """What the program's books say of one asset."""
    return await session.get(ProgramBalance, (program_id, asset_id), populate_existing=True)


async def account_balance(session: ScopedSession, program_id: UUID, asset_id: UUID, account_id: UUID) -> AccountBalance | None:
    """What one account has of one asset."""
    return await session.get(AccountBalance, (program_id, asset_id, account_id), populate_existing=True)


_EXISTING = """
select p.asset_id, p.kind, p.ref, p.account_id, p.amount
  from unnest($2::uuid[], $3::text[], $4::uuid[]) as k(asset_id, kind, ref)
 cross join lateral (
    select * from postings where program_id = $1 and asset_id = k.asset_id and kind = k.kind and ref = k.ref offset 0) p
"""


async def booked(session: ScopedSession, program_id: UUID, movements: Sequence[Movement]) -> list[Movement]:
    """Of the postings that these movements would make, those that are there already, as they were booked.

    Read after the locks, never with them (SAFETY S10).
    """
    rows = await (await raw_connection(session)).fetch(
        _EXISTING,
        program_id,
        [movement.asset_id for movement in movements],
        [movement.kind for movement in movements],
        [movement.ref for movement in movements],
    )
    return [Movement(PostingKind(row["kind"]), row["ref"], row["asset_id"], row["amount"], row["account_id"]) for row in rows]


# Balances of accounts are locked, and written as they are after the last posting: an upsert finds its rows by their key whatever
# the planner knows of the table. The program's are not: what changes is added, only where nothing falls below zero, and last of
# all, which is what the counts of what went before are for.
_WRITE = """
with
posted as (
    insert into postings (program_id, asset_id, kind, ref, from_bucket, to_bucket, amount, account_id, version, available_after,
        posted_at)
    select $1::uuid, p.asset_id, p.kind, p.ref, p.from_bucket, p.to_bucket, p.amount, p.account_id, p.version,
        p.available_after, $2::timestamptz
    from unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::bigint[], $9::uuid[], $10::bigint[],
        $11::bigint[])
        as p(asset_id, kind, ref, from_bucket, to_bucket, amount, account_id, version, available_after)
    returning 1
),
balanced as (
    insert into account_balances (program_id, asset_id, account_id, earned, reversed, claimed, spent, expired, moved, held, debt,
        version)
    select $1, b.* from unnest($12::uuid[], $13::uuid[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[],
        $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[])
        as b(asset_id, account_id, earned, reversed, claimed, spent, expired, moved, held, debt, version)
    on conflict (program_id, asset_id, account_id) do update set earned = excluded.earned, reversed = excluded.reversed,
        claimed = excluded.claimed, spent = excluded.spent, expired = excluded.expired, moved = excluded.moved,
        held = excluded.held, debt = excluded.debt, version = excluded.version
    returning 1
)
update program_balances p
   set funded = p.funded + d.funded, funds = p.funds + d.funds, owed = p.owed + d.owed, debt = p.debt + d.debt,
       delivered = p.delivered + d.delivered, adjusted = p.adjusted + d.adjusted, expired = p.expired + d.expired
  from unnest($23::uuid[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[], $29::bigint[],
        $30::bigint[])
       as d(asset_id, funded, funds, owed, debt, delivered, adjusted, expired)
 where (select count(*) from posted) + (select count(*) from balanced) > 0
   and p.program_id = $1 and p.asset_id = d.asset_id
   and least(p.funds + d.funds, p.owed + d.owed, p.debt + d.debt, p.delivered + d.delivered, p.expired + d.expired) >= 0
returning p.asset_id
"""
_OF_PROGRAM = ("funded", "funds", "owed", "debt", "delivered", "adjusted", "expired")


async def write(
    session: ScopedSession,
    program_id: UUID,
    postings: Sequence[NewPosting],
    balances: Sequence[Balance],
    changes: Mapping[UUID, Mapping[str, int]],
    now: datetime,
) -> set[UUID]:
    """Append postings, write the locked balances, and add to the program's own by asset and column.

    The assets whose program balance has changed: where one is missing, it has not enough, and nothing may be committed.
    """
    assets = sorted(changes)
    columns_of_postings = zip(*map(_posting_row, postings), strict=True)
    columns_of_balances = ([getattr(balance, column) for balance in balances] for column in COLUMNS_OF_BALANCE)
    rows = await (await raw_connection(session)).fetch(
        _WRITE,
        program_id,
        now,
        *columns_of_postings,
        *columns_of_balances,
        assets,
        *([changes[asset_id].get(column, 0) for asset_id in assets] for column in _OF_PROGRAM),
    )
    return {row["asset_id"] for row in rows}


def _posting_row(posting: NewPosting) -> tuple[object, ...]:
    movement, effect = posting.movement, EFFECTS[posting.movement.kind]
    return (
        movement.asset_id, movement.kind.value, movement.ref, effect.from_bucket.value, effect.to_bucket.value, movement.amount,
        movement.account_id, posting.version, posting.available_after,
    )  # fmt: skip


async def lock_pending_deliveries(
    session: ScopedSession, program_id: UUID, asset_id: UUID, account_id: UUID, also: Sequence[UUID]
) -> list[Delivery]:
    """What a reversal may still take, newest first: deliveries that nothing is reserved for, and those `also` named."""
    return list(
        await session.scalars(
            select(Delivery)
            .where(
                Delivery.program_id == program_id,
                Delivery.account_id == account_id,
                Delivery.asset_id == asset_id,
                Delivery.state.in_(constants(*UNDELIVERED)),
                Delivery.state.in_(WAITING) | Delivery.id.in_(also),
            )
            .order_by(Delivery.id.desc())
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )
