"""SQL of proven payments: put there once, found for crediting, watched until final.

A payment is known by its transaction and its place in it, in each program once among those that were not taken back. Whoever
locks several does so in that order.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from guerdon.accounts.models import Address
from guerdon.activity.settlements.models import Settlement, SettlementMark, SettlementState
from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.kit.models import constants

WAITS = "waits"
"""Why nobody is credited yet: the program has no funds, or no terms. It is tried again."""
NOBODY = "nobody"
"""The address belonged to no account at the time."""


Key = tuple[str, int]
"""(transaction, place)."""


@dataclass(frozen=True, slots=True)
class Row:
    """A proven payment that nobody was credited for yet."""

    id: UUID
    network: str
    transaction_hash: str
    place: int
    source_id: UUID
    asset_address: str
    payer: str
    payee: str
    amount_atomic: int
    volume_micro_usd: int
    block_number: int
    block_hash: str
    settled_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Credited:
    """What came of a payment: whom it was credited to, or why nobody."""

    id: UUID
    account_id: UUID | None
    why_not: str | None


_GONE = constants(SettlementState.REORGANISED)
_IN_ORDER = (Settlement.transaction_hash, Settlement.place, Settlement.id)
_COLUMNS = tuple(field.name for field in fields(Row))
_TYPES = {
    "id": "uuid", "network": "text", "transaction_hash": "text", "place": "bigint", "source_id": "uuid", "asset_address": "text",
    "payer": "text", "payee": "text", "amount_atomic": "numeric", "volume_micro_usd": "bigint", "block_number": "bigint",
    "block_hash": "text", "settled_at": "timestamptz", "state": "text",
}  # fmt: skip
_NAMES = ", ".join(_COLUMNS)
_LOCK_KNOWN = """
select s.transaction_hash, s.place
  from (select * from unnest($2::text[], $3::bigint[]) as u(transaction_hash, place) order by transaction_hash, place) w
 cross join lateral (
    select transaction_hash, place from settlements
     where program_id = $1 and transaction_hash = w.transaction_hash and place = w.place and state <> 'reorganised'
       for update offset 0) s
"""
_PUT = f"""
insert into settlements (program_id, {_NAMES}, found_at, updated_at, account_id, why_not, credited_at)
select $1, {", ".join(f"n.{name}" for name in _COLUMNS)}, $2, $2, n.account_id, n.why_not,
       case when n.account_id is null then null else $2::timestamptz end
  from unnest({", ".join(f"${number}::{_TYPES[name]}[]" for number, name in enumerate(_COLUMNS, 5))}, $3::uuid[], $4::text[])
    as n({_NAMES}, account_id, why_not)
"""


async def lock_known(session: ScopedSession, program_id: UUID, keys: Sequence[Key]) -> set[Key]:
    """Which of these are there and were not taken back. They are locked: nobody takes back what is believed to be there."""
    columns = [transaction_hash for transaction_hash, _ in keys], [place for _, place in keys]
    rows = await (await raw_connection(session)).fetch(_LOCK_KNOWN, program_id, *columns)
    return {(row["transaction_hash"], row["place"]) for row in rows}


async def put(session: ScopedSession, program_id: UUID, rows: Sequence[Row], outcomes: Sequence[Credited], now: datetime) -> None:
    """Keep these payments, with what came of each. One that is there by now is a unique violation."""
    came = {one.id: one for one in outcomes}
    # Two that bring the same ones wait for each other, and do not block each other.
    ordered = sorted(rows, key=lambda row: (row.transaction_hash, row.place))
    columns = [[getattr(row, name) for row in ordered] for name in _COLUMNS]
    await (await raw_connection(session)).execute(
        _PUT,
        program_id,
        now,
        [came[row.id].account_id for row in ordered],
        [_short(came[row.id].why_not) for row in ordered],
        *columns,
    )


async def lock(session: ScopedSession, program_id: UUID, ids: Collection[UUID]) -> dict[UUID, Settlement]:
    """These payments, locked."""
    if not ids:
        return {}
    query = (
        select(Settlement)
        .where(Settlement.program_id == program_id, Settlement.id.in_(sorted(ids)))
        .order_by(*_IN_ORDER)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return {row.id: row for row in await session.scalars(query)}


_CREDITED = """
update settlements s set account_id = n.account_id, why_not = n.why_not, updated_at = $5::timestamptz,
       credited_at = case when n.account_id is null then null else $5::timestamptz end
  from unnest($2::uuid[], $3::uuid[], $4::text[]) as n(id, account_id, why_not)
 where s.program_id = $1 and s.id = n.id and s.account_id is null
"""


async def set_credited(session: ScopedSession, program_id: UUID, outcomes: Sequence[Credited], now: datetime) -> None:
    """Write down who was credited."""
    ordered = sorted(outcomes, key=lambda one: one.id)
    await (await raw_connection(session)).execute(
        _CREDITED,
        program_id,
        [one.id for one in ordered],
        [one.account_id for one in ordered],
        [_short(one.why_not) for one in ordered],
        now,
    )


_UNCREDITED = f"""
select {_NAMES} from settlements
 where program_id = $1 and {{side}} = $2 and settled_at >= $3 and (settled_at, id) > ($4, $5)
   and account_id is null and state <> 'reorganised' and why_not in ('nobody', 'waits')
 order by settled_at, id limit $6
