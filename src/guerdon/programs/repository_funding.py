"""All SQL of funding: what was asked for, what is pending, what a deposit was used for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from guerdon.kit.database import PlatformSession
from guerdon.kit.models import constants
from guerdon.programs.models import Funding, FundingState


async def insert_funding(session: PlatformSession, values: dict[str, Any]) -> bool:
    """Ask for a funding; False if one with this id, or of this deposit, is there."""
    inserted = await session.scalar(insert(Funding).values(**values).on_conflict_do_nothing().returning(Funding.id))
    return inserted is not None


async def funding(session: AsyncSession, funding_id: UUID) -> Funding | None:
    """A funding by its id."""
    return await session.get(Funding, funding_id, populate_existing=True)


async def lock_pending(session: PlatformSession, funding_id: UUID) -> Funding | None:
    """A funding that is neither booked nor failed, locked."""
    return await session.scalar(
        select(Funding)
        .where(Funding.id == funding_id, Funding.state == FundingState.PENDING)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


async def pending(session: AsyncSession) -> Sequence[Funding]:
    """Fundings that are not over, oldest first."""
    found = await session.scalars(
        select(Funding).where(Funding.state.in_(constants(FundingState.PENDING))).order_by(Funding.created_at)
    )
    return found.all()


async def fundings_of(session: AsyncSession, program_id: UUID, after: UUID | None, limit: int) -> Sequence[Funding]:
    """A program's fundings, newest first."""
    # In an order that only the index by program has: by the primary key, every other program's would be looked through.
    query = select(Funding).where(Funding.program_id.between(program_id, program_id)).limit(limit)
    query = query.order_by(Funding.program_id.desc(), Funding.id.desc())
    found = await session.scalars(query if after is None else query.where(Funding.id < after))
    return found.all()


async def places_used(session: AsyncSession, network: str, transaction_hash: str) -> set[int]:
    """Places of a transaction's logs that are deposits already."""
    found = await session.scalars(
        select(Funding.log_index).where(
            Funding.network == network,
            Funding.transaction_hash == transaction_hash,
            Funding.kind.in_(constants("deposit")),
            Funding.state.not_in(constants(FundingState.FAILED)),
        )
    )
    return {place for place in found if place is not None}
