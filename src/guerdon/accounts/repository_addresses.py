"""All SQL of the address registry. Rows are never deleted: an address ends, and what it was stays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from guerdon.accounts.models import Account, Address, Ended
from guerdon.kit.database import ScopedSession, raw_connection
from guerdon.kit.ids import uuid7

_OWNERSHIPS: Final = """
select u.namespace, u.address, a.account_id, a.id, a.chain_id, a.verified_at, a.removed_at
from unnest($2::text[], $3::text[]) as u(namespace, address)
cross join lateral (
    select account_id, id, chain_id, verified_at, removed_at from addresses
    where program_id = $1 and namespace = u.namespace and address = u.address and verified_at is not null offset 0) a
order by a.verified_at, a.id
"""


async def ownership_rows(
    session: ScopedSession, program_id: UUID, namespaces: Sequence[str], addresses: Sequence[str]
) -> Sequence[Any]:
    """Every proof of these addresses that the program ever had, in the order of time."""
    return await (await raw_connection(session)).fetch(_OWNERSHIPS, program_id, namespaces, addresses)


async def lock_address(session: ScopedSession, program_id: UUID, namespace: str, address: str) -> None:
    """Until the transaction ends nobody else changes who has this address: proofs of one chain and of all chains meet here."""
    digest = hashlib.sha256(program_id.bytes + f"address:{namespace}:{address}".encode()).digest()
    await (await raw_connection(session)).execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(digest[:8], signed=True))


def _live() -> ColumnElement[bool]:
    return and_(Address.verified_at.is_not(None), Address.removed_at.is_(None))


async def live_owners(
    session: ScopedSession, program_id: UUID, namespace: str, address: str, chain_id: int | None
) -> Sequence[Address]:
    """The live proofs that a new one of this coverage (one chain, or None: all of them) would meet."""
    meets = _live() if chain_id is None else and_(_live(), or_(Address.chain_id.is_(None), Address.chain_id == chain_id))
    query = (
        select(Address)
        .where(Address.program_id == program_id, Address.namespace == namespace, Address.address == address, meets)
        .order_by(Address.id)
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


async def covering(
    session: ScopedSession, program_id: UUID, account_id: UUID, namespace: str, address: str, chain_id: int | None
) -> Address | None:
    """The account's own live proof of an address that holds on this chain; one of all chains before one of this alone."""
    query = (
        select(Address)
        .where(
            Address.program_id == program_id,
            Address.account_id == account_id,
            Address.namespace == namespace,
            Address.address == address,
            _live(),
            Address.chain_id.is_(None) if chain_id is None else or_(Address.chain_id.is_(None), Address.chain_id == chain_id),
        )
        .order_by(Address.chain_id.nulls_first())
        .limit(1)
        .execution_options(populate_existing=True)
    )
    return await session.scalar(query)


async def address_of(session: ScopedSession, program_id: UUID, account_id: UUID, address_id: UUID) -> Address | None:
    """An address of the account, proven or not, that has not ended."""
    query = (
        select(Address)
        .where(
            Address.program_id == program_id,
            Address.account_id == account_id,
            Address.id == address_id,
            Address.removed_at.is_(None),
        )
        .execution_options(populate_existing=True)
    )
    return await session.scalar(query)


async def address_by_id(session: ScopedSession, program_id: UUID, address_id: UUID) -> Address | None:
    """An address of the program, ended or not."""
    return await session.scalar(
        select(Address)
        .where(Address.program_id == program_id, Address.id == address_id)
        .execution_options(populate_existing=True)
    )


async def addresses_after(
    session: ScopedSession, program_id: UUID, account_id: UUID, after: UUID | None, limit: int
) -> Sequence[Address]:
    """A page of the account's addresses that have not ended, in the order in which they were registered."""
    query = select(Address).where(
        Address.program_id == program_id, Address.account_id == account_id, Address.removed_at.is_(None)
    )
    if after is not None:
        query = query.where(Address.id > after)
    return (await session.scalars(query.order_by(Address.id).limit(limit))).all()


async def addresses_of_program(
    session: ScopedSession, program_id: UUID, after: UUID | None, limit: int, *, unproven: bool
) -> Sequence[Address]:
    """A page of the program's addresses that have not ended, in the order in which they were registered."""
    query = select(Address).where(Address.program_id == program_id, Address.removed_at.is_(None))
    if unproven:
        query = query.where(Address.verified_at.is_(None))
    if after is not None:
        query = query.where(Address.id > after)
    return (await session.scalars(query.order_by(Address.id).limit(limit))).all()


async def count_live(session: ScopedSession, program_id: UUID, account_id: UUID) -> int:
    """How many addresses the account has now, proven or not."""
    return (
        await session.scalar(
            select(func.count()).where(
                Address.program_id == program_id, Address.account_id == account_id, Address.removed_at.is_(None)
            )
        )
        or 0
    )


async def unproven_of(session: ScopedSession, program_id: UUID, account_id: UUID, namespace: str, address: str) -> Address | None:
    """The account's row of an address that waits for a proof."""
    return await session.scalar(
        select(Address).where(
            Address.program_id == program_id,
            Address.account_id == account_id,
            Address.namespace == namespace,
            Address.address == address,
            Address.verified_at.is_(None),
            Address.removed_at.is_(None),
        )
    )


async def insert_unproven(
    session: ScopedSession, program_id: UUID, account_id: UUID, network: str, namespace: str, address: str, now: datetime
) -> Address:
    """An address that waits for its proof."""
    row = Address(
        program_id=program_id,
        id=uuid7(),
        account_id=account_id,
        network=network,
        namespace=namespace,
        address=address,
        created_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def has_ever_proven(session: ScopedSession, program_id: UUID, account_id: UUID) -> bool:
    """Has the account had any proven address, even one that ended?"""
    query = select(Address.id).where(
        Address.program_id == program_id, Address.account_id == account_id, Address.verified_at.is_not(None)
    )
    return await session.scalar(query.limit(1)) is not None


async def last_proof(
    session: ScopedSession, program_id: UUID, namespace: str, address: str, chain_id: int | None
) -> Address | None:
    """The latest proof of an address with this coverage, by whatever account, ended or not."""
    query = (
        select(Address)
        .where(
            Address.program_id == program_id,
            Address.namespace == namespace,
            Address.address == address,
            Address.verified_at.is_not(None),
            Address.chain_id.is_not_distinct_from(chain_id),
        )
        .order_by(Address.verified_at.desc(), Address.id.desc())
        .limit(1)
    )
    return await session.scalar(query)


async def end_address(session: ScopedSession, program_id: UUID, address_id: UUID, ended: Ended, now: datetime) -> None:
    """End an address, and its being preferred."""
    await session.execute(
        update(Account)
        .where(Account.program_id == program_id, Account.primary_address_id == address_id)
        .values(primary_address_id=None, updated_at=now)
    )
    await session.execute(
        update(Address)
        .where(Address.program_id == program_id, Address.id == address_id, Address.removed_at.is_(None))
        .values(removed_at=now, ended=ended.value)
    )


async def prefer(session: ScopedSession, program_id: UUID, account_id: UUID, address_id: UUID, now: datetime) -> None:
    """Make an address the one that its account prefers."""
    await session.execute(
        update(Account)
        .where(Account.program_id == program_id, Account.id == account_id)
        .values(primary_address_id=address_id, updated_at=now)
    )
