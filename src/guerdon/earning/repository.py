"""All SQL of rules. Counters and accruals are written by booking (`activity/repository_booking.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.dialects.postgresql import insert

from guerdon.earning.models import Rule
from guerdon.kit.database import ProgramSession, ScopedSession
from guerdon.ledger.models import Asset


async def rule(session: ScopedSession, program_id: UUID, event_type: str) -> Rule | None:
    """The program's rule for an event type."""
    return await session.get(Rule, (program_id, event_type), populate_existing=True)


async def rules_of(session: ScopedSession, program_id: UUID) -> Sequence[Rule]:
    """All rules of a program, by event type."""
    return (await session.scalars(select(Rule).where(Rule.program_id == program_id).order_by(Rule.event_type))).all()


async def rules_after(session: ScopedSession, program_id: UUID, after: str | None, limit: int) -> Sequence[Rule]:
    """A page of a program's rules, by event type."""
    query = select(Rule).where(Rule.program_id == program_id)
    if after is not None:
        query = query.where(Rule.event_type > after)
    return (await session.scalars(query.order_by(Rule.event_type).limit(limit))).all()


async def insert_rules(session: ScopedSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """New rules; an event type that has one already is an error."""
    await session.execute(insert(Rule), rows)


async def insert_rule(session: ScopedSession, row: Mapping[str, Any]) -> Rule | None:
    """The new rule, or None if the event type has one already."""
    return await session.scalar(insert(Rule).values(**row).on_conflict_do_nothing().returning(Rule))


async def update_rule(session: ScopedSession, program_id: UUID, event_type: str, values: Mapping[str, Any]) -> Rule | None:
    """The rule with these columns changed, one version later."""
    return await session.scalar(
        update(Rule)
        .where(Rule.program_id == program_id, Rule.event_type == event_type)
        .values(**values, version=Rule.version + 1)
        .returning(Rule)
        .execution_options(populate_existing=True)
    )


async def delete_rule(session: ScopedSession, program_id: UUID, event_type: str) -> bool:
    """Was it there?"""
    deleted = await session.scalar(
        delete(Rule).where(Rule.program_id == program_id, Rule.event_type == event_type).returning(Rule.event_type)
    )
    return deleted is not None


_FORGET_COUNTERS = text(
    """
    delete from cap_counters
     where program_id = :program_id and cap_key in (
           select c.cap_key from cap_counters c
            where c.program_id = :program_id and c.day < :before order by c.day limit :counters)
    returning 1
    """
)


async def forget_counters(session: ProgramSession, program_id: UUID, before: date, counters: int) -> int:
    """Delete counters of days before that one; how many, `counters` at most."""
    values = {"program_id": program_id, "before": before, "counters": counters}
    return len((await session.scalars(_FORGET_COUNTERS, values)).all())


async def asset_symbols(session: ScopedSession) -> dict[UUID, str]:
    """The symbol of every asset; there are few."""
    return dict(iter(await session.execute(select(Asset.id, Asset.symbol))))
