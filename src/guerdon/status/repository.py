"""SQL of the view of `guerdon status`, besides what other repositories read already. Platform scope; one statement each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import case, func, select, text

from guerdon.kit.database import PlatformSession
from guerdon.kit.outbox import OutboxRow, Severity
from guerdon.kit.presence import ProcessRow
from guerdon.ledger.models import ProgramBalance
from guerdon.payouts.models import Batch, BatchState
from guerdon.programs.models import Program

GONE: Final = timedelta(minutes=2)
"""A process that was seen before is not shown any more."""
_WORST_FIRST: Final = {severity.value: place for place, severity in enumerate(reversed(Severity))}


async def processes(session: PlatformSession, limit: int) -> Sequence[ProcessRow]:
    """Processes that run, or did two minutes ago, the oldest first."""
    query = select(ProcessRow).where(ProcessRow.seen_at > func.now() - GONE).order_by(ProcessRow.role, ProcessRow.id).limit(limit)
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def worst_alerts(session: PlatformSession, limit: int) -> Sequence[OutboxRow]:
    """Open alerts, the worst and of those the oldest first."""
    query = (
        select(OutboxRow)
        .where(OutboxRow.severity.is_not(None), OutboxRow.resolved_at.is_(None))
        .order_by(case(_WORST_FIRST, value=OutboxRow.severity), OutboxRow.id)
        .limit(limit)
    )
    return (await session.scalars(query.execution_options(populate_existing=True))).all()


async def paid_since(session: PlatformSession, since: datetime) -> dict[UUID, tuple[int, int]]:
    """Payouts and atomic units that batches made since then have paid, by treasury."""
    # Through the primary key: an id is a UUIDv7 and begins with the time that it was made.
    first = UUID(int=int(since.timestamp() * 1000) << 80)
    rows = await session.execute(
        select(Batch.treasury_id, func.sum(Batch.size), func.sum(Batch.total_atomic))
        .where(Batch.id >= first, Batch.state == BatchState.PAID)
        .group_by(Batch.treasury_id)
    )
    return {treasury_id: (int(payouts), int(atomic)) for treasury_id, payouts, atomic in rows}


async def newest_programs(session: PlatformSession, limit: int) -> Sequence[Program]:
    """Programs, the newest first."""
    return (await session.scalars(select(Program).order_by(Program.id.desc()).limit(limit))).all()


async def shortest_funds(session: PlatformSession, program_id: UUID) -> ProgramBalance | None:
    """The balance that a program is shortest of, if any is below a twentieth of what was funded; in the program's scope."""
    return await session.scalar(
        select(ProgramBalance)
        .where(ProgramBalance.program_id == program_id, text("funds::numeric * 20 < funded"))
        .order_by(ProgramBalance.funds)
        .limit(1)
        .execution_options(populate_existing=True)
    )
