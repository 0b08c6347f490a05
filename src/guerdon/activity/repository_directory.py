"""SQL of the directory: what intake caches of programs, and by which version it knows that it changed."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from guerdon.kit.database import ScopedSession
from guerdon.ledger.models import Asset
from guerdon.programs.models import Program, ProgramDomain


async def config_version(session: ScopedSession, program_id: UUID) -> int | None:
    """The version of a program's configuration; None if there is no such program."""
    return await session.scalar(select(Program.config_version).where(Program.id == program_id))


async def ways_of_delivery(session: ScopedSession) -> dict[UUID, str]:
    """How each asset reaches people; there are few."""
    rows = await session.execute(select(Asset.id, Asset.delivery))
    return {row.id: row.delivery for row in rows}


async def any_has_domain(session: ScopedSession, names: Sequence[str]) -> bool:
    """Whether any program has registered one of these domains."""
    query = select(ProgramDomain.program_id).where(ProgramDomain.domain.in_(names)).limit(1)
    return await session.scalar(query) is not None
