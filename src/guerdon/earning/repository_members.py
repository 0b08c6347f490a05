"""SQL of what members see: their accruals, and which asset is theirs by default."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from guerdon.earning.models import Accrual
from guerdon.earning.models_volume import VolumeTermsRow
from guerdon.kit.database import ScopedSession


async def accruals_before(
    session: ScopedSession, program_id: UUID, account_id: UUID, before: UUID | None, limit: int
) -> Sequence[Accrual]:
    """A page of what an account earned, the newest first."""
    query = select(Accrual).where(Accrual.program_id == program_id, Accrual.account_id == account_id)
    if before is not None:
        query = query.where(Accrual.id < before)
    return (await session.scalars(query.order_by(Accrual.id.desc()).limit(limit))).all()


async def asset_of_volume(session: ScopedSession, program_id: UUID) -> UUID | None:
    """What settled volume earns in the program, if it says so."""
    return await session.scalar(select(VolumeTermsRow.asset_id).where(VolumeTermsRow.program_id == program_id))