"""
_UNCREDITED_OF = {side: _UNCREDITED.format(side=side) for side in ("payer", "payee")}
_WAITING = f"""
select {_NAMES} from settlements
 where program_id = $1 and why_not = 'waits' and account_id is null and state <> 'reorganised'
 order by settled_at, id limit $2
"""
_AGAIN = f"""
select {_NAMES} from settlements
 where program_id = $1 and id = any($2) and account_id is null and state <> 'reorganised' and why_not in ('nobody', 'waits')
 order by transaction_hash, place for update
"""


async def uncredited(
    session: ScopedSession, program_id: UUID, side: str, address: str, since: datetime, after: tuple[datetime, UUID], limit: int
) -> list[Row]:
    """Payments of (or to) an address that nobody was credited for, by time, after the one given."""
    rows = await (await raw_connection(session)).fetch(
        _UNCREDITED_OF[side], program_id, address, since, after[0], after[1], limit
    )
    return [_row(row) for row in rows]


async def waiting(session: ScopedSession, program_id: UUID, limit: int) -> list[Row]:
    """Payments that could not be credited for want of funds or terms, the oldest first."""
    return [_row(row) for row in await (await raw_connection(session)).fetch(_WAITING, program_id, limit)]


async def lock_uncredited(session: ScopedSession, program_id: UUID, ids: Sequence[UUID]) -> list[Row]:
    """Of these payments those that nobody is credited for, locked: another may have been quicker."""
    rows = await (await raw_connection(session)).fetch(_AGAIN, program_id, sorted(ids))
    return [_row(row) for row in rows]


BEFORE_ALL = (-1, UUID(int=0))
_INCLUDED = """
select s.id, s.transaction_hash, s.block_number from settlements s
 where s.program_id = $1 and s.network = $2 and s.state = 'included' and s.block_number <= $3
   and (s.block_number, s.id) > ($4, $5)
 order by s.block_number, s.id limit $6
"""


async def networks_included(session: ScopedSession, program_id: UUID) -> list[str]:
    """Networks on which payments wait to become final."""
    query = (
        select(Settlement.network)
        .where(Settlement.program_id == program_id, Settlement.state.in_(constants(SettlementState.INCLUDED)))
        .distinct()
    )
    return sorted((await session.scalars(query)).all())


async def included(
    session: ScopedSession, program_id: UUID, network: str, up_to_block: int, after: tuple[int, UUID], limit: int
) -> tuple[set[str], tuple[int, UUID]]:
    """Transactions with payments that the network's finality has reached, the oldest first; and the place of the last."""
    rows = await (await raw_connection(session)).fetch(_INCLUDED, program_id, network, up_to_block, *after, limit)
    place = (rows[-1]["block_number"], rows[-1]["id"]) if rows else after
    return {row["transaction_hash"] for row in rows}, place


async def of_transactions(session: ScopedSession, program_id: UUID, network: str, hashes: Sequence[str]) -> Sequence[Settlement]:
    """The payments of these transactions that were not taken back, locked."""
    query = (
        select(Settlement)
        .where(
            Settlement.program_id == program_id,
            Settlement.network == network,
            Settlement.transaction_hash.in_(list(hashes)),
            Settlement.state.not_in(_GONE),
        )
        .order_by(*_IN_ORDER)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


async def proofs_until(session: ScopedSession, program_id: UUID, now: datetime) -> datetime:
    """Since when addresses that were proven have to be looked at; from now on, the first time."""
    await session.execute(insert(SettlementMark).values(program_id=program_id, proofs_until=now).on_conflict_do_nothing())
    found = await session.scalars(
        select(SettlementMark.proofs_until).where(SettlementMark.program_id == program_id).with_for_update()
    )
    return found.one()


async def set_proofs_until(session: ScopedSession, program_id: UUID, until: datetime) -> None:
    """Addresses that were proven before are dealt with."""
    mark = await session.get_one(SettlementMark, program_id, populate_existing=True)
    mark.proofs_until = max(mark.proofs_until, until)
    await session.flush()


async def addresses_proven(
    session: ScopedSession, program_id: UUID, since: datetime, after: UUID | None, limit: int
) -> Sequence[Address]:
    """Addresses that were proven since then, by id."""
    query = select(Address).where(Address.program_id == program_id, Address.verified_at >= since)
    if after is not None:
        query = query.where(Address.id > after)
    return (await session.scalars(query.order_by(Address.id).limit(limit))).all()


async def settlements_after(
    session: ScopedSession,
    program_id: UUID,
    after: UUID | None,
    limit: int,
    *,
    address: str | None = None,
    account_id: UUID | None = None,
    transaction_hash: str | None = None,
) -> Sequence[Settlement]:
    """A page of the program's payments, by id."""
    query = select(Settlement).where(Settlement.program_id == program_id)
    if address is not None:
        query = query.where((Settlement.payer == address) | (Settlement.payee == address))
    if account_id is not None:
        query = query.where(Settlement.account_id == account_id)
    if transaction_hash is not None:
        # Those that were taken back have an index of their own.
        query = query.where(
            Settlement.transaction_hash == transaction_hash, Settlement.state.not_in(_GONE) | Settlement.state.in_(_GONE)
        )
    if after is not None:
        query = query.where(Settlement.id > after)
    return (await session.scalars(query.order_by(Settlement.id).limit(limit))).all()


def _short(why: str | None) -> str | None:
    return None if why is None else why[:200]


def _row(row: Any) -> Row:
    values: dict[str, Any] = {name: row[name] for name in _COLUMNS}
    values["amount_atomic"] = int(values["amount_atomic"])
    return Row(**values)
